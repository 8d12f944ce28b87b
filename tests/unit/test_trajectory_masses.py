"""Masses of atoms: where elements may be trusted, and what a file of masses may say."""

import mdtraj as md
import numpy as np
import pytest
from mdtraj.core import element

from trajectory_files import make_topology
from twopass_store.errors import ConfigError
from twopass_store.trajectory import element_masses, read_masses

CHAIN = make_topology(2)  # N H CA HA CB C O, twice, ALA3 and ALA4
ALL = np.arange(14)


def beads() -> md.Topology:
    """A chain of two beads a residue, with the elements that mdtraj guesses from their names."""
    topology = md.Topology()
    chain = topology.add_chain()
    for number in range(2):
        residue = topology.add_residue("ALA", chain, resSeq=number + 1)
        topology.add_atom("BB", element.boron, residue)
        topology.add_atom("SC1", element.sulfur, residue)
    return topology


def test_element_masses__are_those_of_the_elements():
    expected = [14.007, 1.008, 12.011, 1.008, 12.011, 12.011, 15.999]
    np.testing.assert_allclose(element_masses(CHAIN, ALL, ()), expected * 2, atol=2e-3)
    np.testing.assert_allclose(element_masses(CHAIN, np.array([9, 2]), ()), [12.011, 12.011], atol=2e-3)


def test_element_masses__are_refused_where_a_selected_element_is_guessed():
    np.testing.assert_allclose(element_masses(CHAIN, ALL[:7], {9}), element_masses(CHAIN, ALL[:7], ()))
    with pytest.raises(ConfigError, match=r"atom 9, ALA4-CA, .* guess from its name.*`masses`"):
        element_masses(CHAIN, ALL, {9})


@pytest.mark.parametrize("nothing", [None, element.virtual])
def test_element_masses__are_refused_for_virtual_sites(nothing):
    topology = make_topology(1, n_waters=1)
    residue = topology.add_residue("SOL", topology.add_chain())
    atom = topology.add_atom("MW", element.virtual, residue)
    atom.element = nothing
    with pytest.raises(ConfigError, match=r"SOL\d+-MW, has no element"):
        element_masses(topology, np.array([atom.index]), ())
    assert len(element_masses(topology, np.arange(atom.index), ())) == atom.index


def write(tmp_path, text):
    (tmp_path / "masses.txt").write_text(text)
    return tmp_path / "masses.txt"


def test_read_masses__a_list_is_of_all_atoms_or_of_the_selected_ones(tmp_path):
    some = np.array([2, 9])
    every = write(tmp_path, "# made by hand\n" + "".join(f"{k + 0.5}\n" for k in range(14)))
    np.testing.assert_array_equal(read_masses(every, CHAIN, some, n_selected=2), [2.5, 9.5])
    selected = write(tmp_path, "\n 12.5  # CA\n1.3e1\n")
    np.testing.assert_array_equal(read_masses(selected, CHAIN, some, n_selected=2), [12.5, 13.0])
    with pytest.raises(ConfigError, match="2 masses, and the store 14 atoms: a file"):
        read_masses(selected, CHAIN, some, n_selected=None)
    with pytest.raises(ConfigError, match="2 masses, and the store 14 atoms and 3 selected ones"):
        read_masses(selected, CHAIN, np.array([0, 2, 9]), n_selected=3)


def test_read_masses__names_count_from_the_most_specific_on(tmp_path):
    file = write(tmp_path, "BB 72\nSC1\t54.0\nALA:SC1 36\nALA2:BB 80 # the last one\nW 72\n")
    np.testing.assert_array_equal(read_masses(file, beads(), np.arange(4)), [72, 36, 80, 36])
    with pytest.raises(ConfigError, match=r"no mass for atom 0, ALA3-N: add a line `N MASS`"):
        read_masses(file, CHAIN, ALL)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "one number a line"),
        ("BB 72\n54\n", "line 2.*alike"),
        ("BB 72 3\n", "line 1"),
        ("BB heavy\n", "line 1: 'heavy' is no mass"),
        ("12\nnan\n", "line 2: 'nan' is no mass, a positive finite number"),
        ("BB 0\n", "line 1: '0' is no mass"),
        ("BB -72\n", "'-72' is no mass"),
    ],
)
def test_read_masses__what_is_none_is_refused_with_its_line(tmp_path, text, words):
    with pytest.raises(ConfigError, match=words):
        read_masses(write(tmp_path, text or "# nothing\n"), beads(), np.arange(4))
