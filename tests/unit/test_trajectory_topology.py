"""Topologies from files, and to JSON and back."""

import bz2
import gzip
from collections.abc import Callable
from pathlib import Path

import mdtraj as md
import pytest
from mdtraj.core import element
from mdtraj.core.topology import Aromatic, Double

from trajectory_files import make_topology, make_trajectory
from twopass_store.errors import TrajectoryError, TrajectoryNotFoundError
from twopass_store.trajectory import guessed_elements, load_topology, topology_from_json, topology_to_json

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


def facts(topology: md.Topology) -> list[object]:
    """All that must survive, spelled out without the code under test."""
    atoms = [
        (
            a.name,
            a.element and a.element.symbol,
            a.serial,
            a.formal_charge,
            a.residue.index,
            a.residue.chain.index,
        )
        for a in topology.atoms
    ]
    residues = [(r.name, r.resSeq, r.segment_id) for r in topology.residues]
    chains = [(c.chain_id, c.n_residues) for c in topology.chains]
    bonds = [(b.atom1.index, b.atom2.index, str(b.type), b.order) for b in topology.bonds]
    return [atoms, residues, chains, bonds]


def odd_topology() -> md.Topology:
    topology = make_topology(2, n_waters=2)
    chain = topology.add_chain()
    residue = topology.add_residue("LÏG", chain, resSeq=-4, segment_id="SEG1")
    first = topology.add_atom("C1'", element.carbon, residue, serial=99_999, formal_charge=-1)
    site = topology.add_atom("M", element.virtual, residue)
    bead = topology.add_atom('B"\\', None, residue)
    bead.element = None
    topology.add_bond(first, site, type=Double, order=2)
    topology.add_bond(first, bead, type=Aromatic)
    topology.add_residue("EMPTY", chain)
    return topology


def test_json__round_trip_keeps_everything() -> None:
    topology = odd_topology()
    text = topology_to_json(topology)
    again = topology_from_json(text)
    assert facts(again) == facts(topology)
    assert topology_to_json(again) == text
    assert text.isascii()
    assert topology_from_json(topology_to_json(make_topology())) == make_topology()


GOOD = topology_to_json(make_topology(1))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "{}",
        "[" * 100_000,
        GOOD[:-1],
        GOOD.replace('"version":1', '"version":2'),
        GOOD.replace('"chains"', '"other"'),
        GOOD.replace('"resSeq":3', '"resSeq":"x"'),
        GOOD.replace('["CA","C"', '["CA","Xx"'),
        GOOD.replace('"bonds":[', '"bonds":[[0,99,null,null],'),
    ],
    ids=lambda text: text[:20],
)
def test_json__malformed_text_is_one_clear_error(text: str) -> None:
    with pytest.raises(TrajectoryError, match=r"stored topology can't be read: .* ingest again"):
        topology_from_json(text)


@pytest.mark.parametrize("packed", [bytes, gzip.compress, bz2.compress])
@pytest.mark.parametrize(
    "name", ["a.pdb", "A.PDB", "pdb1abc.ent", "a.Gro", "a", "h5.pdb", "gro.top", "a.CIF"]
)
def test_load_topology(name: str, packed: Callable[[bytes], bytes], tmp_path: Path) -> None:
    trajectory = make_trajectory(2, n_residues=3)
    kind = {"a.Gro": "gro", "gro.top": "gro", "h5.pdb": "h5", "a.CIF": "cif"}.get(name, "pdb")
    trajectory.save(str(tmp_path / f"plain.{kind}"))
    path = tmp_path / name
    path.write_bytes(packed((tmp_path / f"plain.{kind}").read_bytes()))
    if kind == "h5" and packed is not bytes:
        with pytest.raises(TrajectoryError, match=r"`(gzip|bzip2) -dc h5\.pdb > "):
            load_topology(path)
        return
    topology = load_topology(path)
    assert [atom.name for atom in topology.atoms] == [atom.name for atom in trajectory.topology.atoms]
    expected = kind == "gro"
    assert (guessed_elements(path, topology) == expected).all()


def test_load_topology__errors(tmp_path: Path) -> None:
    with pytest.raises(TrajectoryNotFoundError, match=r"no file .*none\.pdb"):
        load_topology(tmp_path / "none.pdb")
    with pytest.raises(FileNotFoundError):
        load_topology(tmp_path / "none.pdb")
    with pytest.raises(TrajectoryError, match="directory"):
        load_topology(tmp_path)
    (tmp_path / "run.xtc").write_bytes(b"x")
    with pytest.raises(TrajectoryError, match=r'"\.xtc" format is not supported'):
        load_topology(tmp_path / "run.xtc")


@pytest.mark.parametrize(
    "extension", ["pdb", "gro", "h5", "prmtop", "psf", "cif", "mol2", "gsd", "arc", "hoomdxml"]
)
# mdtraj leaves the file open when its parser fails.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_load_topology__garbage(extension: str, tmp_path: Path) -> None:
    path = tmp_path / f"bad.{extension}"
    for content in (b"", b"hello\nworld\n", bytes(range(256)) * 9, b"\0" * 500):
        path.write_bytes(content)
        with pytest.raises(TrajectoryError, match=rf"bad\.{extension}"):
            load_topology(path)
