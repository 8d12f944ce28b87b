"""RMSD, minimal over proper rotations or by another metric: arrays in, arrays out.

Distances are worked out in float64 and given in float32, nm. On one machine a distance depends on its two
structures only, bit for bit: not on the frames beside them, the cutting into calls, or the number of threads.
Between machines the last bits of the float64 may differ: not all can fuse a product with a sum.
Every function runs on the calling thread alone and releases the GIL, and none changes its input.
"""

from .leaders import (
    Nearest,
    PreparedLeaders,
    nearest_leaders,
    prepare_leaders,
    rmsd_to_leaders,
)
from .memory import assign_bytes, pairwise_bytes
from .metric import Alignment, Metric
from .pairwise import PairwiseRmsd
from .second import nearest_other_leaders
from .superposition import superpose

__all__ = [
    "Alignment",
    "Metric",
    "Nearest",
    "PairwiseRmsd",
    "PreparedLeaders",
    "assign_bytes",
    "nearest_leaders",
    "nearest_other_leaders",
    "pairwise_bytes",
    "prepare_leaders",
    "rmsd_to_leaders",
    "superpose",
]
