"""Structures out of a store, for other programs."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .errors import StoreWriteError
from .partition import FrameRange
from .store import Store, open_results

if TYPE_CHECKING:
    import mdtraj as md

__all__ = ["load_leaders", "medoids_path", "write_medoids"]


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

    from .trajectory import topology_from_json

    with open_results(store, name) as results:
        frames = results.leader_frame.values
        inside = frames >= 0
        time = np.full(len(frames), np.nan)
        time[inside] = results.time.values[frames[inside]]
        topology = topology_from_json(results.attrs["topology"])
        return md.Trajectory(results.leader_position.values, topology, time=time)


def medoids_path(store: str | os.PathLike[str], name: str) -> Path:
    """Return where the medoids of a clustering are written: beside the store."""
    path = Path(store).absolute()
    return path.with_name(f"{path.stem}-{name}-medoids.pdb")


def write_medoids(store: str | os.PathLike[str], name: str, *, frames: list[int]) -> Path:
    """Write the medoids as a multi-model PDB, all superposed on the first by the atoms of the RMSD.

    Parameters
    ----------
    store, name
        The clustering.
    frames
        The medoids, frames of the store, in the order of the models; model 1 is the first.

    Returns
    -------
    Path of the file, see `medoids_path`; replaced where it exists.

    Raises
    ------
    StoreWriteError
        If it can't be written.
    """
    import mdtraj as md

    from .trajectory import topology_from_json, write_pdb_models

    opened = Store.open(Path(store).absolute())
    atoms = opened.read(f"clusterings/{name}/selected_atom_index")
    xyz = np.concatenate([opened.read_positions(FrameRange(frame, frame + 1)) for frame in frames])
    medoids = md.Trajectory(xyz, topology_from_json(opened.attrs()["topology"]))
    # superpose centres on the origin first: PDB has no room for coordinates far out.
    medoids.center_coordinates()
    medoids.superpose(medoids, frame=0, atom_indices=atoms)
    path = medoids_path(store, name)
    temporary = path.with_name(f".{path.stem}-{os.getpid()}.pdb")
    try:
        write_pdb_models(medoids.xyz, medoids.topology, path=temporary)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StoreWriteError(f"Cannot write {path}: {error.strerror or error}.") from error
    return path
