"""Kernels of the first pass: condensed distances to linkage, linkage to labels, labels to leaders.

Plain arrays in, arrays out. Condensed distances may also be anything that is read by slicing.
"""

from .condensed import BLOCK_PAIRS, Condensed, count_frames, distances_from, iter_rows
from .cut import (
    Suggestion,
    cut,
    n_clusters_found,
    suggest_n_clusters,
)
from .faithfulness import (
    Faithfulness,
    halves,
    held_out_labels,
    measure_faithfulness,
    second_pass_labels,
)
from .gromos import gromos
from .leaders import (
    FAITHFUL_PER_CLUSTER,
    LEADER_METHODS,
    Leaders,
    choose_leaders,
    choose_medoids,
    choosing_bytes,
)
from .link import link_in_place, link_rows, linkage_bytes
from .quality import CutQuality, adjusted_rand, assess_cuts, cophenetic_correlation, rand_index
from .stability import scanning_bytes, stability_of_cuts

__all__ = [
    "BLOCK_PAIRS",
    "FAITHFUL_PER_CLUSTER",
    "LEADER_METHODS",
    "Condensed",
    "CutQuality",
    "Faithfulness",
    "Leaders",
    "Suggestion",
    "adjusted_rand",
    "assess_cuts",
    "choose_leaders",
    "choose_medoids",
    "choosing_bytes",
    "cophenetic_correlation",
    "count_frames",
    "cut",
    "distances_from",
    "gromos",
    "halves",
    "held_out_labels",
    "iter_rows",
    "link_in_place",
    "link_rows",
    "linkage_bytes",
    "measure_faithfulness",
    "n_clusters_found",
    "rand_index",
    "scanning_bytes",
    "second_pass_labels",
    "stability_of_cuts",
    "suggest_n_clusters",
]
