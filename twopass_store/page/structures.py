"""Structures for the page's view in 3-D: the medoids, and the frames of the map."""

import base64
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..export import superposed
from ..metric import read_metric
from ..store import Store, take

__all__ = ["structures"]

MAX_BYTES = 3_500_000
"""Of all structures together, as text: 8 for an atom of each, and `PDB_BYTES` for it in the template."""

PDB_BYTES = 100

PER_ANGSTROM = 100
"""Positions are rounded to 0.01 Å, as 3-D views need no more."""

POLYMER_RESIDUES = 4
"""A chain of so many amino acids or nucleotides is drawn as a ribbon."""


def structures(store: Store, results: xr.Dataset, frames: NDArray[np.int64]) -> dict[str, Any]:
    """Return a template in PDB format and the positions of structures, all superposed as they are compared.

    ``pdb`` is the first structure; ``positions`` the base64 text of little-endian int16, shape (n_structures,
    n_atoms, 3), in 0.01 Å: the medoids by label, then `frames`. Water is left out; of large systems only
    heavy atoms, or those of the RMSD, are there.
    """
    from ..trajectory import topology_from_json

    topology = topology_from_json(results.attrs["topology"], n_atoms=results.sizes["atom"])
    medoids = results["medoid_frame"].values if "medoid_frame" in results else np.empty(0, np.int64)
    if len(medoids):
        xyz = take(store, "position", np.concatenate([medoids, frames]))
    else:
        first = np.unique(results["leader_label"].values, return_index=True)[1]
        xyz = results["leader_position"].values[first]
    known = np.isfinite(xyz).all(axis=(0, 2))
    atoms = _shown_atoms(topology, results["selected_atom_index"].values, known, len(xyz))
    shown = superposed(xyz, read_metric(store, f"clusterings/{results.attrs['clustering']}"))[:, atoms]
    shown = shown - shown[0].mean(axis=0)
    kept = topology.subset(atoms)
    polymer = [r for r in kept.residues if r.is_protein or r.is_nucleic]
    grid = np.clip(np.round(shown * (10 * PER_ANGSTROM)), -32767, 32767).astype("<i2")
    return {
        "pdb": _pdb(kept, shown[0]),
        "positions": base64.b64encode(grid.tobytes()).decode(),
        "n_atoms": len(atoms),
        "n_medoids": len(xyz) - (len(frames) if len(medoids) else 0),
        "is_polymer": len(polymer) >= POLYMER_RESIDUES,
        "left_out": "" if len(atoms) == topology.n_atoms else f"{len(atoms):,} of {topology.n_atoms:,} atoms",
    }


def _shown_atoms(
    topology: Any, selected: NDArray[np.int64], known: NDArray[np.bool_], n_structures: int
) -> NDArray[np.int64]:
    """Return all atoms but water, the heavy ones or those of the RMSD: the most within the bound."""
    dry = known & [not atom.residue.is_water for atom in topology.atoms]
    heavy = np.array([atom.element is None or atom.element.symbol != "H" for atom in topology.atoms])
    for choice in (np.flatnonzero(dry), np.flatnonzero(dry & heavy)):
        if 0 < len(choice) * (8 * n_structures + PDB_BYTES) <= MAX_BYTES:
            return choice
    return np.intersect1d(selected, np.flatnonzero(known))


def _pdb(topology: Any, xyz: NDArray[np.floating[Any]]) -> str:
    from ..trajectory import Block, open_writer

    with TemporaryDirectory(prefix="twopass-") as folder:
        path = Path(folder) / "first.pdb"
        with open_writer(path, topology, n_frames=1) as writer:
            writer.write(Block(xyz[np.newaxis].astype(np.float32)))
        lines = path.read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if line.startswith(("ATOM", "HETATM", "TER", "CONECT")))
