"""Frames of a store as a trajectory file."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import numpy as np
from numpy.typing import NDArray

from ..config import ExportConfig, ExportOptions, expanded, validated
from ..errors import ConfigError, StoreWriteError
from ..progress import Progress, Silent, counting
from ..report import finished_assign
from ..store import (
    Store,
    chosen_clustering,
    naming_restart,
    read_leaders,
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
    "TOGETHER",
    "ExportResult",
    "export_clusters",
    "export_coordinates",
    "named_clustering",
    "stored_topology",
    "write_frames",
]

TOGETHER = 0  # key of the file that all frames go to; clusters are numbered from 1
MAX_FILES = 400  # that are open at once; systems often allow 1,024 of a process
XTC_GRID_NM = 0.001  # what most XTC files round to


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What an export wrote."""

    path: Path
    format: str  # its name
    n_frames: int
    n_atoms: int
    top_path: Path | None  # a topology beside it, if it was asked for
    clustering: str | None  # that it comes from; None if frames were chosen without one
    script_path: Path | None = None  # a script beside it, if it was asked for


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
    config = validated(ExportConfig, options)
    opened = Store.open(store_path(store, reads=True))
    require_ingest(opened)
    if config.name is not None and not config.cluster:
        raise ConfigError("A clustering was named, but no cluster of it. Give `cluster` too.")
    return _export(opened, {TOGETHER: path}, config, overwrite=overwrite, progress=progress or Silent())[0]


def export_clusters(
    store: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    format: str = "xtc",
    overwrite: bool = False,
    progress: Progress | None = None,
    **options: Unpack[ExportOptions],
) -> tuple[ExportResult, ...]:
    """Write the frames of each cluster to a file of its own, reading all of them once.

    Parameters
    ----------
    store
        Path of the store.
    folder
        Where the files ``cluster_1.xtc``, … are written; it is made if it isn't there.
    format
        Their extension, as in `export_coordinates`.
    overwrite
        Replace files that exist.
    progress
        Progress reporter; it's also told what the format has no room for.
    **options
        See `ExportConfig`. Only the clusters of `cluster` are written, all if it is empty; `stride` counts in
        each cluster.

    Returns
    -------
    What was written, by cluster; clusters without a frame have no file.

    Raises
    ------
    As `export_coordinates`.
    """
    config = validated(ExportConfig, options)
    opened = Store.open(store_path(store, reads=True))
    require_ingest(opened)
    name = named_clustering(opened, config.name)
    labels = config.cluster or range(1, read_leaders(opened, name).n_clusters + 1)
    if len(labels) > MAX_FILES:
        raise ConfigError(
            f"{len(labels)} clusters are {len(labels)} files, and at most {MAX_FILES} are written at once. "
            "Choose some with `cluster`."
        )
    target = expanded(folder).absolute()
    if not target.is_dir():
        checked_target(opened, target, overwrite=False)
        try:
            target.mkdir()
        except OSError as error:
            raise StoreWriteError(f"Cannot make {target}: {error.strerror or error}.") from error
    config = config.model_copy(update={"name": name, "cluster": tuple(labels)})
    paths = {label: target / f"cluster_{label}.{format}" for label in labels}
    return _export(opened, paths, config, overwrite=overwrite, progress=progress or Silent())


def _export(
    opened: Store,
    paths: Mapping[int, str | os.PathLike[str]],
    config: ExportConfig,
    *,
    overwrite: bool,
    progress: Progress,
) -> tuple[ExportResult, ...]:
    """Write frames to one file for each cluster, or to that of the key `TOGETHER`."""
    from ..trajectory import output_format

    entry = output_format(next(iter(paths.values())))
    targets = {key: checked_target(opened, path, overwrite=overwrite) for key, path in paths.items()}
    top_target = None
    if config.top_to is not None:
        output_format(config.top_to, with_topology=True)
        top_target = checked_target(opened, config.top_to, overwrite=overwrite)
        if top_target in targets.values():
            raise ConfigError(f"Trajectory and topology can't both be {top_target}. Give two names.")

    name = named_clustering(opened, config.name) if config.cluster else None
    n_stored, _, _ = opened.shape("position")
    pieces = partial(frame_pieces, opened, chosen_frames(config.frames, n_stored), stride=config.stride)
    keys, is_split = ["position"], TOGETHER not in targets
    if name is not None:
        keys.append(f"clusterings/{name}/label")
        with naming_restart(opened.path, name):
            finished_assign(opened, name)
        last, n_clusters = max(config.cluster), read_leaders(opened, name).n_clusters
        if last > n_clusters:
            raise ConfigError(f"Clustering {name} has no cluster {last}; they are 1 to {n_clusters}.")
        pieces = partial(pieces, label_path=keys[-1], labels=config.cluster, in_each=is_split)
    source = _FrameSource(opened, pieces, entry, config, keys[-1] if is_split else None)
    if not source.counts:
        raise ConfigError("No frame of these clusters is in the range asked for. Ask for a wider range.")
    if source.lost:
        first = next(iter(targets.values()))
        progress.note(f"{first.name}: {entry.name} files have {', '.join(source.lost)}")
    # What came from an XTC goes back on its very grid; in its file that may be finer than in the store.
    grid = opened.attrs("position").get("scale_factor", XTC_GRID_NM)
    grid = min(grid, XTC_GRID_NM) if config.from_source else grid
    files = {key: (target, source.counts[key]) for key, target in targets.items() if key in source.counts}
    write_frames(source.blocks(), source.topology, files, progress, opened.unchanged(name), xtc_grid_nm=grid)
    if top_target is not None:
        topmost = [(TOGETHER, next(source.blocks())[1].first())]
        write_frames(topmost, source.topology, {TOGETHER: (top_target, 1)}, Silent(), opened.unchanged(name))
    return tuple(
        ExportResult(target, entry.name, n_frames, source.topology.n_atoms, top_target, name)
        for target, n_frames in files.values()
    )


