"""RMSD, minimal over proper rotations or by another metric: arrays in, arrays out.

Distances are worked out in float64 and given in float32, nm. On one machine, neither the cutting of the work
into calls nor the number of threads changes a bit of them. Between machines the last bits of the float64 may
differ: not all can fuse a product with a sum.
Every function runs on the calling thread alone and releases the GIL, and none changes its input.
"""

from .leaders import (
    Nearest,
    PreparedLeaders,
    best_permutations,
    nearest_leaders,
    nearest_other_leaders,
    prepare_leaders,
)
from .memory import assign_bytes, near_bytes, pairwise_bytes
from .metric import Alignment, Metric
from .near import NearFrames, PackedFrames
from .pairwise import PairwiseRmsd
from .superposition import superpose

__all__ = [
    "Alignment",
    "Metric",
    "NearFrames",
    "Nearest",
    "PackedFrames",
    "PairwiseRmsd",
    "PreparedLeaders",
    "assign_bytes",
    "best_permutations",
    "near_bytes",
    "nearest_leaders",
    "nearest_other_leaders",
    "pairwise_bytes",
    "prepare_leaders",
    "superpose",
]
