"""Leaders and medoids of a clustering, for other programs."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, StoreWriteError
from ..metric import ClusterMetric, read_metric
from ..progress import Progress, Silent
from ..report import ClusterTable
from ..store import Store, Watch, require_ingest, store_path, take
from .coordinates import ExportResult, named_clustering, unchanged, write_frames
from .target import checked_target, replacing

if TYPE_CHECKING:
    pass

__all__ = [
    "export_representatives",
    "has_current_medoids",
    "medoids_path",
    "superposed",
    "write_medoids",
]

PDB_NM = -99.999, 999.999
"""The range of a coordinate that fits into PDB's eight columns in Å."""


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

    By default they lie on the first by the atoms of the RMSD; if frames are superposed on a reference, on
    that; if frames are compared as they are, as they are. They have no unit cell, since it wouldn't fit
    positions that were turned; `export_coordinates` and the accessor of `open_results` give positions as
    they are stored.

    Parameters
    ----------
    store
        Path of the store.
    path
        The file; its extension gives the format, see `export_coordinates`.
    kind
        ``medoids``, one of each cluster in the order of their numbers, or ``leaders``, in the order of
        ``leader``.
    name
        Name of the clustering, by default ``default``, or the only one.
    overwrite
        Whether a file that exists is replaced.
    progress
        Progress reporter; gets notes on what the format has no room for.

    Raises
    ------
    ConfigError
        If there is no such format or clustering, or the file exists.
    StageIncompleteError
        If the clustering has not finished.
    TrajectoryError
        If the format has no room for a structure.
    StoreWriteError
        If the disk refuses.
    """
    from ..trajectory import Block, output_format, topology_from_json

    opened = Store.open(store_path(store))
    require_ingest(opened)
    entry = output_format(path)
    sources = [str(source) for source in opened.read("trajectory_path")]
    target = checked_target(path, store=opened.path, overwrite=overwrite, sources=sources)
    name = named_clustering(opened, name)
    group = f"clusterings/{name}"
    watch = Watch(opened.path, name)
    if kind == "medoids":
        if not opened.has(f"{group}/medoid_frame"):
            raise ConfigError(
                f"The clusters of {name} in {opened.path} are led by structures from outside and have no "
                "medoids. Export leaders instead."
            )
        frames = opened.read(f"{group}/medoid_frame")
        xyz = take(opened, "position", frames)
    else:
        frames, xyz = opened.read(f"{group}/leader_frame"), opened.read(f"{group}/leader_position")
        if not np.isfinite(xyz).all():
            raise ConfigError(
                f"Some leaders of {opened.path} come from outside and lack atoms, which no format can leave "
                "out. Take their known atoms from `open_results(…).twopass.leaders()`."
            )
    has_time = bool((frames >= 0).all()) and opened.attrs("time")["time_source"] != "index"
    time: NDArray[Any] | None = None
    if has_time or entry.needs_time:
        column = take(opened, "time" if has_time else "source_frame", np.maximum(frames, 0))
        time = np.where(frames < 0, 0, column)
    block = Block(superposed(xyz, read_metric(opened, group)), time)
    topology = topology_from_json(opened.attrs()["topology"], n_atoms=xyz.shape[1])
    keys = "position", f"{group}/{'medoid_frame' if kind == 'medoids' else 'leader_position'}"
    write_frames(unchanged([block], watch, *keys), topology, target, len(frames), progress or Silent())
    return ExportResult(target, entry.name, len(frames), xyz.shape[1], None, name)


def medoids_path(store: str | os.PathLike[str], name: str) -> Path:
    """Return where the medoids of a clustering are written: beside the store."""
    path = store_path(store)
    stem = path.stem if path.suffix == ".zarr" else path.name
    return path.with_name(f"{stem}.{name}.medoids.pdb")


def has_current_medoids(table: ClusterTable) -> bool:
    """Tell whether the file of the medoids is there and of this very clustering."""
    try:
        with medoids_path(table.attrs["store"], table.attrs["clustering"]).open(encoding="utf-8") as file:
            return file.readline() == _identity(table)
    except (OSError, UnicodeDecodeError):
        return False


def write_medoids(table: ClusterTable) -> Path:
    """Write the medoids beside the store as a multi-model PDB, superposed as in `export_representatives`.

    Model 1 is that of cluster 1; remarks say which frame each one is. A file that exists is replaced.
    """
    from ..trajectory import Block, open_writer, topology_from_json

    opened, columns = Store.open(Path(table.attrs["store"])), table.columns
    name = table.attrs["clustering"]
    xyz = take(opened, "position", columns["medoid_frame"])
    topology = topology_from_json(opened.attrs()["topology"], n_atoms=xyz.shape[1])
    medoids = superposed(xyz, read_metric(opened, f"clusterings/{name}"))
    remarks = [_identity(table)]
    places = (columns[key] for key in ("cluster", "medoid_source_frame", "medoid_path"))
    for cluster, frame, file in zip(*places, strict=True):
        # A line break in a name would be one in the file.
        shown = "".join(each if each.isprintable() else "?" for each in Path(file).name)
        remarks.append(f"REMARK   6 MODEL {cluster}: cluster {cluster}, frame {frame} of {shown}\n")

    path = medoids_path(opened.path, name)
    if path.is_dir():
        raise StoreWriteError(f"Cannot write {path}: a folder stands there. Give it another name.")
    with replacing(path, name="medoids.pdb") as temporary:
        with open_writer(temporary, topology, n_frames=len(medoids)) as writer:
            writer.write(Block(medoids))
        temporary.write_text("".join(remarks) + temporary.read_text(encoding="utf-8"), encoding="utf-8")
    return path


def superposed(xyz: NDArray[np.float32], metric: ClusterMetric) -> NDArray[np.float32]:
    """Superpose structures as they are compared, shape (n_models, n_atoms, 3), nm."""
    from ..rmsd import superpose

    if metric.fit == "pairs":
        # Around the origin, since PDB has no room for coordinates far out.
        reference = xyz[0] - xyz[0].mean(axis=0, dtype=np.float64)
        return superpose(xyz, reference, atom_indices=metric.atoms, weights=metric.masses)
    if metric.align_atoms is not None and metric.reference is not None:
        reference = np.full(xyz.shape[1:], np.nan)
        reference[metric.align_atoms] = metric.reference
        xyz = superpose(xyz, reference, atom_indices=metric.align_atoms, weights=metric.align_masses)
    if xyz.min() > PDB_NM[0] and xyz.max() < PDB_NM[1]:
        return xyz
    # One shift of all keeps how they lie to each other.
    shifted: NDArray[np.float32] = (xyz - np.round(xyz[0].mean(axis=0, dtype=np.float64))).astype(np.float32)
    return shifted


def _identity(table: ClusterTable) -> str:
    return f"REMARK   6 MEDOIDS OF {table.attrs['clustering']}, {table.attrs['fingerprint']}\n"
