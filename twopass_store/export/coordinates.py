"""Frames of a store as a trajectory file."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
from numpy.typing import NDArray

from ..config import ExportConfig, ExportOptions, validated
from ..errors import ConfigError, StageIncompleteError
from ..partition import FrameRange
from ..progress import Progress, Silent
from ..report import summarize
from ..store import Store, Watch, store_path
from .frames import FrameChoice, chosen_frames, rows_by_chunk, take
from .target import checked_target, replacing
from .writer import fitted_topology, opened_writer

if TYPE_CHECKING:
    import mdtraj as md

    from ..trajectory import OutputFormat, WrittenFrames

__all__ = ["ExportResult", "clustering_name", "export_coordinates", "finished_store"]


FLOAT32_TIMES = ("XTC", "TRR", "MDTraj HDF5", "Amber NetCDF")
"""Formats that keep times in 32 bits."""


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
    top_path
        The topology beside it, if one was asked for.
    """

    path: Path
    format: str
    n_frames: int
    n_atoms: int
    top_path: Path | None


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
        The file; its extension says the format: any that mdtraj writes frame by frame (xtc, trr, dcd, h5, nc,
        mdcrd, xyz, lammpstrj, gro, pdb, cif), or ``zarrmd``, a folder that MDAnalysis reads through zarrtraj.
        It appears when it is whole.
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
        If the format has no room for a frame.
    StoreWriteError
        If the disk refuses.
    """
    from ..trajectory import output_format, topology_from_json

    config = validated(ExportConfig, options)
    name, top_path = config.name, config.top_to
    progress = progress or Silent()
    opened = finished_store(store_path(store))
    entry = output_format(path)
    sources = [str(source) for source in opened.read("trajectory_path")]
    target = checked_target(path, store=opened.path, overwrite=overwrite, sources=sources)
    top_target = None
    if top_path is not None:
        output_format(top_path, with_topology=True)
        top_target = checked_target(top_path, store=opened.path, overwrite=overwrite, sources=sources)
        if top_target == target:
            raise ConfigError(f"Trajectory and topology can't both be {target}. Give two names.")

    n_stored, n_atoms, _ = opened.shape("position")
    needs_labels = bool(config.label or config.cluster)
    watch = Watch(opened.path, clustering_name(opened, name) if needs_labels else None)
    wanted, label_path = _labels(opened, name, config.label, config.cluster)
    choice = FrameChoice(opened, chosen_frames(config.frames, n_stored), label_path, wanted, config.stride)
    source = _FrameSource(opened, choice, watch)
    if not source.n_frames:
        raise ConfigError("No frame has these labels in the range asked for. Ask for a wider range.")
    topology = topology_from_json(opened.attrs()["topology"], n_atoms=opened.shape("position")[1])
    for message in source.losses(entry):
        progress.note(f"{target.name}: {message}")
    _write(source, fitted_topology(topology, entry, target, progress), target, entry, progress)
    if top_target is not None:
        fitted = fitted_topology(topology, output_format(top_target), top_target, progress)
        _write_topology(source, fitted, top_target)
    return ExportResult(target, entry.name, source.n_frames, n_atoms, top_target)


def finished_store(path: Path) -> Store:
    """Open a store whose ingest has finished.

    Raises
    ------
    StageIncompleteError
        If it has not.
    """
    store = Store.open(path)
    ingest = store.journal("ingest")
    if ingest is None or not ingest.complete:
        raise StageIncompleteError(
            f"{path}: ingest has not finished. `twopass status {path}` says how to go on with it."
        )
    return store


def _labels(
    store: Store,
    name: str | None,
    labels: Sequence[int],
    clusters: Sequence[str],
) -> tuple[frozenset[int] | None, str | None]:
    """Return the labels that are chosen by, and the array that they stand in."""
    if not labels and not clusters:
        if name is not None:
            raise ConfigError(
                "A clustering was named, but no label or cluster of it. Give --label or --cluster."
            )
        return None, None
    name = clustering_name(store, name)
    label_of_rank = {row.rank: row.label for row in summarize(store.path, name).clusters}
    wanted = {label_of_rank[_rank(each, len(label_of_rank))] for each in clusters}
    for label in labels:
        if label not in label_of_rank.values():
            known = ", ".join(map(str, sorted(label_of_rank.values())))
            raise ConfigError(f"Clustering {name} has no label {label}; there are: {known}.")
        wanted.add(label)
    return frozenset(wanted), f"clusterings/{name}/label"


def clustering_name(store: Store, name: str | None) -> str:
    """Return the name of the clustering that is meant.

    Raises
    ------
    ConfigError
        If there is none of that name, or no name was given and there are several.
    StageIncompleteError
        If there is none at all.
    """
    names = store.members("clusterings")
    if name is None and len(names) > 1:
        raise ConfigError(f"{store.path} has several clusterings; say which with --name: {', '.join(names)}.")
    if name is None and not names:
        raise StageIncompleteError(f"{store.path} has no clustering yet. Run `twopass cluster {store.path}`.")
    name = name or names[0]
    if name not in names:
        raise ConfigError(
            f"{store.path} has no clustering {name!r}; there are: {', '.join(names) or 'none'}."
        )
    return name


def _rank(cluster: str, n_clusters: int) -> int:
    text = cluster.strip().upper().removeprefix("C")
    if not text.isdecimal() or not 1 <= int(text) <= n_clusters:
        raise ConfigError(f"There is no cluster {cluster}; they are C1, the largest, to C{n_clusters}.")
    return int(text)


class _FrameSource:
    """The frames chosen of a store, as blocks to be written.

    Where the source files have no steps, those are the frames' numbers in them.
    """

    def __init__(self, store: Store, choice: FrameChoice, watch: Watch) -> None:
        self._store = store
        self._choice = choice
        self._watch = watch
        attrs = store.attrs("time")
        self.has_time = attrs["time_source"] != "index"
        self.n_frames = n_with_cell = 0
        has_cell = store.has("unitcell_lengths")
        for piece in choice.pieces():
            self.n_frames += len(piece)
            if has_cell:
                n_with_cell += int(np.isfinite(take(store, "unitcell_lengths", piece)).all(axis=1).sum())
        self.n_without_cell = self.n_frames - n_with_cell
        self.with_cell = has_cell and self.n_without_cell == 0
        self._has_some_cells = n_with_cell > 0

    def losses(self, entry: "OutputFormat") -> list[str]:
        """Say what a file of a format will lack."""
        lost = []
        if self.has_time and not entry.has_time:
            lost.append("no times")
        if not self.has_time and entry.needs_time:
            lost.append("frame numbers in place of times, since the input had none")
        if self._has_some_cells and not self.with_cell:
            lost.append(f"no unit cells, since {self.n_without_cell} of the frames have none")
        elif self.with_cell and entry.unitcell == "none":
            lost.append("no unit cells")
        elif self.with_cell and entry.unitcell == "first" and self.n_frames > 1:
            lost.append("the unit cell of its first frame only")
        return [f"{entry.name} files have {', '.join(lost)}" if lost else ""][: len(lost)]

    def blocks(self) -> Iterator["WrittenFrames"]:
        """Yield the frames, at most a chunk of positions at a time.

        Raises
        ------
        StoreError
            If labels or positions have been made anew since they were chosen.
        """
        blocks = self._blocks()
        keys = ["position", *([self._choice.label_path] if self._choice.label_path else [])]
        while True:
            with self._watch.over(*keys):
                block = next(blocks, None)
            if block is None:
                return
            yield block

    def _blocks(self) -> Iterator["WrittenFrames"]:
        from ..trajectory import WrittenFrames

        chunk = self._store.chunk_length("position")
        for piece in self._choice.pieces():
            columns = {name: take(self._store, name, piece) for name in self._columns()}
            start = 0
            for run in rows_by_chunk(piece, chunk):
                rows = slice(start, start + len(run))
                start += len(run)
                first = int(run.min())
                positions = self._store.read_positions(FrameRange(first, int(run.max()) + 1))
                part = {name: values[rows] for name, values in columns.items()}
                step = part.get("step", part["source_frame"])
                yield WrittenFrames(
                    xyz=np.ascontiguousarray(positions[run - first]),
                    step=np.where(step < 0, part["source_frame"], step),
                    time=part.get("time"),
                    unitcell_lengths=part.get("unitcell_lengths"),
                    unitcell_angles=part.get("unitcell_angles"),
                    source_vectors=part.get("unitcell_vectors"),
                )

    def _columns(self) -> list[str]:
        names = ["source_frame", "step"]
        names += ["time"] if self.has_time else []
        names += ["unitcell_lengths", "unitcell_angles", "unitcell_vectors"] if self.with_cell else []
        return [name for name in names if self._store.has(name)]

    def grid_nm(self) -> float | None:
        """Spacing of stored positions, where they are integers."""
        scale = self._store.attrs("position").get("scale_factor")
        return None if scale is None else float(scale)


def _write(
    source: _FrameSource, topology: "md.Topology", target: Path, entry: "OutputFormat", progress: Progress
) -> None:
    from ..trajectory import XTC_GRID_NM, rounding_nm

    # What came from an XTC goes back on its very grid.
    grid = source.grid_nm() or XTC_GRID_NM
    moved_nm = moved_ps = 0.0
    progress.start("export", total=source.n_frames, done=0, unit="frames")
    try:
        with (
            replacing(target) as temporary,
            opened_writer(
                entry,
                temporary,
                topology,
                n_frames=source.n_frames,
                has_unitcell=source.with_cell,
                xtc_grid_nm=grid,
            ) as writer,
        ):
            for block in source.blocks():
                writer.write(block)
                moved_nm = max(moved_nm, rounding_nm(entry, block.xyz, xtc_grid_nm=grid))
                if block.time is not None and entry.name in FLOAT32_TIMES:
                    moved_ps = max(moved_ps, float(np.abs(block.time - block.time.astype(np.float32)).max()))
                progress.advance(len(block.xyz))
    finally:
        progress.finish()
    if moved_nm:
        progress.note(f"{target.name}: {entry.name} rounded positions, by {moved_nm:.1g} nm at most")
    if moved_ps:
        progress.note(f"{target.name}: {entry.name} rounded times, by {moved_ps:.1g} ps at most")


def _write_topology(source: _FrameSource, topology: "md.Topology", target: Path) -> None:
    from ..trajectory import WrittenFrames, open_writer

    block = next(source.blocks())
    first: dict[str, NDArray[Any] | None] = {
        field: None if values is None else values[:1]
        for field in WrittenFrames.__slots__
        for values in [getattr(block, field)]
    }
    with replacing(target) as temporary, open_writer(temporary, topology, n_frames=1) as writer:
        writer.write(WrittenFrames(**first))  # type: ignore[arg-type]  # xyz and step are always there
