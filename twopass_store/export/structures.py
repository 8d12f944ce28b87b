"""Leaders and medoids out of a store, for other programs."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import StoreWriteError
from ..partition import FrameRange
from ..report import Summary
from ..store import Store, open_results, store_path
from .target import replacing

if TYPE_CHECKING:
    import mdtraj as md

    from ..metric import ClusterMetric

__all__ = ["has_current_medoids", "load_leaders", "medoids_path", "placed", "write_medoids"]

PDB_NM = -99.999, 999.999
"""What a coordinate's eight columns in Å have room for."""


def load_leaders(store: str | os.PathLike[str], name: str | None = None) -> "md.Trajectory":
    """Return the leaders of a clustering as a trajectory, in the order of ``leader``.

    Parameters
    ----------
    store
        Path of the store.
    name
        Name of the clustering; may be left out where there is only one.

    Returns
    -------
    A trajectory of n_leaders frames with all stored atoms (NaN where a structure from outside has none).
    Its times are those of the leaders' frames, ps, or frame numbers where the input has no times.

    Raises
    ------
    StoreError
        If there is no such store or clustering, or it has not finished.
    ConfigError
        If there are several clusterings and no name is given.
    """
    import mdtraj as md

    from ..trajectory import topology_from_json

    with open_results(store, name) as results:
        frames = results.leader_frame.values
        inside = frames >= 0
        time = np.full(len(frames), np.nan)
        time[inside] = results.time.values[frames[inside]]
        topology = topology_from_json(results.attrs["topology"], n_atoms=results.sizes["atom"])
        return md.Trajectory(results.leader_position.values, topology, time=time)


def medoids_path(store: str | os.PathLike[str], name: str) -> Path:
    """Return where the medoids of a clustering are written: beside the store."""
    path = store_path(store)
    stem = path.stem if path.suffix == ".zarr" else path.name
    return path.with_name(f"{stem}.{name}.medoids.pdb")


def has_current_medoids(summary: Summary) -> bool:
    """Tell whether the file of the medoids is there and of this very clustering."""
    try:
        with medoids_path(summary.path, summary.name).open(encoding="utf-8") as file:
            return file.readline() == _identity(summary)
    except (OSError, UnicodeDecodeError):
        return False


def write_medoids(summary: Summary) -> Path:
    """Write the medoids as a multi-model PDB, superposed as the clustering's metric says.

    By default they lie on the first by the atoms of the RMSD, with its weights; where frames are superposed
    on a reference, on that; where they are compared as they are, as they are.

    Parameters
    ----------
    summary
        Of the clustering. Model 1 is its most populated cluster, C1; remarks say which frame each one is.

    Returns
    -------
    Path of the file, see `medoids_path`; replaced where it exists.

    Raises
    ------
    TrajectoryError
        If the format has no room for a coordinate.
    StoreWriteError
        If it can't be written.
    """
    from ..metric import read_metric
    from ..trajectory import topology_from_json, write_pdb_models

    opened = Store.open(Path(summary.path))
    frames = [row.medoid_frame for row in summary.clusters]
    xyz = np.concatenate([opened.read_positions(FrameRange(frame, frame + 1)) for frame in frames])
    topology = topology_from_json(opened.attrs()["topology"], n_atoms=xyz.shape[1])
    medoids = placed(xyz, read_metric(opened, f"clusterings/{summary.name}"))
    remarks = [_identity(summary)]
    for row in summary.clusters:
        # A line break in a name would be one of the file.
        name = "".join(each if each.isprintable() else "?" for each in Path(row.medoid_path).name)
        where = f"frame {row.medoid_source_frame} of {name}"
        remarks.append(f"REMARK   6 MODEL {row.rank}: C{row.rank}, label {row.label}, {where}\n")

    path = medoids_path(summary.path, summary.name)
    if path.is_dir():
        raise StoreWriteError(f"Cannot write {path}: a folder stands there. Give it another name.")
    with replacing(path) as temporary:
        write_pdb_models(medoids, topology, path=temporary)
        temporary.write_text("".join(remarks) + temporary.read_text(encoding="utf-8"), encoding="utf-8")
    return path


def placed(xyz: NDArray[np.float32], metric: "ClusterMetric") -> NDArray[np.float32]:
    """Lay structures as they are compared, shape (n_models, n_atoms, 3), nm."""
    from ..rmsd import superpose

    if metric.fit == "pairs":
        # Round the origin, since PDB has no room for coordinates far out.
        reference = xyz[0] - xyz[0].mean(axis=0, dtype=np.float64)
        return superpose(xyz, reference, atom_indices=metric.atoms, weights=metric.masses)
    placed = xyz
    if metric.align_atoms is not None and metric.reference is not None:
        reference = np.full(xyz.shape[1:], np.nan)
        reference[metric.align_atoms] = metric.reference
        placed = superpose(xyz, reference, atom_indices=metric.align_atoms, weights=metric.align_masses)
    if placed.min() > PDB_NM[0] and placed.max() < PDB_NM[1]:
        return placed
    # One shift of all leaves them lying to each other as they do.
    shift = np.round(placed[0].mean(axis=0, dtype=np.float64))
    shifted: NDArray[np.float32] = (placed - shift).astype(np.float32)
    return shifted


def _identity(summary: Summary) -> str:
    return f"REMARK   6 MEDOIDS OF {summary.name}, {summary.fingerprint}\n"
