"""Kernels of the first pass: condensed distances to linkage, linkage to labels, labels to leaders.

Plain arrays in, arrays out.
"""

from .cut import cut, number_by_share, suggest_n_clusters
from .faithfulness import Faithfulness, halves, held_out_labels, measure_faithfulness, second_pass
from .gromos import gromos, gromos_of_pairs, gromos_of_pairs_bytes
from .joining import Joining
from .leaders import FAITHFUL_PER_CLUSTER, Leaders, choose_leaders, choose_medoids, choosing_bytes
from .link import link_in_place, link_rows, linkage_bytes
from .quality import CutQuality, adjusted_rand, adjusted_rand_of, assess_cuts, cophenetic_correlation
from .square import hdbscan, hdbscan_bytes, kmedoids, kmedoids_bytes
from .stability import scanning_bytes, stability_of_cuts

__all__ = [
    "FAITHFUL_PER_CLUSTER",
    "CutQuality",
    "Faithfulness",
    "Joining",
    "Leaders",
    "adjusted_rand",
    "adjusted_rand_of",
    "assess_cuts",
    "choose_leaders",
    "choose_medoids",
    "choosing_bytes",
    "cophenetic_correlation",
    "cut",
    "gromos",
    "gromos_of_pairs",
    "gromos_of_pairs_bytes",
    "halves",
    "hdbscan",
    "hdbscan_bytes",
    "held_out_labels",
    "kmedoids",
    "kmedoids_bytes",
    "link_in_place",
    "link_rows",
    "linkage_bytes",
    "measure_faithfulness",
    "number_by_share",
    "scanning_bytes",
    "second_pass",
    "stability_of_cuts",
    "suggest_n_clusters",
]
