"""Topologies: from files, and to and from the JSON text that a store keeps."""

import json
from functools import lru_cache
from math import isfinite
from pathlib import Path
from typing import Any

import mdtraj as md
from mdtraj.core import element as elements
from mdtraj.core.topology import bond_name_to_type

from ..errors import TrajectoryError
from .containment import contained, is_fragile
from .formats import check_file, check_unpacked, reading

__all__ = ["load_topology", "shared_topology", "topology_bytes", "topology_from_json", "topology_to_json"]

_TOPOLOGY_FORMATS = """
    .pdb .pdb.gz .gro .h5 .hdf5 .prmtop .parm7 .prm7 .psf .cif .cif.gz .mmcif .mmcif.gz .pdbx .pdbx.gz .mol2
    .hoomdxml .gsd .arc .lh5
"""
_TOPOLOGY_EXTENSIONS = tuple(_TOPOLOGY_FORMATS.split())
_JSON_FORMAT = "twopass-topology"
_JSON_VERSION = 1
_MAX_INT = 1 << 62
_MAX_NAME = 1000
# Python objects that are made of the text, per byte of it. Measured: 13 to 16.
_JSON_FACTOR = 20


def load_topology(path: str | Path) -> md.Topology:
    """Topology of a file that holds one: PDB, GRO, MDTraj HDF5, Amber prmtop, PSF, mmCIF and others.

    Raises
    ------
    TrajectoryNotFoundError
        If there is no such file.
    TrajectoryError
        If its format holds no topology, or it can't be read.
    """
    file = check_file(path)
    extension = "".join(file.suffixes[-2:]) if file.suffix == ".gz" else file.suffix
    if extension not in _TOPOLOGY_EXTENSIONS:
        raise TrajectoryError(
            f"Cannot take a topology from {file}: {extension or 'a name without an extension'!r} isn't "
            "one of "
            f"the formats that hold one ({', '.join(_TOPOLOGY_EXTENSIONS)}). Give such a file of the same "
            "atoms."
        )
    if file.suffix == ".gz":
        check_unpacked(file)
    if is_fragile(file):
        size = file.stat().st_size
        return contained(_load, str(file), extension, path=file, what="the topology", needs_bytes=40 * size)
    with reading(file, "the topology"):
        return _load(str(file), extension)


def _load(path: str, extension: str) -> md.Topology:
    if extension in (".h5", ".hdf5"):
        # md.load_topology reads frame 0 as well, and doesn't know .hdf5.
        with md.formats.HDF5TrajectoryFile(path) as hdf5:
            topology = hdf5.topology
    elif extension == ".gro":
        # md.load_topology decodes all frames as well.
        with md.formats.GroTrajectoryFile(path) as gro:
            topology = gro.topology
    elif extension in (".pdb", ".pdb.gz"):
        # Its check of the unit cell warns, and has nothing to do with the topology.
        topology = md.load_topology(path, no_boxchk=True)
    else:
        topology = md.load_topology(path)
    if topology is None or topology.n_atoms == 0:
        raise TrajectoryError(f"{path} holds no atoms. Give the PDB or GRO file of the system instead.")
    _settle_numbers(topology)
    return topology


def _settle_numbers(topology: md.Topology) -> None:
    """Make integers of what mdtraj took for numbers as it is; of MOL2 files that is the residues' names."""
    for residue in topology.residues:
        residue.resSeq = _number(residue.resSeq, residue.index + 1)
    for atom in topology.atoms:
        if atom.serial is not None:
            atom.serial = _number(atom.serial, None)


def _number(value: Any, otherwise: int | None) -> int | None:
    try:
        number = int(value)
    except (ValueError, TypeError):
        return otherwise
    if abs(number) > _MAX_INT:
        raise ValueError(f"an atom or a residue has the number {number}")
    return number


def shared_topology(path: str) -> md.Topology:
    """Topology of a file as :func:`load_topology` reads it, the same object while the file is unchanged.

    Not to be modified. At most two are kept, so that files with topologies of their own don't fill the
    memory.
    """
    status = check_file(path).stat()
    return _cached(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=2)
def _cached(path: str, size: int, modified_ns: int) -> md.Topology:
    # Size and time are part of the cache's key only.
    return load_topology(path)


