"""Choosing atoms: by expressions, by groups of index files, and by default."""

import re
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
    selection_remarks,
    solvent_remark,
)

Residue = tuple[str, list[tuple[str, str | None]]]


def topology_of(residues: list[Residue]) -> md.Topology:
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
    ("selection", "place", "words"),
    [
        ("nmae CA", "nmae", 'did you mean "name"'),
        ("Protein", "Protein", 'did you mean "protein"'),
        ("name CB or protien", "protien", 'did you mean "protein"'),
        ("resnam ALA", "resnam", 'did you mean "resname"'),
        ("chain A", "chain", 'did you mean "chainid"'),
        ("name CA or CB", "CB", 'did you mean "name CB"'),
        ("name CA and", "", 'missing after "and"'),
        ("and name CA", "and", 'missing before "and"'),
        ("(name CA", "(", "isn't closed"),
        ("name CA)", ")", "closes no"),
        ("name = CA", "=", 'write "=="'),
        ("not(water)", "not", "a space is missing"),
        ("name O5'", "O5'", 'need quotes: name "O5\'"'),
        ("resname NA+", "NA+", "need quotes: resname 'NA+'"),
        ("resid 1-10", "1-10", 'write "resid 1 to 10"'),
        ("index 1, 2", "1,", "separate them by spaces"),
        ("chainid A", "A", "counted from 0"),
        ("mass > 'a'", "'a'", "takes numbers"),
        ("__import__('os').system('true')", "__import__", "isn't a word"),
        ("\N{DUCK}", "\N{DUCK}", "isn't a word"),
        (f"{'name CA or ' * 30}nmae CB{' or name CA' * 30}", "nmae", 'did you mean "name"'),
        # mdtraj takes these for all atoms, water, HA alone, no atom and three residues.
        ("name", "name", "needs a value"),
        ("water or protein name CA", "name", '"and" or "or" is missing'),
        ("name HA 1HA", "1HA", "need quotes"),
        ("resid ALA", "ALA", "takes numbers"),
        ("resid 5 10 to 20", "to", "a range stands alone"),
        ("name CA protein", "protein", '"and" or "or" is missing'),
    ],
)
def test_select_atoms__points_at_what_is_wrong(selection: str, place: str, words: str) -> None:
    with pytest.raises(SelectionError, match="Cannot use the selection") as caught:
        select_atoms(make_topology(), selection)
    message, shown, caret = str(caught.value).splitlines()
    assert words in message
    assert shown[caret.index("^") :].startswith(place)
    assert max(len(shown), len(caret)) <= 80


@pytest.mark.parametrize(
    ("selection", "words"),
    [
        ("", "it is empty"),
        ("name =~ '('", "unterminated"),
        ("resid 99", "'resid 99' matches none of the 28 atoms.*count from 0.*number in the file"),
        ("resname ala", 'no resname "ala"; did you mean "resname ALA"'),
        ("nucleic", "the residues are 4 ALA"),
        ("resname SOL", 'no resname "SOL"; the residues are 4 ALA'),
    ],
)
def test_select_atoms__says_why_nothing_is_selected(selection: str, words: str) -> None:
    with pytest.raises(SelectionError, match=words):
        select_atoms(make_topology(), selection)


def test_select_atoms__atoms_without_element() -> None:
    topology = topology_of([("X", [("A", None), ("B", None)])])
    assert len(select_atoms(topology, "name A")) == 1
    with pytest.raises(SelectionError, match=r"asks for elements(.|\n)*element C"):
        select_atoms(topology, "element C")


WATER: list[tuple[str, str | None]] = [("OW", "O"), ("HW1", "H"), ("HW2", "H"), ("MW", "VS")]


@pytest.mark.parametrize(
    ("solvent", "advice"),
    [
        ([("W", [("W", None)])], "not resname W"),
        ([("PW", [("W", None), ("WP", None), ("WM", None)])], "not resname PW"),
        ([("SPC", WATER[:3])], "not resname SPC"),
        ([("T4P", WATER)], "not resname T4P"),
        ([("OPC", WATER), ("NA+", [("NA+", "Na")])], "not resname 'NA+' OPC"),
        ([("XYZ", WATER[:3])], "not resname XYZ"),
        # A ligand may have the name of an ion.
        ([("NA", [("NA", "Na")])], "not (resname NA and name NA)"),
        ([("LIG", [("C1", "C")])], ""),
    ],
)
def test_solvent__is_left_out_by_the_names_that_were_found(solvent: list[Residue], advice: str) -> None:
    ligand: Residue = ("NA", [("C1", "C"), ("C2", "C")])
    topology = topology_of([ligand, *solvent * 20])
    remark, found = solvent_remark(topology, np.arange(topology.n_atoms))
    assert found == advice
    assert bool(remark) == bool(advice)
    if advice:
        assert select_atoms(topology, found).tolist() == [0, 1]


def atoms_of(names: str) -> list[tuple[str, str | None]]:
    return [(name, name[0]) for name in names.split()]


