"""Choosing atoms: by expressions, by groups of index files, and by default."""

from pathlib import Path

import mdtraj as md
import numpy as np
import pytest
from mdtraj.core import element

from trajectory_files import make_topology
from twopass_store.errors import SelectionError, TrajectoryError
from twopass_store.trajectory import (
    default_rmsd_atoms,
    read_index_group,
    select_atoms,
    solvent_fraction,
)


def topology_of(residues: list[tuple[str, list[tuple[str, str | None]]]]) -> md.Topology:
    """A chain of residues, each with its atoms' names and element symbols."""
    topology = md.Topology()
    chain = topology.add_chain()
    for name, atoms in residues:
        residue = topology.add_residue(name, chain)
        for atom_name, symbol in atoms:
            atom = topology.add_atom(
                atom_name, None if symbol is None else element.get_by_symbol(symbol), residue
            )
            if symbol is None:
                atom.element = None
    return topology


@pytest.mark.parametrize(
    "selection",
    [
        "all",
        "name CA",
        "protein and not element H",
        "resid 0 to 1",
        "residue 3 5",
        "name =~ 'H.*'",
        "(name CA or name CB) and resid 2",
        "mass > 13",
        "chainid 1",
        "water",
        "backbone && !(name O)",
        "index 0 7 9",
        "code A",
        'name "CA"',
    ],
)
def test_select_atoms__as_mdtraj(selection: str) -> None:
    topology = make_topology(3, n_waters=2)
    chosen = select_atoms(topology, selection)
    assert chosen.dtype == np.int64
    np.testing.assert_array_equal(chosen, topology.select(selection))
    assert len(chosen) > 0


@pytest.mark.parametrize(
    ("selection", "words"),
    [
        ("nmae CA", "at 'CA'"),
        ("Protein", "at Protein"),
        ("name CA and", "at (end of text|'and')"),  # releases of pyparsing differ
        ("(name CA", "at end of text"),
        ("name O5'", "need quotes"),
        ("", "it is empty"),
        ("mass > 'a'", "not supported"),
        ("name =~ '('", "unterminated"),
        ("__import__('os').system('true')", "Cannot use the selection"),
        ("\N{DUCK}", "Cannot use the selection"),
        ("resid 99", "'resid 99' matches none of the 28 atoms.*from 0.*number in the file"),
    ],
)
def test_select_atoms__names_what_fails(selection: str, words: str) -> None:
    with pytest.raises(SelectionError, match=words) as caught:
        select_atoms(make_topology(), selection)
    assert len(str(caught.value)) < 500


def test_select_atoms__atoms_without_element() -> None:
    topology = topology_of([("X", [("A", None), ("B", None)])])
    assert len(select_atoms(topology, "name A")) == 1
    with pytest.raises(SelectionError, match="element C"):
        select_atoms(topology, "element C")


def test_solvent_fraction() -> None:
    assert solvent_fraction(make_topology(3)) == 0
    assert solvent_fraction(make_topology(3, n_waters=7)) == pytest.approx(21 / 42)
    ionic = topology_of(
        [("SOD", [("SOD", "Na")]), ("TIP3P", [("O", "O"), ("H", "H")]), ("LIG", [("C", "C")])]
    )
    assert solvent_fraction(ionic) == pytest.approx(3 / 4)
    # A ligand may be called NA: only single atoms are ions.
    assert solvent_fraction(topology_of([("NA", [("C1", "C"), ("C2", "C")])])) == 0
    assert solvent_fraction(md.Topology()) == 0


def test_default_rmsd_atoms__alphas_without_calcium() -> None:
    topology = make_topology(12, n_waters=3)
    chain = topology.add_chain()
    topology.add_atom("CA", element.calcium, topology.add_residue("CA", chain))
    topology.add_atom("CA", element.calcium, topology.add_residue("ALA", chain))
    chosen, what = default_rmsd_atoms(topology)
    np.testing.assert_array_equal(chosen, np.arange(12) * 7 + 2)
    assert what == "C-alphas of 12 protein residues"


def test_default_rmsd_atoms__heavy_atoms() -> None:
    chosen, what = default_rmsd_atoms(make_topology(2))
    np.testing.assert_array_equal(chosen, [0, 2, 4, 5, 6, 7, 9, 11, 12, 13])
    assert what == "10 heavy atoms"
    chosen, what = default_rmsd_atoms(make_topology(2, n_waters=5))
    assert (len(chosen), what) == (10, "10 heavy atoms outside water and ions")
    chosen, what = default_rmsd_atoms(make_topology(0, n_waters=5))
    assert (len(chosen), what) == (5, "5 heavy atoms")
    virtual = topology_of([("LIG", [("C", "C"), ("D", "D"), ("EP", "VS"), ("H", "H")])])
    assert default_rmsd_atoms(virtual)[1] == "1 heavy atom"


def test_default_rmsd_atoms__beads() -> None:
    guessed = topology_of([("ALA", [("BB", "B")]), ("PHE", [("BB", "B"), ("SC1", "S")]), ("W", [("W", "W")])])
    assert default_rmsd_atoms(guessed)[1] == "3 heavy atoms outside water and ions"
    nameless = topology_of([("POP", [("GL1", "VS"), ("D2A", None), ("HX", None)])])
    chosen, what = default_rmsd_atoms(nameless)
    np.testing.assert_array_equal(chosen, [0, 1])
    assert what == "2 beads"


INDEX_FILE = """; made by hand
[ System ]
   1    2    3    4    5    6
   7    8
[ Backbone ]  ; of chain A
2 3 5
[ Odd ]
7 3 3 1
[ Empty ]
[ Twice ]
1 2
[ Twice ]
1 2
[ Other ]
1
[ Other ]
2
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "index.ndx"
    path.write_text(INDEX_FILE)
    return path


@pytest.mark.parametrize(
    ("group", "atoms"),
    [
        ("System", range(8)),
        ("Backbone", [1, 2, 4]),
        ("1", [1, 2, 4]),
        ("Twice", [0, 1]),
        ("Other", [0]),
        ("7", [1]),
    ],
)
def test_index_group__is_counted_from_1(file: Path, group: str, atoms: list[int]) -> None:
    found, remark = read_index_group(file, group, n_atoms=8)
    np.testing.assert_array_equal(found, atoms)
    assert found.dtype == np.int64
    assert remark == ""


def test_index_group__order_and_duplicates_are_mended_and_told(file: Path) -> None:
    found, remark = read_index_group(file, "Odd", n_atoms=8)
    assert found.tolist() == [0, 2, 6]
    assert remark.startswith("1 atoms are listed twice and taken once; its atoms are taken in the topology's")


@pytest.mark.parametrize(
    ("group", "n_atoms", "words"),
    [
        ("Protein", 8, r"no group 'Protein'.*0 System \(8 atoms\), 1 Backbone \(3 atoms\)"),
        ("System", 6, "has atom 7, and the topology has atoms 1 to 6"),
        ("Empty", 8, "is empty"),
        ("99", 8, "no group '99'"),
    ],
)
def test_index_group__that_cannot_be_used_says_why(file: Path, group: str, n_atoms: int, words: str) -> None:
    with pytest.raises(SelectionError, match=words):
        read_index_group(file, group, n_atoms=n_atoms)


@pytest.mark.parametrize("text", ["1 2 3\n", "[ A ]\n1 x 3\n", "nothing\n"])
def test_index_group__of_another_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.ndx").write_text(text)
    with pytest.raises(TrajectoryError, match=r"a\.ndx"):
        read_index_group(tmp_path / "a.ndx", "A", n_atoms=3)
