"""Topologies: from files, and to and from the JSON text that a store keeps."""

import json
import re
from pathlib import Path
from typing import Any

import mdtraj as md
from mdtraj.core import element as elements
from mdtraj.core.topology import bond_name_to_type

from ..errors import TrajectoryError
from .compressed import read_head, unpacked_bytes
from .containment import contained
from .formats import check_file, plain_name, reading
from .info import remembered
from .pdb import add_bonds, count_lines, find_bonds, first_model
from .recognition import mdanalysis_name, topology_format
from .universe import topology_of

__all__ = [
    "TOPOLOGY_BYTES_PER_ATOM",
    "count_atoms",
    "load_topology",
    "shared_topology",
    "topology_bytes",
    "topology_from_json",
    "topology_to_json",
    "unclear_bonds",
]

# Of mdtraj's objects, their JSON text and the tables made from it (measured: 600 to 2500).
TOPOLOGY_BYTES_PER_ATOM = 4000

# Address space of MDAnalysis, and of what it makes of a byte of a file.
_UNIVERSE_BYTES = 1 << 30
_UNIVERSE_FACTOR = 200
_JSON_FORMAT = "twopass-topology"
_JSON_VERSION = 1
# Python objects that are made of the text, per byte of it. Measured: 13 to 16.
_JSON_FACTOR = 20
# Bytes of an atom: the fewest, and those of formats that don't say how many there are.
_LEAST_BYTES = 20
_USUAL_BYTES = 60
_HEAD_BYTES = 1 << 20


