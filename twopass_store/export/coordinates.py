"""Frames of a store as a trajectory file."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import numpy as np
from numpy.typing import NDArray

from ..config import ExportConfig, ExportOptions, validated
from ..errors import ConfigError
from ..ingest import SourceFrames
from ..progress import Progress, Silent
from ..report import finished_assign
from ..store import (
    Store,
    Watch,
    chosen_clustering,
    naming_restart,
    require_clustering,
    require_ingest,
    store_path,
    take,
)
from .frames import chosen_frames, frame_pieces
from .target import checked_target, replacing

if TYPE_CHECKING:
    import mdtraj as md

    from ..trajectory import Block, TrajectoryFormat

__all__ = [
    "ExportResult",
    "export_coordinates",
    "named_clustering",
    "stored_topology",
    "unchanged",
    "write_frames",
]


XTC_GRID_NM = 0.001
"""What most XTC files round to."""


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What an export wrote.

    Attributes
    ----------
    path
        The file.
    format
        Name of its format.
    n_frames, n_atoms
        What is in it.
    top_path, script_path
        The topology and the script beside it, if they were asked for.
    clustering
        Name of the clustering that it comes from; None if frames were chosen without one.
    """

    path: Path
    format: str
    n_frames: int
    n_atoms: int
    top_path: Path | None
    clustering: str | None
    script_path: Path | None = None


def export_coordinates(
    store: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    **options: Unpack[ExportOptions],
) -> ExportResult:
    """Write frames of a store as a trajectory, with times and unit cells, in memory that doesn't grow.

    Parameters
    ----------
    store
        Path of the store.
    path
        The file; its extension gives the format: any that mdtraj writes frame by frame (xtc, trr, dcd, h5,
        nc, mdcrd, xyz, lammpstrj, gro, pdb, cif). It appears when it is whole.
    overwrite
        Replace files that exist.
    progress
        Progress reporter; it's also told what the format has no room for.
    **options
        See `ExportConfig`. `frames` may also be a slice, or indices in the order in which they are written.

    Raises
    ------
    ConfigError
        If there is no such format, frame or cluster, or a file exists.
    StageIncompleteError
        If ingest has not finished, or, for labels, assign.
    TrajectoryError
        If the format has no room for a frame, or a source file isn't what it was.
    StoreWriteError
        If the disk refuses.
    """
    from ..trajectory import output_format

    config = validated(ExportConfig, options)
    name, top_path = config.name, config.top_to
    progress = progress or Silent()
    opened = Store.open(store_path(store))
    require_ingest(opened)
    entry = output_format(path)
    sources = [str(source) for source in opened.read("trajectory_path")]
    target = checked_target(path, store=opened.path, overwrite=overwrite, sources=sources)
    top_target = None
    if top_path is not None:
        output_format(top_path, with_topology=True)
        top_target = checked_target(top_path, store=opened.path, overwrite=overwrite, sources=sources)
        if top_target == target:
            raise ConfigError(f"Trajectory and topology can't both be {target}. Give two names.")

    if name is not None and not config.cluster:
        raise ConfigError("A clustering was named, but no cluster of it. Give `cluster` too.")
    name = named_clustering(opened, name) if config.cluster else None
    watch = Watch(opened.path, name)
    n_stored, _, _ = opened.shape("position")
    pieces = partial(frame_pieces, opened, chosen_frames(config.frames, n_stored), stride=config.stride)
    keys = ["position"]
    if name is not None:
        keys.append(f"clusterings/{name}/label")
        _require_clusters(opened, name, config.cluster)
        pieces = partial(pieces, label_path=keys[-1], labels=config.cluster)
    source = _FrameSource(opened, pieces, entry, config)
    if not source.n_frames:
        raise ConfigError("No frame of these clusters is in the range asked for. Ask for a wider range.")
    if source.lost:
        progress.note(f"{target.name}: {entry.name} files have {', '.join(source.lost)}")
    # What came from an XTC goes back on its very grid; in its file that may be finer than in the store.
    grid = opened.attrs("position").get("scale_factor")
    grid = min(grid or XTC_GRID_NM, XTC_GRID_NM) if config.from_source else grid
    blocks = unchanged(source.blocks(), watch, *keys)
    write_frames(blocks, source.topology, target, source.n_frames, progress, xtc_grid_nm=grid)
    if top_target is not None:
        blocks = unchanged([next(source.blocks()).first()], watch, *keys)
        write_frames(blocks, source.topology, top_target, 1, Silent())
    return ExportResult(target, entry.name, source.n_frames, source.topology.n_atoms, top_target, name)


def named_clustering(store: Store, name: str | None) -> str:
    """Return the name of a finished clustering: see `chosen_clustering`."""
    with naming_restart(store.path, name):
        chosen = chosen_clustering(store, name)
        require_clustering(store, chosen)
        return chosen


