"""How elements came about, file by file."""

from pathlib import Path

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


@pytest.mark.parametrize(("extension", "expected"), [("gro", list(range(28))), ("h5", [])])
def test_other_formats__either_keep_elements_or_names_alone(tmp_path, extension, expected):
    path = tmp_path / f"chain.{extension}"
    make_trajectory(1).save(str(path))
    assert guessed(path) == expected


def test_ingest__keeps_what_was_guessed_among_the_stored_atoms(tmp_path, example_xtc, example_top):
    some = without_elements(example_top, tmp_path / "some.pdb", lines=slice(3, 7))
    ingest_trajectories(tmp_path / "s.zarr", example_xtc, top=some, select="index 1 3 4 6 7", stride=1000)
    assert parse_ranges(Store.open(tmp_path / "s.zarr").attrs("element")["guessed_atoms"]) == [1, 2, 3]


def test_psf__has_the_elements_whose_masses_it_has(tmp_path):
    # Carbon, a united CH2, a hydrogen made heavier, zinc as CHARMM has it, a lone pair, and a bead.
    masses = [12.011, 14.027, 3.024, 65.37, 0.0, 72.0]
    rows = [f"{k:8} A 1 ALA X{k} X 0.0 {mass:.4f} 0" for k, mass in enumerate(masses, start=1)]
    lines = [
        "PSF",
        "",
        "       1 !NTITLE",
        " REMARKS",
        "",
        "       6 !NATOM",
        *rows,
        "",
        "       0 !NBOND: bonds",
        "",
    ]
    (tmp_path / "a.psf").write_text("\n".join(lines) + "\n")
    assert guessed(tmp_path / "a.psf") == [1, 2, 5]
