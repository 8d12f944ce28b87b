"""Names and numbers of atoms and residues, cut to what a format has room for."""

from collections.abc import Iterable

import mdtraj as md

from .output_formats import OutputFormat

__all__ = ["fit_names"]

# Format: characters of a residue's name and of an atom's, and the first residue number that is too large.
_ROOM = {"PDB": (3, 4, 10_000), "GRO": (5, 5, 100_000)}
_SHOWN = 3


def fit_names(topology: md.Topology, entry: OutputFormat) -> tuple[md.Topology, list[str]]:
    """Topology with names and residue numbers that fit into the columns of a format.

    Parameters
    ----------
    topology
        The atoms; not modified.
    entry
        The format.

    Returns
    -------
    The topology itself where all fits, otherwise a copy; and what was cut, for messages.
    """
    if entry.name not in _ROOM:
        return topology, []
    n_residue, n_atom, n_numbers = _ROOM[entry.name]
    long_residues = {residue.name for residue in topology.residues if len(residue.name) > n_residue}
    long_atoms = {atom.name for atom in topology.atoms if len(atom.name) > n_atom}
    has_large = any(residue.resSeq >= n_numbers for residue in topology.residues)
    cut = []
    if long_residues:
        cut.append(f"names of residues cut to {n_residue} characters ({_listed(long_residues)})")
    if long_atoms:
        cut.append(f"names of atoms cut to {n_atom} characters ({_listed(long_atoms)})")
    if has_large:
        cut.append(f"residues counted from 0 again at {n_numbers}")
    if not cut:
        return topology, []
    fitted = topology.copy()
    for residue in fitted.residues:
        residue.name = residue.name[:n_residue]
        residue.resSeq %= n_numbers
    for atom in fitted.atoms:
        atom.name = atom.name[:n_atom]
    return fitted, cut


def _listed(names: Iterable[str]) -> str:
    found = sorted(names)
    return ", ".join(found[:_SHOWN]) + (f" and {len(found) - _SHOWN} more" if found[_SHOWN:] else "")