def _require_clusters(store: Store, name: str, clusters: Sequence[int]) -> None:
    """Raise unless assign has finished and there are such clusters."""
    with naming_restart(store.path, name):
        finished_assign(store, name)
    n_clusters = store.attrs(f"clusterings/{name}")["n_clusters_found"]
    if max(clusters) > n_clusters:
        raise ConfigError(f"Clustering {name} has no cluster {max(clusters)}; they are 1 to {n_clusters}.")


class _FrameSource:
    """The frames chosen of a store, as blocks to be written in a format, and what is `lost` with that.

    `pieces` gives the indices of the frames. A format that must have times gets frame numbers if the store
    has none.
    """

    def __init__(
        self,
        store: Store,
        pieces: Callable[[], Iterator[NDArray[np.int64]]],
        entry: "TrajectoryFormat",
        config: ExportConfig,
    ) -> None:
        self._store = store
        self._pieces = pieces
        self.lost = []
        has_time = store.attrs("time")["time_source"] != "index"
        self._time = "time" if has_time else "source_frame" if entry.needs_time else None
        if has_time and not entry.has_time:
            self.lost.append("no times")
        if not has_time and entry.needs_time:
            self.lost.append("frame numbers in place of times, since the input had none")
        self.n_frames = n_with_cell = 0
        has_cell = store.has("unitcell_lengths")
        files: set[int] = set()
        for piece in pieces():
            self.n_frames += len(piece)
            files.update(take(store, "trajectory", piece).tolist() if config.from_source else ())
            if has_cell:
                n_with_cell += int(np.isfinite(take(store, "unitcell_lengths", piece)).all(axis=1).sum())
        self._has_cell = 0 < n_with_cell == self.n_frames
        if 0 < n_with_cell < self.n_frames:
            self.lost.append(f"no unit cells, since {self.n_frames - n_with_cell} of the frames have none")
        elif self._has_cell and entry.unitcell == "none":
            self.lost.append("no unit cells")
        elif self._has_cell and entry.unitcell == "first" and self.n_frames > 1:
            self.lost.append("the unit cell of its first frame only")
        self._files = SourceFrames(store, files, image=config.image) if files else None

    @property
    def topology(self) -> "md.Topology":
        """The atoms of the frames."""
        return stored_topology(self._store) if self._files is None else self._files.topology

    def blocks(self) -> Iterator["Block"]:
        """Yield the frames, at most a chunk of positions at a time."""
        from ..trajectory import Block

        names = {"time": self._time} if self._time else {}
        if self._has_cell:
            names |= {name: name for name in ("unitcell_lengths", "unitcell_angles")}
        for piece in self._pieces():
            columns = {key: take(self._store, name, piece) for key, name in names.items()}
            start = 0
            for xyz in self._positions(piece):
                rows = slice(start, start + len(xyz))
                yield Block(xyz, **{key: values[rows] for key, values in columns.items()})
                start = rows.stop

    def _positions(self, frames: NDArray[np.int64]) -> Iterator[NDArray[np.float32]]:
        if self._files is not None:
            places = (take(self._store, name, frames) for name in ("trajectory", "source_frame"))
            yield from self._files.read(*places)
            return
        edges = np.flatnonzero(np.diff(frames // self._store.chunk_length("position"))) + 1
        for part in np.split(frames, edges):
            yield take(self._store, "position", part)


def stored_topology(store: Store) -> "md.Topology":
    """Return the atoms of a store."""
    from ..trajectory import topology_from_json

    return topology_from_json(store.attrs()["topology"], n_atoms=store.shape("position")[1])


def unchanged(blocks: "Iterable[Block]", watch: Watch, *keys: str) -> "Iterator[Block]":
    """Yield blocks; raises a `StoreError` unless what they come from is still there after the last one."""
    with watch.over(*keys):
        yield from blocks


def write_frames(
    blocks: "Iterable[Block]",
    topology: "md.Topology",
    target: Path,
    n_frames: int,
    progress: Progress,
    *,
    xtc_grid_nm: float | None = None,
    remarks: Sequence[str] = (),
) -> None:
    """Write blocks of `n_frames` frames to a file, which appears when it is whole.

    XTC rounds positions to `xtc_grid_nm`, by default 0.001; `remarks` are those of the models of a PDB file.
    """
    from ..trajectory import open_writer

    progress.start("export", total=n_frames, done=0, unit="frames")
    try:
        with (
            replacing(target, name=f"frames{target.suffix.lower()}") as temporary,
            open_writer(
                temporary, topology, n_frames=n_frames, xtc_grid_nm=xtc_grid_nm, remarks=remarks
            ) as writer,
        ):
            for block in blocks:
                writer.write(block)
                progress.advance(len(block.xyz))
    finally:
        progress.finish()
