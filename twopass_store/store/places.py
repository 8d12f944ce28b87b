"""Where things lie in a store: which stage makes which array, and what the schema says of it."""

from collections.abc import Mapping
from pathlib import Path

from ..schema import (
    ASSIGNMENT,
    CLUSTERING,
    COVER,
    FAITHFULNESS,
    INGESTED,
    LEDGER,
    LINKAGE,
    MARGIN,
    METRIC,
    NEIGHBOURS,
    OUTSIDE,
    SCAN,
    SUBSET,
    ArraySpec,
)

__all__ = [
    "CHUNK_PREFIX",
    "HOLDERS",
    "METADATA_FILE",
    "OF_A_CLUSTERING",
    "arrays_of",
    "chunk_key",
    "clustering_stages",
    "group_of",
    "lock_folder",
    "metadata_key",
    "spec_at",
    "stages_of",
    "stages_with_arrays",
]

CHUNK_PREFIX = "c."
"""File names of chunks begin so: they lie flat in their array's folder (``c.12.0.0``)."""

METADATA_FILE = "zarr.json"
"""Each group and each array has one in its folder."""

_MADE: Mapping[str, tuple[str, tuple[ArraySpec, ...]]] = {
    "ingest": ("", INGESTED),
    "subset": ("subsets", SUBSET),
    "clustering": ("clusterings", (*CLUSTERING, *METRIC, *OUTSIDE, *FAITHFULNESS)),
    "cover": ("clusterings", COVER),
    "assign": ("clusterings", ASSIGNMENT),
    "margin": ("clusterings", MARGIN),
    "scan": ("scans", SCAN),
}
_GROUP_MAKERS = {"subsets": "subset", "clusterings": "clustering", "scans": "scan"}

OF_A_CLUSTERING = ("clustering", "cover", "assign", "margin")
"""Kinds of stages that write to a clustering's group, in their order."""

HOLDERS = ("journal", *_GROUP_MAKERS)
"""Groups whose members are groups; they have no attributes."""


def lock_folder(path: Path) -> Path:
    """Return the folder beside a store that holds its locks and temporary files."""
    return path.with_name(path.name + ".lock")


def metadata_key(path: str) -> str:
    """Return the key of the metadata of a group or array."""
    return f"{path}/{METADATA_FILE}" if path else METADATA_FILE


def chunk_key(path: str, chunk: int) -> str:
    """Return the key of a chunk, or shard, of an array: they are cut along their first dimension only."""
    spec = spec_at(path)
    return f"{path}/{CHUNK_PREFIX}{chunk}{'.0' * (len(spec.dims) - 1 if spec else 0)}"


def spec_at(path: str) -> ArraySpec | None:
    """Return the spec of the array at a path, None if the format has none there."""
    *group, name = path.split("/")
    if len(group) == 2 and group[0] == "journal":
        return next((spec for spec in (LEDGER, *NEIGHBOURS) if spec.name == name), None)
    if len(group) == 2 and group[0] == "subsets" and name.startswith("linkage_"):
        return LINKAGE
    if len(group) not in (0, 2):
        return None
    holder = group[0] if group else ""
    specs = (spec for place, made in _MADE.values() if place == holder for spec in made)
    return next((spec for spec in specs if spec.name == name), None)


def arrays_of(stage: str) -> tuple[str, ...]:
    """Return the paths of all arrays that a stage may make."""
    kind, _, name = stage.partition("-")
    if kind == "linkage":
        subset, _, array = name.rpartition("-")
        return (f"subsets/{subset}/{array}",) if array.startswith("linkage_") else ()
    if kind == "neighbours":
        return tuple(f"journal/{stage}/{spec.name}" for spec in NEIGHBOURS)
    holder, specs = _MADE.get(kind, ("", ()))
    return tuple(f"{holder}/{name}/{spec.name}" if holder else spec.name for spec in specs)


def group_of(stage: str) -> str | None:
    """Return the path of the group that a stage makes, None if it makes arrays only."""
    if stage == "ingest":
        return ""
    kind, _, name = stage.partition("-")
    holder = next((holder for holder, maker in _GROUP_MAKERS.items() if maker == kind), None)
    return f"{holder}/{name}" if holder and name else None


def clustering_stages(name: str) -> tuple[str, ...]:
    """Return the stages that write to a clustering's group, in their order."""
    return tuple(f"{kind}-{name}" for kind in OF_A_CLUSTERING)


def stages_of(path: str) -> tuple[str, ...]:
    """Return the stages that may have made a group or array; none for holders of groups, and for journals."""
    holder, *names = path.split("/")
    if not names:
        return () if holder in HOLDERS else ("ingest",)
    if holder not in _GROUP_MAKERS or len(names) > 2:
        return ()
    kind, name = _GROUP_MAKERS[holder], names[0]
    if len(names) == 1:
        return (f"{kind}-{name}",)
    if kind == "clustering":
        return clustering_stages(name)
    return (f"{kind}-{name}", *([f"linkage-{name}-{names[1]}"] if kind == "subset" else []))


def stages_with_arrays(root: Path) -> set[str]:
    """Return the stages of which arrays are there, whatever the journal says.

    A plan is written before the arrays of its stage and removed after them, so each of these stages has one
    unless its journal was lost.
    """
    groups = [root, *(group for holder in _GROUP_MAKERS for group in _folders(root / holder))]
    paths = [array.relative_to(root).as_posix() for group in groups for array in _folders(group)]
    makers = ((stage, path) for path in paths if spec_at(path) for stage in stages_of(path))
    return {stage for stage, path in makers if path in arrays_of(stage)}


def _folders(folder: Path) -> list[Path]:
    return [each for each in folder.iterdir() if each.is_dir()] if folder.is_dir() else []
