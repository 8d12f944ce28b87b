"""What a verification found, as data."""

from dataclasses import dataclass

__all__ = ["ITEMS", "KINDS", "Damage", "Repair", "Verification"]

KINDS = ("chunk", "metadata", "plan", "ledger")
"""What may be: a chunk (or shard) of an array, the metadata of a group or array, parts of a journal."""

ITEMS = {
    "frame": "frames",
    "pair": "pairs",
    "atom": "atoms",
    "subset": "subset frames",
    "merge": "merges",
    "leader": "leaders",
    "cluster": "clusters",
    "selected_atom": "selected atoms",
    "align_atom": "atoms of the alignment",
    "confusion": "kinds of confusion",
    "cut": "cuts",
    "trajectory_file": "source files",
    "simulation_run": "runs",
}
"""What lies along a dimension, in words."""


@dataclass(frozen=True, slots=True)
class Damage:
    """One file that isn't as the journal has it.

    Attributes
    ----------
    stage
        Name of the journal that the file belongs to, such as ``assign-default``; empty for the groups that
        hold others.
    path
        Path in the store of the array, group or journal; empty for the store's root.
    kind
        One of `KINDS`.
    file
        Path of the file in the store.
    problem
        ``missing``, ``altered``, or what the system said when it was read.
    chunk
        Index along the first dimension of the chunk or shard; None for other kinds.
    dimension, start, stop
        The array's first dimension, and what of it lies in the chunk, half-open; None where the array's own
        metadata are damaged as well, and for other kinds.
    mend
        What a repair does about it.
    """

    stage: str
    path: str
    kind: str
    file: str
    problem: str
    chunk: int | None = None
    dimension: str | None = None
    start: int | None = None
    stop: int | None = None
    mend: str = ""

    @property
    def elements(self) -> str:
        """What is lost, such as ``frames 0 to 8,191``; empty where that isn't known."""
        if self.dimension is None or self.start is None or self.stop is None:
            return ""
        return f"{ITEMS.get(self.dimension, self.dimension)} {self.start:,} to {self.stop - 1:,}"


@dataclass(frozen=True, slots=True)
class Verification:
    """What a verification found.

    Attributes
    ----------
    path
        The store.
    n_files, n_bytes
        Files that were compared with a digest or otherwise checked, and their size.
    damage
        What isn't as it was recorded, in the order of the pipeline.
    unfinished
        Stages that were begun and have not finished: no damage.
    notes
        What else was seen, such as files that aren't the store's.
    """

    path: str
    n_files: int
    n_bytes: int
    damage: tuple[Damage, ...]
    unfinished: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        """Whether there is no damage."""
        return not self.damage


@dataclass(frozen=True, slots=True)
class Repair:
    """What a repair did, or would do.

    Attributes
    ----------
    path
        The store.
    damage
        What was damaged.
    left
        Of that, what can't be mended.
    sources
        Source files of trajectories that the next ingest reads again.
    commands
        What to run, in this order, to make anew what was discarded.
    """

    path: str
    damage: tuple[Damage, ...]
    left: tuple[Damage, ...]
    sources: tuple[str, ...]
    commands: tuple[str, ...]

    @property
    def was_whole(self) -> bool:
        """Whether there was no damage."""
        return not self.damage