AMINO = atoms_of("N H CA HA CB C O")
SUGAR = atoms_of("P O5' C5' C4' C3' C1' N9")
KINDS = topology_of(
    [
        ("ALA", AMINO),
        ("HIE", AMINO),
        ("XYZ", AMINO),  # by its atoms
        ("CYX", atoms_of("CA")),  # by its name
        ("NMET", atoms_of("CA")),
        ("DG", SUGAR),
        ("5MC", SUGAR),
        ("PSU", atoms_of("C1* C3* C4*")),
        ("RC", atoms_of("P")),
        ("HOH", WATER[:1]),
        ("SPC", WATER[:3]),
        ("LIG", atoms_of("C1 C2 N1")),
    ]
)


@pytest.mark.parametrize(
    ("selection", "words", "n_atoms"),
    [
        ("protein and name CA", "leaves out 1 HIE, 1 XYZ, 1 CYX, 1 NMET, which", 5),
        ("not is_protein", "takes 1 HIE, 1 XYZ, 1 CYX, 1 NMET, which", 7 * 2 + 3 + 1 + 4 + 3),
        ("backbone", "leaves out 1 HIE, 1 XYZ, 1 CYX, 1 NMET, which", 4 * 3 + 2),
        ("sidechain", "leaves out 1 HIE, 1 XYZ, which", 3),
        ("nucleic", "leaves out 1 5MC, 1 PSU, 1 RC, which", 7 * 2 + 3 + 1),
        ("not water and not protein and not nucleic", "takes .*1 SPC.* protein and water", 3),
        ("water", "leaves out 1 SPC, which", 4),
        ("resname 'protein' HIE", "", 7),
        ("protein or resname HIE XYZ CYX NMET", "", 7 * 3 + 2),
    ],
)
def test_words_for_kinds__say_what_they_miss(selection: str, words: str, n_atoms: int) -> None:
    remarks = [remark for remark in selection_remarks(KINDS, selection) if "mdtraj doesn't count" in remark]
    better = selection
    if words:
        assert re.search(words, remarks[0])
        better = remarks[0].partition('use "')[2].partition('"')[0]
    assert len(select_atoms(KINDS, better)) == n_atoms
    assert len(remarks) == bool(words)


def test_words_for_kinds__miss_none_that_mdanalysis_knows() -> None:
    reference = pytest.importorskip("MDAnalysis.core.selection")
    known = {"protein": reference.ProteinSelection.prot_res, "nucleic": reference.NucleicSelection.nucl_res}
    for word, names in known.items():
        topology = topology_of([(name, [("X", "C")]) for name in sorted(names)])
        better = selection_remarks(topology, word)[0].partition('use "')[2].partition('"')[0]
        assert len(select_atoms(topology, better)) == topology.n_atoms


def test_selection__that_is_mostly_solvent_is_told() -> None:
    topology = topology_of(
        [("LIG", atoms_of("C1 C2"))] + [("W", [("W", None)])] * 9 + [("NA", [("NA", "Na")])] * 3
    )
    assert selection_remarks(topology, "all") == []
    assert 'use "not (water or resname W)"' in selection_remarks(topology, "not water")[0]
    # What is better still holds more ions than anything else.
    assert (
        'use "(not (water or resname W)) and not resname NA"' in selection_remarks(topology, "not water")[1]
    )
    assert 'use "(resname LIG W) and not resname W"' in selection_remarks(topology, "resname LIG W")[0]
    assert selection_remarks(topology, "resname LIG NA and not name C2") != []


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
    assert default_rmsd_atoms(guessed, range(4))[1] == "3 atoms outside water and ions"
    nameless = topology_of([("POP", [("NC3", "VS"), ("D2A", None), ("HX", None)])])
    chosen, what = default_rmsd_atoms(nameless)
    np.testing.assert_array_equal(chosen, [0, 1])
    assert what == "2 atoms, without HX: hydrogens by name, since the topology file has no elements"
    # The head of a lipid, in whose residue there is nothing that a hydrogen binds to.
    assert default_rmsd_atoms(topology_of([("LIP", [("H", "H"), ("T1", "VS")])]), range(2))[1] == "2 atoms"


def test_default_rmsd_atoms__where_elements_are_guessed() -> None:
    # What mdtraj makes of a GRO file: R is no element, C1 carbon, CL1 too.
    cholesterol = topology_of([("CHOL", [("ROH", "VS"), ("R1", "VS"), ("C1", "C"), ("C2", "C")])])
    assert default_rmsd_atoms(cholesterol, range(4)) == (pytest.approx(np.arange(4)), "4 atoms")
    ligand = topology_of([("LIG", [("C1", "C"), ("CL1", "C"), ("1H1", "VS"), ("ZN1", "VS")])])
    chosen, what = default_rmsd_atoms(ligand, range(4))
    assert (chosen.tolist(), what[:20]) == ([0, 1, 3], "3 atoms, without 1H1")
    # And of a PDB file without elements that has C-alphas only: calcium.
    trace = topology_of([("HIE", [("CA", "Ca")])] * 12)
    assert default_rmsd_atoms(trace, range(12))[1] == "C-alphas of 12 protein residues"


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
