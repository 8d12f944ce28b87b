"""What atoms are: how much a selection holds, what is solvent, which atoms make sense for an RMSD."""

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any

import mdtraj as md
import numpy as np
from mdtraj.core import element as elements
from numpy.typing import NDArray

from ..errors import SelectionError

__all__ = [
    "counted",
    "default_rmsd_atoms",
    "describe_selection",
    "element_of",
    "has_polymer_name",
    "is_missed",
    "is_solvent",
    "symbol_of",
]

_MIN_PROTEIN_RESIDUES = 10

# What mdtraj's lists of residues lack of those of MDAnalysis, for models without the atoms to tell them by.
_AMINO_ACIDS = """
    ALA ARG ASN ASP CYS GLN GLU GLY HIS ILE LEU LYS MET PHE PRO SER THR TRP TYR VAL ALAD ARGN ASF ASH ASN1
    ASPH CYS1 CYS2 CYSH CYX GLUH HID HIE HIP HIS1 HIS2 HISA HISB HISD HISE HISH HSP LYSH PGLU QLN TYM
"""
_AMINO = frozenset(_AMINO_ACIDS.split())
_NUCLEOTIDES = frozenset(["ADE", "CYT", "GUA", "THY", "URA", "RA", "RC", "RG", "RU", "T"])

# Water models and the monoatomic ions as Gromacs, Amber, CHARMM and Martini name them; mdtraj's own list of
# waters lacks most.
_WATER_NAMES = """
    HOH H2O HHO OHH OH2 SOL WAT DOD D2O TIP TIP2 TIP3 TIP4 TIP5 TIP3P TIP4P TIP5P TP3 TP4 TP5 TIP4PEW T3P
    T4P T5P SPC SPCE OPC OPC3 SWM4 SWM6 W PW WF WN SW TW WT4
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


def counted(names: Iterable[str]) -> str:
    """Count names, as in "40 W, 12 NA+"."""
    counts = Counter(names).most_common()
    return ", ".join(f"{n} {name}" for name, n in counts[:8]) + (", …" if len(counts) > 8 else "")


def is_missed(residue: Any, kind: str) -> bool:
    """Tell whether a residue looks like protein, nucleic or water, and mdtraj doesn't take it for that."""
    name = residue.name.strip()
    if kind == "water":
        return not residue.is_water and _is_water(residue)
    atoms = {atom.name.replace("*", "'") for atom in residue.atoms}
    if kind == "nucleic":
        return not residue.is_nucleic and (name in _NUCLEOTIDES or {"C1'", "C3'", "C4'"} <= atoms)
    return not residue.is_protein and (_is_amino(name) or {"N", "CA", "C"} <= atoms)


def has_polymer_name(residue: Any) -> bool:
    """Tell whether a residue has the name of an amino acid or a nucleotide."""
    name = residue.name.strip()
    return residue.is_protein or residue.is_nucleic or _is_amino(name) or name in _NUCLEOTIDES


def _is_amino(name: str) -> bool:
    # Amber's residues at the ends of a chain are called NALA and CALA.
    return name in _AMINO or (len(name) == 4 and name[0] in "NC" and name[1:] in _AMINO)


def is_solvent(residue: Any) -> bool:
    """Tell whether a residue of a topology is water or a monoatomic ion."""
    return _is_water(residue) or (residue.n_atoms == 1 and residue.name.strip().upper() in _IONS)


def _is_water(residue: Any) -> bool:
    if residue.is_water or residue.name.strip().upper() in _WATER:
        return True
    if not 3 <= residue.n_atoms <= 6:
        return False
    # By its atoms, whatever its name: OW HW1 HW2, and virtual sites such as MW, EP or LP1.
    first = Counter(map(_initial, residue.atoms))
    return first["O"] == 1 and first["H"] == 2 and sum(first[x] for x in "OHMEL") == residue.n_atoms


def default_rmsd_atoms(topology: md.Topology, guessed: Collection[int] = ()) -> tuple[NDArray[np.int64], str]:
    """Atoms for the RMSD if the user names none: ascending indices, and what they are.

    The C-alphas if there is a protein of at least 10 residues (without calcium, whose name is CA too);
    otherwise all heavy atoms, without water and ions if there is anything else. Atoms without an element, or
    with one of those `guessed`, are heavy unless they have the name of a hydrogen. Raises a `SelectionError`
    if nothing is left.
    """
    known = {atom.index for atom in topology.atoms if atom.element is not None}.difference(guessed)
    if not any(symbol_of(topology.atom(index)) for index in known):
        known = set()
    alphas = [
        atom
        for atom in topology.atoms
        if atom.name == "CA"
        and (atom.index not in known or symbol_of(atom) == "C")
        and (atom.residue.is_protein or is_missed(atom.residue, "protein"))
    ]
    n_residues = len({atom.residue.index for atom in alphas})
    if n_residues >= _MIN_PROTEIN_RESIDUES:
        return _indices(alphas), f"C-alphas of {n_residues} protein residues"
    hydrogens = [atom for atom in topology.atoms if atom.index not in known and _is_named_hydrogen(atom)]
    light = {atom.index for atom in hydrogens}
    light |= {index for index in known if symbol_of(topology.atom(index)) in ("", "H", "D")}
    heavy = [atom for atom in topology.atoms if atom.index not in light]
    solute = [atom for atom in heavy if not is_solvent(atom.residue)]
    chosen = solute or heavy
    if not chosen:
        raise SelectionError(
            f"None of the {topology.n_atoms} atoms is a heavy one, so there is no default for the RMSD's "
            'atoms. Select them, such as with "all".'
        )
    text = f"{len(chosen)} {'heavy ' if known else ''}atom{'' if len(chosen) == 1 else 's'}"
    if 0 < len(solute) < len(heavy):
        text += " outside water and ions"
    left = dict.fromkeys(a.name for a in hydrogens if not solute or not is_solvent(a.residue))
    if left:
        shown = ", ".join(list(left)[:8]) + (", …" if len(left) > 8 else "")
        text += f", without {shown}: hydrogens by name, since the topology file has no elements"
    return _indices(chosen), text


def _indices(atoms: list[Any]) -> NDArray[np.int64]:
    return np.array([atom.index for atom in atoms], np.int64)


def element_of(symbol: str) -> Any:
    """Return mdtraj's element of a symbol in any case; None if there is none."""
    try:
        return elements.get_by_symbol(symbol)
    except KeyError:
        return None


def symbol_of(atom: Any) -> str:
    """Element symbol; empty for virtual sites and atoms without an element."""
    symbol = "" if atom.element is None else str(atom.element.symbol)
    return "" if symbol == "VS" else symbol


def _is_named_hydrogen(atom: Any) -> bool:
    """Tell whether an atom has the name of a hydrogen, in a residue with something that it may bind to."""
    return _initial(atom) == "H" and any(_initial(other) in tuple("CNOPS") for other in atom.residue.atoms)


def _initial(atom: Any) -> str:
    return str(atom.name.lstrip("0123456789")[:1].upper())
