"""Choosing atoms: expressions, hostile ones too, and the defaults."""

import contextlib
import itertools
import os
import time
import warnings

import mdtraj as md
import numpy as np
import pytest
from mdtraj.core import element

from trajectory_files import make_topology
from twopass_store.errors import SelectionError
from twopass_store.trajectory import (
    SelectionSummary,
    default_rmsd_atoms,
    describe_selection,
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


def test_select_atoms__resid_counts_and_residue_is_the_number() -> None:
    topology = make_topology(3)
    np.testing.assert_array_equal(select_atoms(topology, "resid 0"), np.arange(7))
    np.testing.assert_array_equal(select_atoms(topology, "residue 3"), np.arange(7))


def test_select_atoms__backslashes_without_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(select_atoms(make_topology(1, n_waters=2), r"name =~ 'H\d'")) == 4


@pytest.mark.parametrize(
    "selection",
    [
        "__import__('os').system('touch hostile')",
        "name.__class__",
        "(lambda: 1)()",
        "name == (lambda: 1)()",
        "atom.residue",
        "atom",
        "name atom",
        "name == atom",
        "re",
        "name == re",
        "re.match('a', 'b')",
        "[a for a in name]",
        "name f'{__import__(1)}'",
        "name CA; import os",
        "exec('1')",
        "name CA if True else name CB",
        "name := 3",
        "name 'a' 'b' + open('x')",
        "name lambda",
        "print(1)",
        "'a' * 1000000000",
        "name CA\0",
        "name",
        "resid",
        "not mass",
        "protein and name",
        "None",
        "CA",
        "1",
        "",
        "   ",
        "name CA and",
        "(name CA",
        "name 'CA",
        "protein and and water",
        "a and b",
        "mass > 'a'",
        "name < 5",
        "name =~ '('",
        "🦆",
        "(" * 3000 + "name CA" + ")" * 3000,
        "not " * 3000 + "name CA",
        "!" * 3000 + "name CA",
        "name CA and " * 100_000 + "name CA",
    ],
)
def test_select_atoms__refuses_all_else(
    selection: str, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(str(tmp_path))
    begin = time.perf_counter()
    with pytest.raises(SelectionError) as caught:
        select_atoms(make_topology(), selection)
    assert len(str(caught.value)) < 900
    assert os.listdir() == []  # noqa: PTH208 (the current directory)
    assert time.perf_counter() - begin < 5


def test_select_atoms__message_names_selection_and_hints() -> None:
    with pytest.raises(
        SelectionError, match=r"'resid 99' matches none of the 28 atoms.*from 0.*number in the file"
    ):
        select_atoms(make_topology(), "resid 99")


def test_select_atoms__atoms_without_element() -> None:
    topology = topology_of([("X", [("A", None), ("B", None)])])
    assert len(select_atoms(topology, "name A")) == 1
    with pytest.raises(SelectionError, match="element C"):
        select_atoms(topology, "element C")


@pytest.mark.parametrize(
    "pattern", ["(C+)+$", "(C|C)*$", "(C*)*$", "(C|CC)+$", "C*C*C*C*C*C*C*C*$", "(?:C{1,50}){1,50}$"]
)
def test_select_atoms__regular_expressions_that_backtrack_end(pattern: str) -> None:
    topology = topology_of([("X", [("C" * 60 + "!", "C"), ("CA", "C")])])
    begin = time.perf_counter()
    # Some end at once, the others by the clock.
    with contextlib.suppress(SelectionError):
        assert len(select_atoms(topology, f"name =~ '{pattern}' or name CA")) == 1
    assert time.perf_counter() - begin < 20


def test_select_atoms__regular_expression_that_takes_too_long_is_named() -> None:
    topology = topology_of([("X", [("C" * 500 + "!", "C")])])
    with pytest.raises(SelectionError, match="takes too long"):
        select_atoms(topology, "name =~ '(C|C|CC)*(C|CC)*(CCC|C)*$'")
    with pytest.raises(SelectionError, match="1001 characters"):
        select_atoms(topology, f"name =~ '{'C' * 1001}'")
    with pytest.raises(SelectionError, match="is a number"):
        select_atoms(topology, "index =~ '1'")


def test_select_atoms__counts_bonds_once() -> None:
    topology = topology_of([("X", [(f"C{number}", "C") for number in range(4000)])])
    atoms = list(topology.atoms)
    for first, second in itertools.pairwise(atoms):
        topology.add_bond(first, second)
    np.testing.assert_array_equal(select_atoms(topology, "n_bonds 1"), [0, 3999])
    assert len(select_atoms(topology, "n_bonds 2 and index 0 1 2 5")) == 3


def test_describe_selection() -> None:
    topology = make_topology(3, n_waters=2)
    summary = describe_selection(topology, select_atoms(topology, "name O"))
    assert summary == SelectionSummary(5, 5, 2)
    assert str(summary) == "5 atoms in 5 residues of 2 chains"
    assert str(SelectionSummary(1, 1, 1)) == "1 atom in 1 residue of 1 chain"


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


def test_default_rmsd_atoms__nothing_left() -> None:
    with pytest.raises(SelectionError, match="None of the 2 atoms"):
        default_rmsd_atoms(topology_of([("H2", [("H1", "H"), ("H2", "H")])]))
