"""Medoids and leaders of a clustering as a file of any format."""

import os
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from ..metric import read_metric
from ..progress import Progress, Silent
from ..report import summarize
from ..store import Store, Watch, store_path
from .coordinates import ExportResult, clustering_name, finished_store
from .frames import take
from .structures import placed
from .target import checked_target, replacing
from .writer import fitted_topology, opened_writer

__all__ = ["export_representatives"]


def export_representatives(
    store: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    kind: Literal["medoids", "leaders"],
    name: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ExportResult:
    """Write the medoids or the leaders of a clustering, superposed as its metric says.

    By default they lie on the first by the atoms of the RMSD; where frames are superposed on a reference, on
    that; where they are compared as they are, as they are. They have no unit cell, since it wouldn't fit
    positions that were turned; `load_leaders` and `export_coordinates` give positions as they are stored.

    Parameters
    ----------
    store
        Path of the store.
    path
        The file; its extension says the format, see `export_coordinates`.
    kind
        ``medoids``, in order of rank, the most populated cluster first, or ``leaders``, in the order of
        ``leader``.
    name
        Name of the clustering; may be left out where there is only one.
    overwrite
        Whether a file that exists is replaced.
    progress
        Who is told what the format has no room for.

    Raises
    ------
    ConfigError
        If there is no such format or clustering, or the file exists.
    StageIncompleteError
        If the clustering has not finished; medoids need assign too, which ranks them.
    TrajectoryError
        If the format has no room for a structure.
    StoreWriteError
        If the disk refuses.
    """
    from ..trajectory import XTC_GRID_NM, WrittenFrames, output_format, topology_from_json

    opened = finished_store(store_path(store))
    entry = output_format(path)
    sources = [str(source) for source in opened.read("trajectory_path")]
    target = checked_target(path, store=opened.path, overwrite=overwrite, sources=sources)
    group = f"clusterings/{clustering_name(opened, name)}"
    watch = Watch(opened.path, group.removeprefix("clusterings/"))
    if kind == "medoids":
        rows = summarize(opened.path, group.removeprefix("clusterings/")).clusters
        frames = np.array([row.medoid_frame for row in rows], np.int64)
        if (frames < 0).any():
            raise ConfigError(
                f"The clusters of {name} in {opened.path} are led by structures from outside and have no "
                "medoids. Export leaders instead."
            )
        xyz = take(opened, "position", frames)
    else:
        frames, xyz = opened.read(f"{group}/leader_frame"), opened.read(f"{group}/leader_position")
        if not np.isfinite(xyz).all():
            raise ConfigError(
                f"Some leaders of {opened.path} come from outside and lack atoms, which no format can leave "
                "out. Take their known atoms from `twopass_store.load_leaders`."
            )
    written = WrittenFrames(
        xyz=placed(xyz, read_metric(opened, group)),
        step=_of_frames(opened, "source_frame", frames),
        time=_of_frames(opened, "time", frames) if _has_times(opened, frames) else None,
        unitcell_lengths=None,
        unitcell_angles=None,
    )
    topology = topology_from_json(opened.attrs()["topology"], n_atoms=opened.shape("position")[1])
    topology = fitted_topology(topology, entry, target, progress or Silent())
    with (
        replacing(target) as temporary,
        opened_writer(
            entry,
            temporary,
            topology,
            n_frames=len(frames),
            has_unitcell=False,
            xtc_grid_nm=XTC_GRID_NM,
        ) as writer,
    ):
        writer.write(written)
        # Medoids are ranked by the labels.
        watch.require("position", f"{group}/{'label' if kind == 'medoids' else 'leader_position'}")
    return ExportResult(target, entry.name, len(frames), xyz.shape[1], None)


def _has_times(store: Store, frames: NDArray[np.int64]) -> bool:
    return bool((frames >= 0).all()) and store.attrs("time")["time_source"] != "index"


def _of_frames(store: Store, column: str, frames: NDArray[np.int64]) -> NDArray[Any]:
    """Return values of frames; 0 for structures from outside."""
    return np.where(frames < 0, 0, take(store, column, np.maximum(frames, 0)))