def count_atoms(path: str | Path, reader: str = "mdtraj") -> int:
    """About how many atoms a topology file names, told by its header or its size, without parsing it.

    0 for a format that only MDAnalysis knows. Raises a `TrajectoryError` if the format holds no topology.
    """
    file = check_file(path)
    try:
        entry = topology_format(file)
    except TrajectoryError:
        if reader == "mdtraj":
            raise
        return 0
    if entry.topology == ".h5":
        n_atoms: int = contained(count_hdf5_atoms, str(file), path=file, what="the topology")
        return n_atoms
    with reading(file, "the topology"):
        if entry.topology == ".pdb":
            return count_lines(str(file))
        found = re.match(entry.atoms or rb"$^", read_head(file, _HEAD_BYTES))
    n_bytes = unpacked_bytes(file)
    if found is not None:
        return min(int(found[1]), n_bytes // _LEAST_BYTES)
    return n_bytes // _USUAL_BYTES if reader == "mdtraj" else 0


def count_hdf5_atoms(path: str) -> int:
    """Atoms of each frame in an HDF5 file; in a reader."""
    import h5py

    with h5py.File(path, "r") as file:
        return int(file["coordinates"].shape[1])


def load_topology(path: str | Path, reader: str = "mdtraj") -> md.Topology:
    """Topology of a file that holds one: PDB, GRO, MDTraj HDF5, Amber prmtop, PSF, mmCIF and others.

    The reader ``mdanalysis`` knows more formats than ``mdtraj`` and guesses no elements. Raises a
    `TrajectoryError` if the format holds no topology, or it can't be read.
    """
    file = check_file(path)
    size = file.stat().st_size
    if reader == "mdanalysis":
        needs_bytes = _UNIVERSE_BYTES + _UNIVERSE_FACTOR * size
        asked = str(file), mdanalysis_name(file)
        return contained(topology_of, *asked, path=file, what="the topology", needs_bytes=needs_bytes)
    extension = topology_format(file).topology
    if extension == ".h5":  # whose library crashes on some damaged files
        # Once as it is made, and once as it is sent.
        needs_bytes = min(40 * size, 2 * TOPOLOGY_BYTES_PER_ATOM * count_atoms(file))
        return contained(_load, str(file), extension, path=file, what="the topology", needs_bytes=needs_bytes)
    with reading(file, "the topology"):
        return _load(str(file), extension)


def _load(path: str, extension: str) -> md.Topology:
    with plain_name(path, (extension,)) as name:
        if extension in (".h5", ".gro"):
            # md.load_topology reads frames as well, of GRO all, and doesn't know .hdf5.
            with md.open(name) as file:
                topology = file.topology
        elif extension == ".pdb":
            with first_model(path) as alone:
                topology = md.load_topology(alone)
            add_bonds(topology, path)
        else:
            topology = md.load_topology(name)
    if topology is None or topology.n_atoms == 0:
        raise TrajectoryError(f"{path} holds no atoms. Give the PDB or GRO file of the system instead.")
    for residue in topology.residues:
        try:
            residue.resSeq = int(residue.resSeq)
        except ValueError:  # of MOL2 files, mdtraj takes names for numbers
            residue.resSeq = residue.index + 1
    return topology


def unclear_bonds(path: str) -> int:
    """Count the CONECT records of a PDB file with a number that several atoms have."""
    return find_bonds(path)[1] if topology_format(path).topology == ".pdb" else 0


@remembered(2)  # so that files with topologies of their own don't fill the memory
def shared_topology(path: str, reader: str = "mdtraj") -> md.Topology:
    """Topology of a file, the same object while the file is unchanged; not to be modified."""
    return load_topology(path, reader)


def topology_to_json(topology: md.Topology) -> str:
    """Deterministic JSON text of a topology.

    Unlike mdtraj's own (in its HDF5 files) it keeps atom serials, and tells "no element" from "virtual site".
    An object of ``format``, ``version``, ``chains`` (``id``, ``residues``: ``name``, ``resSeq``,
    ``segment_id``, ``atoms``: [name, element symbol, serial, formal charge]) and ``bonds`` ([index, index,
    type, order]).
    """

    def of(kind: type, value: Any) -> Any:
        return None if value is None else kind(value)

    def described(atom: Any) -> list[Any]:
        symbol = None if atom.element is None else str(atom.element.symbol)
        return [str(atom.name), symbol, of(int, atom.serial), of(int, atom.formal_charge)]

    chains = [
        {
            "id": chain.chain_id,
            "residues": [
                {
                    "name": str(residue.name),
                    "resSeq": int(residue.resSeq),
                    "segment_id": str(residue.segment_id or ""),
                    "atoms": [described(atom) for atom in residue.atoms],
                }
                for residue in chain.residues
            ],
        }
        for chain in topology.chains
    ]
    bonds = [
        [int(bond.atom1.index), int(bond.atom2.index), of(str, bond.type), of(float, bond.order)]
        for bond in topology.bonds
    ]
    document = {"format": _JSON_FORMAT, "version": _JSON_VERSION, "chains": chains, "bonds": bonds}
    return json.dumps(document, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def topology_bytes(text: str) -> int:
    """Upper bound of the memory that `topology_from_json` takes beside the text, in bytes."""
    return _JSON_FACTOR * len(text)


def topology_from_json(text: str, *, n_atoms: int | None = None) -> md.Topology:
    """Topology from its JSON text; a `TrajectoryError` if it is none, or not of `n_atoms`."""
    try:
        document = json.loads(text)
        if (document["format"], document["version"]) != (_JSON_FORMAT, _JSON_VERSION):
            raise ValueError(f"it isn't of the format {_JSON_FORMAT} {_JSON_VERSION}")
        topology = _build(document)
        if n_atoms is not None and topology.n_atoms != n_atoms:
            raise ValueError(f"it has {topology.n_atoms} atoms, and the store has {n_atoms}")
    except Exception as error:  # whatever a text that isn't one runs into
        raise TrajectoryError(
            f"The stored topology can't be read: {type(error).__name__}: {error}. The store's attribute "
            "`topology` is damaged, or was written by another program; ingest again."
        ) from error
    return topology


def _build(document: dict[str, Any]) -> md.Topology:
    topology = md.Topology()
    atoms: list[Any] = []
    for chain_data in document["chains"]:
        chain = topology.add_chain()
        chain.chain_id = chain_data["id"]
        for data in chain_data["residues"]:
            residue = topology.add_residue(
                data["name"], chain, resSeq=int(data["resSeq"]), segment_id=data["segment_id"]
            )
            for name, symbol, serial, charge in data["atoms"]:
                element = None if symbol is None else elements.get_by_symbol(symbol)
                atom = topology.add_atom(name, element, residue, serial=serial, formal_charge=charge)
                atom.element = element  # add_atom() makes a virtual site of None
                atoms.append(atom)
    for first, second, kind, order in document["bonds"]:
        bond_type = None if kind is None else bond_name_to_type(kind)
        topology.add_bond(atoms[first], atoms[second], type=bond_type, order=order)
    return topology
