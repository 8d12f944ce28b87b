"""What atoms are: how much a selection holds, what is solvent, which atoms make sense for an RMSD."""

from typing import Any

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from ..errors import SelectionError

__all__ = [
    "default_rmsd_atoms",
    "describe_selection",
    "is_solvent",
    "solvent_fraction",
    "unusual_residues",
]

_MIN_PROTEIN_RESIDUES = 10

# Water models and the monoatomic ions as Gromacs, Amber, CHARMM and Martini name them; mdtraj's own list of
# waters lacks most.
_WATER_NAMES = """
    HOH H2O HHO OHH OH2 SOL WAT DOD D2O TIP TIP2 TIP3 TIP4 TIP5 TIP3P TIP4P TIP5P TP3 TP4 TP5 TIP4PEW T3P
    T4P SPC SPCE OPC OPC3 W PW WF WN
"""
_WATER = frozenset(_WATER_NAMES.split())
_IONS_NAMES = """
    NA NA+ SOD NAP CL CL- CLA CIM CIP K K+ POT MG MG+ MG2 MG2+ CA CA+ CA2 CA2+ CAL ZN ZN2 ZN2+ LI LI+ LIT RB
    RB+ RUB CS CS+ CES BR BR- BRO F F- FLU I I- IOD IB BA BA2+ BAR SR SR2+ CD CD2+ CD2 MN MN2+ FE FE2 FE2+
    FE3+ CO CU CU1 CU2+ NI AL AG HG PB ION
"""
_IONS = frozenset(_IONS_NAMES.split())


def describe_selection(topology: md.Topology, atom_indices: NDArray[np.int64]) -> str:
    """Count the atoms, residues and chains of a selection, as in "66 atoms in 22 residues of 1 chain"."""
    residues = {topology.atom(int(index)).residue for index in atom_indices}
    chains = {residue.chain.index for residue in residues}
    counts = {"atom": len(atom_indices), "residue": len(residues), "chain": len(chains)}
    return "{} in {} of {}".format(*(f"{n} {noun}{'' if n == 1 else 's'}" for noun, n in counts.items()))


def solvent_fraction(topology: md.Topology) -> float:
    """Share of the atoms that are water or monoatomic ions, 0 to 1."""
    n_solvent = sum(residue.n_atoms for residue in topology.residues if is_solvent(residue))
    return n_solvent / topology.n_atoms if topology.n_atoms else 0.0


def unusual_residues(topology: md.Topology) -> dict[str, int]:
    """Residues with a protein's backbone that mdtraj's keyword ``protein`` leaves out.

    Returns
    -------
    How many there are of each name, in the order in which they come: those with carbons CA and C (and mostly
    N) whose names aren't in mdtraj's list, such as phosphorylated and non-standard amino acids.
    """
    found: dict[str, int] = {}
    for residue in topology.residues:
        if residue.n_atoms > 1 and not residue.is_protein:
            carbons = {atom.name for atom in residue.atoms if atom.element is None or _symbol(atom) == "C"}
            if {"CA", "C"} <= carbons:
                found[residue.name] = found.get(residue.name, 0) + 1
    return found


def is_solvent(residue: Any) -> bool:
    """Tell whether a residue of a topology is water or a monoatomic ion."""
    name = residue.name.strip().upper()
    return residue.is_water or name in _WATER or (residue.n_atoms == 1 and name in _IONS)


def default_rmsd_atoms(topology: md.Topology) -> tuple[NDArray[np.int64], str]:
    """Atoms for the RMSD if the user names none.

    The C-alphas if there is a protein of at least 10 residues (without calcium, whose name is CA too);
    otherwise all heavy atoms, without water and ions if there is anything else; in models without elements,
    all beads.

    Returns
    -------
    Ascending indices, shape (n_selected,), and what they are, such as "C-alphas of 214 protein residues".

    Raises
    ------
    SelectionError
        If nothing is left.
    """
    alphas = [a for a in topology.atoms if a.name == "CA" and _symbol(a) == "C" and a.residue.is_protein]
    n_residues = len({atom.residue.index for atom in alphas})
    if n_residues >= _MIN_PROTEIN_RESIDUES:
        return _indices(alphas), f"C-alphas of {n_residues} protein residues"
    heavy, noun = [atom for atom in topology.atoms if _is_heavy(atom)], "heavy atom"
    if not any(_symbol(atom) for atom in topology.atoms):
        heavy, noun = [atom for atom in topology.atoms if not _is_named_hydrogen(atom)], "bead"
    solute = [atom for atom in heavy if not is_solvent(atom.residue)]
    chosen = solute or heavy
    if not chosen:
        raise SelectionError(
            f"None of the {topology.n_atoms} atoms is a heavy one, so there is no default for the RMSD's "
            'atoms. Select them, such as with "all".'
        )
    outside = " outside water and ions" if 0 < len(solute) < len(heavy) else ""
    return _indices(chosen), f"{len(chosen)} {noun}{'' if len(chosen) == 1 else 's'}{outside}"


def _indices(atoms: list[Any]) -> NDArray[np.int64]:
    return np.array([atom.index for atom in atoms], np.int64)


def _symbol(atom: Any) -> str:
    """Element symbol; empty for virtual sites and atoms without an element."""
    symbol = "" if atom.element is None else str(atom.element.symbol)
    return "" if symbol == "VS" else symbol


def _is_heavy(atom: Any) -> bool:
    if atom.element is None:
        return not _is_named_hydrogen(atom)
    return _symbol(atom) not in ("", "H", "D")


def _is_named_hydrogen(atom: Any) -> bool:
    return bool(atom.name.lstrip("0123456789").upper().startswith("H"))
