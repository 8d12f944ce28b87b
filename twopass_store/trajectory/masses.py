"""Masses of atoms: of their elements, where those are known, or from a file."""

import math
from collections.abc import Collection
from pathlib import Path
from typing import Any

import mdtraj as md
import numpy as np
from mdtraj.formats.pdb.pdbstructure import PdbStructure
from numpy.typing import NDArray

from ..errors import ConfigError
from .atoms import element_of
from .compressed import open_unpacked
from .formats import check_file, reading
from .recognition import topology_format
from .universe import psf_atoms

__all__ = ["element_masses", "guessed_elements", "read_masses"]

# Nitrogen is lighter by 0.15 % than the united atom CH2; what programs take for an element differs by 0.06 %.
_MASS_TOLERANCE = 1e-3
_FORMAT = (
    "a file of masses has one number a line for each stored atom or for each selected one, or lines "
    "`NAME MASS` or `RESIDUE:NAME MASS`"
)


def guessed_elements(path: str | Path, topology: md.Topology, *, reader: str = "mdtraj") -> NDArray[np.bool_]:
    """Tell which atoms' elements aren't in the topology file, so that mdtraj guessed or left them out.

    `topology` is what `reader` gave of the file; MDAnalysis guesses none. Returns shape (n_atoms,).

    A guess serves to tell hydrogens from heavy atoms, but gives beads of coarse-grained models and virtual
    sites elements, and so masses, that they don't have. Formats that keep elements count as written, whatever
    made them; so do the elements of a PSF file whose masses they have.
    """
    if reader == "mdanalysis":
        return np.array([atom.element is None for atom in topology.atoms], dtype=bool)
    file = check_file(path)
    entry = topology_format(file)
    if entry.elements != "some":
        return np.full(topology.n_atoms, entry.elements == "none")
    with reading(file, "the elements"), open_unpacked(file) as lines:
        if entry.name == "PSF":  # of which mdtraj takes the elements that are nearest by mass
            masses = np.array([float(fields[7]) for fields in psf_atoms(str(file))])
            expected = [0.0 if atom.element is None else atom.element.mass for atom in topology.atoms]
            return np.asarray(np.abs(masses - expected) > _MASS_TOLERANCE * np.abs(masses))
        if entry.name == "Amber prmtop":
            has_numbers = any(line.startswith("%FLAG ATOMIC_NUMBER") for line in lines)
            return np.full(topology.n_atoms, not has_numbers)
        structure = PdbStructure(lines, load_all_models=False)
    atoms = [atom for chain in structure.iter_chains() for residue in chain for atom in residue.atoms]
    return np.array([element_of(atom.element_symbol) is None for atom in atoms], dtype=bool)


def element_masses(
    topology: md.Topology, atom_indices: NDArray[np.int64], guessed: Collection[int]
) -> NDArray[np.float64]:
    """Masses of some atoms by their elements, Da; a `ConfigError` if one is missing or `guessed`."""
    is_guessed = frozenset(guessed)
    for index in atom_indices:
        atom = topology.atom(int(index))
        if atom.element is None or atom.element.mass <= 0:
            problem = "has no element"
        elif atom.index in is_guessed:
            problem = (
                f"has no element in its topology file ({atom.element.name} is a guess from its name or mass, "
                "and beads of coarse-grained models get such guesses)"
            )
        else:
            continue
        raise ConfigError(
            f"Masses can't be taken from the elements: atom {atom.index}, {atom}, {problem}. Give them in a "
            f'file with `masses`, such as lines "{atom.name} MASS", or ingest with a topology file that has '
            "elements."
        )
    return np.array([topology.atom(int(index)).element.mass for index in atom_indices])


def read_masses(
    path: str | Path, topology: md.Topology, atom_indices: NDArray[np.int64], *, n_selected: int | None = None
) -> NDArray[np.float64]:
    """Masses of some atoms from a text file, Da, shape (n_wanted,).

    Empty lines and what follows a ``#`` are ignored. Either every line is a number, one for each atom of the
    topology, or one for each of `n_selected` atoms, which are then those wanted; or every line is ``NAME
    MASS`` or ``RESIDUE:NAME MASS``, the residue being a name (``ALA:BB``) or a name and a number
    (``ALA12:BB``). The most specific line counts, and lines for other atoms are ignored. Raises a
    `ConfigError` if a line is something else, a mass isn't positive and finite, their number doesn't fit, or
    an atom has none.
    """
    file = check_file(path)
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise ConfigError(f"Cannot read the masses in {file}: {error}.") from error
    table: dict[str, float] = {}
    masses: list[float] = []
    for number, line in enumerate(lines, start=1):
        where = f"{file}, line {number}"
        match line.partition("#")[0].split():
            case []:
                continue
            case [text] if not table:
                masses.append(_mass(text, where))
            case [key, text] if not masses:
                table[key] = _mass(text, where)
            case _:
                raise ConfigError(f"{where}: {_FORMAT}, all lines alike.")
    if table:
        return np.array([_of_table(file, table, topology.atom(int(index))) for index in atom_indices])
    if len(masses) == topology.n_atoms:
        return np.array(masses)[atom_indices]
    if n_selected is not None and len(masses) == n_selected:
        return np.array(masses)
    selected = "" if n_selected is None else f" and {n_selected} selected ones"
    raise ConfigError(
        f"{file} has {len(masses)} masses, and the store {topology.n_atoms} atoms{selected}: {_FORMAT}."
    )


def _mass(text: str, where: str) -> float:
    try:
        mass = float(text)
    except ValueError:
        mass = math.nan
    if not 0 < mass < math.inf:
        raise ConfigError(
            f"{where}: {text[:40]!r} is no mass, a positive finite number; {_FORMAT}. Atoms without mass "
            "can't be weighted by it: leave them out of the selection."
        )
    return mass


def _of_table(file: Path, table: dict[str, float], atom: Any) -> float:
    residue = atom.residue
    for key in (f"{residue.name}{residue.resSeq}:{atom.name}", f"{residue.name}:{atom.name}", atom.name):
        if key in table:
            return table[key]
    raise ConfigError(
        f"{file} has no mass for atom {atom.index}, {atom}: add a line `{atom.name} MASS` or "
        f"`{residue.name}:{atom.name} MASS`."
    )
