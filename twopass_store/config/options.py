"""Keyword arguments of the stages as type checkers and editors see them.

Meaning, unit, default and what is allowed stand in the models, whose fields have the same names; a test
compares them.
"""

import os
from collections.abc import Sequence
from typing import Any, TypedDict

__all__ = [
    "AssignOptions",
    "ClusterOptions",
    "ExportOptions",
    "IngestOptions",
    "LeadersOptions",
    "Paths",
    "RecutOptions",
    "ScanOptions",
    "StructuresOptions",
    "SummaryOptions",
    "WorkOptions",
]

Path = str | os.PathLike[str]
Paths = Path | Sequence[Path]
Number = float | str
Size = int | str


class _Resources(TypedDict, total=False):
    memory: Size | None
    workers: int | None


class _Subset(_Resources, total=False):
    select: str | None
    subset_frames: int | None
    stride: int | None


class IngestOptions(_Resources, total=False):
    """Fields of `IngestConfig` without ``trajectories``."""

    scheduler: str | None
    from_list: Path | None
    top: Path | None
    reader: str
    format: str | None
    select: str | None
    ndx: Path | None
    group: str | None
    image: str
    run_pattern: str | None
    overlap: str | None
    burn_in: Number | None
    begin: Number | None
    end: Number | None
    every: Number | None
    dt: Number | None
    stride: int
    discard_first: int
    strict: bool
    precision: Number
    wide: bool
    codec: str | None
    shard: Size | None


class ClusterOptions(_Subset, total=False):
    """Fields of `ClusterConfig`."""

    name: str
    scheduler: str | None
    mass_weighted: bool
    masses: Path | None
    no_fit: bool
    align_to: int | Path | None
    align_select: str | None
    symmetry: str | None
    method: str
    all_frames: bool
    linkage: str
    linkage_input: str
    n_clusters: int | str | None
    min_cluster_size: int
    min_samples: int | None
    cutoff: Number | None
    label_order: str
    leader_method: str | None
    leaders_per_cluster: int | None
    faithfulness: float | None
    max_leaders: int | None
    leader_frames: Sequence[int] | str | None
    rule: str | None
    keep_subset_labels: bool
    seed: int


class LeadersOptions(TypedDict, total=False):
    """Fields of `LeadersConfig`."""

    name: str
    select: str | None
    leader_labels: str
    symmetry: str | None
    memory: Size | None


class ScanOptions(_Subset, total=False):
    """Fields of `ScanConfig`."""

    name: str | None
    n_clusters: str | tuple[int, int]
    linkage: str | Sequence[str]


class RecutOptions(_Resources, total=False):
    """Fields of `RecutConfig`."""

    name: str | None
    n_clusters: int | str | None
    cutoff: Number | None


class AssignOptions(_Resources, total=False):
    """Fields of `AssignConfig`."""

    name: str | None
    noise_cutoff: Number | None
    cover: Number | None
    cover_link: bool
    max_leaders: int | None
    margin: bool
    scheduler: str | None


class WorkOptions(_Resources, total=False):
    """Fields of `WorkConfig`."""

    name: str | None
    part: str | tuple[int, int]


class SummaryOptions(TypedDict, total=False):
    """Fields of `SummaryConfig` without ``name``."""

    by: str | None
    convergence: bool
    seed: int
    memory: Size | None


class _Sources(TypedDict, total=False):
    from_source: bool
    image: str | None


class ExportOptions(_Sources, total=False):
    """Fields of `ExportConfig`."""

    name: str | None
    frames: Any
    cluster: int | Sequence[int] | None
    stride: int
    top_to: Path | None


class StructuresOptions(_Sources, total=False):
    """Fields of `StructuresConfig`."""

    of: str
    representatives: int | None
    by: str | None
    name: str | None
