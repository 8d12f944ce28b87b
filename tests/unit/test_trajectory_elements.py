"""How elements came about, file by file."""

from pathlib import Path

import mdtraj as md
import numpy as np
import pytest

from trajectory_files import make_trajectory
from twopass_store import ingest_trajectories
from twopass_store.partition import parse_ranges
from twopass_store.store import Store
from twopass_store.trajectory import guessed_elements, load_topology


def guessed(path: Path) -> list[int]:
    return np.flatnonzero(guessed_elements(path, load_topology(path))).tolist()


def without_elements(source: Path, target: Path, *, lines: slice = slice(None)) -> Path:
    """The same PDB file without columns 77 and 78 in some of its atom lines."""
    text = source.read_text().splitlines()
    atoms = [index for index, line in enumerate(text) if line.startswith("ATOM")]
    for index in atoms[lines]:
        text[index] = text[index][:76]
    target.write_text("\n".join(text) + "\n")
    return target


def test_pdb__elements_are_written_in_columns_77_and_78(tmp_path, example_top):
    assert guessed(example_top) == []
    assert guessed(without_elements(example_top, tmp_path / "bare.pdb")) == list(range(22))
    some = without_elements(example_top, tmp_path / "some.pdb", lines=slice(3, 5))
    assert guessed(some) == [3, 4]


def test_pdb__only_the_first_model_counts(tmp_path, example_top):
    bare = without_elements(example_top, tmp_path / "bare.pdb").read_text()
    atoms = [line for line in bare.splitlines() if line.startswith("ATOM")]
    full = [line for line in example_top.read_text().splitlines() if line.startswith("ATOM")]
    models = ["MODEL        1", *full, "ENDMDL", "MODEL        2", *atoms, "ENDMDL", "END"]
    (tmp_path / "models.pdb").write_text("\n".join(models) + "\n")
    assert guessed(tmp_path / "models.pdb") == []


@pytest.mark.parametrize(("extension", "expected"), [("gro", list(range(28))), ("h5", [])])
def test_other_formats__either_keep_elements_or_names_alone(tmp_path, extension, expected):
    path = tmp_path / f"chain.{extension}"
    make_trajectory(1).save(str(path))
    assert guessed(path) == expected


@pytest.mark.parametrize("has_numbers", [True, False])
def test_prmtop__has_elements_where_it_has_atomic_numbers(tmp_path, has_numbers):
    flag = "%FLAG ATOMIC_NUMBER\n%FORMAT(10I8)\n       6\n" if has_numbers else ""
    path = tmp_path / "system.prmtop"
    path.write_text(f"%VERSION\n{flag}%FLAG MASS\n")
    topology = load_topology_of_one_atom()
    assert guessed_elements(path, topology).tolist() == [not has_numbers]


def load_topology_of_one_atom() -> md.Topology:
    topology = md.Topology()
    topology.add_atom("C", md.element.carbon, topology.add_residue("LIG", topology.add_chain()))
    return topology


def test_ingest__keeps_what_was_guessed_among_the_stored_atoms(tmp_path, example_xtc, example_top):
    some = without_elements(example_top, tmp_path / "some.pdb", lines=slice(3, 7))
    ingest_trajectories(tmp_path / "s.zarr", example_xtc, top=some, select="index 1 3 4 6 7", stride=1000)
    assert parse_ranges(Store.open(tmp_path / "s.zarr").attrs("element")["guessed_atoms"]) == [1, 2, 3]
