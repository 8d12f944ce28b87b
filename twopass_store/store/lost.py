"""Stages that have left arrays, whatever the journal says of them."""

from collections.abc import Iterator
from pathlib import Path

from ..schema import ASSIGNMENT, CLUSTERING, INGESTED, MARGIN, SCAN, SUBSET

__all__ = ["stages_with_arrays"]

_INGEST, _SUBSET, _CLUSTERING, _SCAN, _ASSIGN, _MARGIN = (
    frozenset(spec.name for spec in specs)
    for specs in (INGESTED, SUBSET, CLUSTERING, SCAN, ASSIGNMENT, MARGIN)
)


def stages_with_arrays(root: Path) -> Iterator[str]:
    """Yield the stages of which arrays are there.

    A plan is written before the arrays of its stage and removed after them, so each of these stages has one
    unless its journal was lost.
    """
    if _INGEST & _folders(root):
        yield "ingest"
    for holder, kind, known in (
        ("subsets", "subset", _SUBSET),
        ("clusterings", "clustering", _CLUSTERING),
        ("scans", "scan", _SCAN),
    ):
        for name in _folders(root / holder):
            arrays = _folders(root / holder / name)
            if arrays & known:
                yield f"{kind}-{name}"
            if holder == "clusterings" and arrays & _ASSIGN:
                yield f"assign-{name}"
            if holder == "clusterings" and arrays & _MARGIN:
                yield f"margin-{name}"
            if holder == "subsets":
                yield from (f"linkage-{name}-{array}" for array in arrays if array.startswith("linkage_"))


def _folders(folder: Path) -> set[str]:
    try:
        return {each.name for each in folder.iterdir() if each.is_dir()}
    except (FileNotFoundError, NotADirectoryError):
        return set()