def topology_to_json(topology: md.Topology) -> str:
    """Deterministic JSON text of a topology.

    Unlike mdtraj's own (in its HDF5 files) it keeps atom serials, and tells "no element" from "virtual site".

    Returns
    -------
    An object of ``format``, ``version``, ``chains`` (``id``, ``residues``: ``name``, ``resSeq``,
    ``segment_id``, ``atoms``: [name, element symbol, serial, formal charge]) and ``bonds`` ([index, index,
    type, order]).
    """
    chains = [
        {
            "id": getattr(chain, "chain_id", None),
            "residues": [
                {
                    "name": str(residue.name),
                    "resSeq": int(residue.resSeq),
                    "segment_id": str(residue.segment_id or ""),
                    "atoms": [_atom_to_list(atom) for atom in residue.atoms],
                }
                for residue in chain.residues
            ],
        }
        for chain in topology.chains
    ]
    bonds = [
        [
            int(bond.atom1.index),
            int(bond.atom2.index),
            None if bond.type is None else str(bond.type),
            None if bond.order is None else float(bond.order),
        ]
        for bond in topology.bonds
    ]
    names = [each.chain_id for each in topology.chains if getattr(each, "chain_id", None) is not None]
    names += [text for each in topology.residues for text in (each.name, each.segment_id or "")]
    names += [each.name for each in topology.atoms]
    strange = next((str(name) for name in names if not _is_name(str(name))), None)
    if strange is not None:
        raise TrajectoryError(
            f"The topology has the name {strange[:40]!r}, which holds a control character or is longer than "
            f"{_MAX_NAME}. Mend the topology file."
        )
    document = {"format": _JSON_FORMAT, "version": _JSON_VERSION, "chains": chains, "bonds": bonds}
    return json.dumps(document, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _atom_to_list(atom: Any) -> list[str | int | None]:
    return [
        str(atom.name),
        None if atom.element is None else str(atom.element.symbol),
        _int_or_none(atom.serial),
        _int_or_none(getattr(atom, "formal_charge", None)),
    ]


def _int_or_none(value: Any) -> int | None:
    return None if value is None else int(value)


def topology_bytes(text: str) -> int:
    """Upper bound of the memory that :func:`topology_from_json` takes beside the text, in bytes."""
    return _JSON_FACTOR * len(text)


def topology_from_json(text: str, *, n_atoms: int | None = None) -> md.Topology:
    """Topology from the text of :func:`topology_to_json`; nothing in the text is trusted.

    Parameters
    ----------
    text
        The text.
    n_atoms
        Atoms that it must have.

    Raises
    ------
    TrajectoryError
        If the text is anything else than such a topology.
    """
    try:
        document = json.loads(text)
        if not isinstance(document, dict) or document.get("format") != _JSON_FORMAT:
            raise ValueError(f"it isn't an object of format {_JSON_FORMAT!r}")
        if document.get("version") != _JSON_VERSION:
            raise ValueError(
                f"its version is {document.get('version')!r}, this library reads {_JSON_VERSION}"
            )
        topology = _build(document)
        if n_atoms is not None and topology.n_atoms != n_atoms:
            raise ValueError(f"it has {topology.n_atoms} atoms, and the store has {n_atoms}")
        return topology
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise TrajectoryError(
            f"The stored topology can't be read: {reason}. The store's attribute `topology` is damaged, "
            "or was "
            "written by another program; ingest again."
        ) from error


def _build(document: dict[str, Any]) -> md.Topology:
    topology = md.Topology()
    atoms: list[Any] = []
    for chain_data in _items(document["chains"], "chains"):
        chain = topology.add_chain()
        chain.chain_id = _typed(chain_data["id"], str, "a chain's id", optional=True)
        for residue_data in _items(chain_data["residues"], "residues"):
            residue = topology.add_residue(
                _typed(residue_data["name"], str, "a residue's name"),
                chain,
                resSeq=_typed(residue_data["resSeq"], int, "resSeq"),
                segment_id=_typed(residue_data["segment_id"], str, "segment_id"),
            )
            for name, symbol, serial, charge in _items(residue_data["atoms"], "atoms"):
                atom = topology.add_atom(
                    _typed(name, str, "an atom's name"),
                    _element(symbol),
                    residue,
                    serial=_typed(serial, int, "a serial", optional=True),
                    formal_charge=_typed(charge, int, "a formal charge", optional=True),
                )
                if symbol is None:  # add_atom() makes a virtual site of it
                    atom.element = None
                atoms.append(atom)
    for first, second, kind, order in _items(document["bonds"], "bonds"):
        ends = [_typed(index, int, "a bond's atom") for index in (first, second)]
        if not all(0 <= index < len(atoms) for index in ends):
            raise ValueError(f"a bond joins atoms {ends} of {len(atoms)}")
        name = _typed(kind, str, "a bond's type", optional=True)
        topology.add_bond(
            atoms[ends[0]],
            atoms[ends[1]],
            type=None if name is None else bond_name_to_type(name),
            order=_typed(order, (int, float), "a bond's order", optional=True),
        )
    return topology


def _items(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{what} is no list")
    return value


def _typed(value: Any, kind: type | tuple[type, ...], what: str, *, optional: bool = False) -> Any:
    if value is None and optional:
        return None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"{what} is {str(value)[:40]!r}")
    if isinstance(value, int) and abs(value) > _MAX_INT:
        raise ValueError(f"{what} is too large a number")
    if isinstance(value, float) and not isfinite(value):
        raise ValueError(f"{what} is no number")
    if isinstance(value, str) and not _is_name(value):
        raise ValueError(f"{what} holds a control character, or is longer than {_MAX_NAME}")
    return value


def _is_name(text: str) -> bool:
    # Names are written into files of lines, and onto terminals.
    return text.isprintable() and len(text) <= _MAX_NAME


def _element(symbol: Any) -> Any:
    if symbol is None:
        return None
    try:
        return elements.get_by_symbol(_typed(symbol, str, "an element"))
    except KeyError:
        raise ValueError(f"there is no element {symbol[:20]!r}") from None
