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

__all__ = [
    "BLOCK_PAIRS",
    "FAITHFUL_PER_CLUSTER",
    "LEADER_METHODS",
    "Condensed",
    "Faithfulness",
    "Leaders",
    "Suggestion",
    "choose_leaders",
    "choose_medoids",
    "choosing_bytes",
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
    "second_pass_labels",
    "suggest_n_clusters",
]