def named_clustering(store: Store, name: str | None) -> str:
    """Return the name of a finished clustering: see `chosen_clustering`."""
    with naming_restart(store.path, name):
        chosen = chosen_clustering(store, name)
        require_clustering(store, chosen)
        return chosen


class _FrameSource:
    """The frames chosen of a store, as blocks for files of a format, and what is `lost` with that.

    They go to the files of their labels in `label_path`, or all to `TOGETHER`; `counts` are those of each.
    """

    def __init__(
        self,
        store: Store,
        pieces: Callable[[], Iterator[NDArray[np.int64]]],
        entry: "TrajectoryFormat",
        config: ExportConfig,
        label_path: str | None,
    ) -> None:
        from ..ingest.resume import SourceFrames

        self._store, self._pieces, self._label_path = store, pieces, label_path
        self.lost = []
        has_time = store.attrs("time")["time_source"] != "index"
        self._time = "time" if has_time else "source_frame" if entry.needs_time else None
        if has_time and not entry.has_time:
            self.lost.append("no times")
        if not has_time and entry.needs_time:
            self.lost.append("frame numbers in place of times, since the input had none")
        self.counts = Counter[int]()
        n_with_cell = 0
        has_cell = store.has("unitcell_lengths")
        files: set[int] = set()
        for piece in pieces():
            keys, counts = np.unique(self._keys(piece), return_counts=True)
            self.counts.update(dict(zip(keys.tolist(), counts.tolist(), strict=True)))
            files.update(take(store, "trajectory", piece).tolist() if config.from_source else ())
            if has_cell:
                n_with_cell += int(np.isfinite(take(store, "unitcell_lengths", piece)).all(axis=1).sum())
        n_frames = self.counts.total()
        self._has_cell = 0 < n_with_cell == n_frames
        if 0 < n_with_cell < n_frames:
            self.lost.append(f"no unit cells, since {n_frames - n_with_cell} of the frames have none")
        elif self._has_cell and entry.unitcell == "none":
            self.lost.append("no unit cells")
        elif self._has_cell and entry.unitcell == "first" and n_frames > 1:
            self.lost.append("the unit cell of its first frame only")
        self._files = SourceFrames(store, files, image=config.image) if files else None

    @property
    def topology(self) -> "md.Topology":
        return stored_topology(self._store) if self._files is None else self._files.topology

    def _keys(self, frames: NDArray[np.int64]) -> NDArray[np.integer]:
        """Return the file that each frame goes to."""
        if self._label_path is None:
            return np.full(len(frames), TOGETHER, np.int8)
        return take(self._store, self._label_path, frames)

    def blocks(self) -> Iterator[tuple[int, "Block"]]:
        """Yield the frames and the file that they go to, at most a chunk of positions at a time."""
        from ..trajectory import Block

        names = {"time": self._time} if self._time else {}
        if self._has_cell:
            names |= {name: name for name in ("unitcell_lengths", "unitcell_angles")}
        for piece in self._pieces():
            columns = {key: take(self._store, name, piece) for key, name in names.items()}
            files, start = self._keys(piece), 0
            for xyz in self._positions(piece):
                here = files[start : start + len(xyz)]
                for file in np.unique(here):
                    rows = np.flatnonzero(here == file)
                    part = {key: values[start + rows] for key, values in columns.items()}
                    yield int(file), Block(xyz if len(rows) == len(xyz) else xyz[rows], **part)
                start += len(xyz)

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


def write_frames(
    blocks: "Iterable[tuple[int, Block]]",
    topology: "md.Topology",
    files: Mapping[int, tuple[Path, int]],
    progress: Progress,
    intact: AbstractContextManager[None],
    *,
    xtc_grid_nm: float = XTC_GRID_NM,
    remarks: Sequence[str] = (),
) -> None:
    """Write blocks to the files of their keys, each of so many frames, which appear when all are whole.

    `intact` makes sure that what they come from was still there behind the last one. The other options are
    those of `open_writer`.
    """
    from ..trajectory import open_writer

    total = sum(n_frames for _, n_frames in files.values())
    with counting(progress, "export", total=total, unit="frames"), ExitStack() as stack:
        writers = {}
        for key, (target, n_frames) in files.items():
            temporary = stack.enter_context(replacing(target, name=f"frames{target.suffix.lower()}"))
            writer = open_writer(
                temporary, topology, n_frames=n_frames, xtc_grid_nm=xtc_grid_nm, remarks=remarks
            )
            writers[key] = stack.enter_context(writer)
        with intact:
            for key, block in blocks:
                writers[key].write(block)
                progress.advance(len(block.xyz))
