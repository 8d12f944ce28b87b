"""What `--reader mdanalysis` promises, on files that MDAnalysis or a few lines here wrote.

MDAnalysis itself gives the expected values where it reads a file by itself, in Å.
"""

import gzip
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from conftest import EXAMPLE
from twopass_store.errors import (
    ConfigError,
    FingerprintMismatchError,
    TrajectoryError,
)
from twopass_store.ingest import ingest_trajectories
from twopass_store.store import Store
from twopass_store.trajectory import load_topology, probe, read_blocks, read_times

mda = pytest.importorskip("MDAnalysis")
pytestmark = pytest.mark.filterwarnings("ignore")  # MDAnalysis warns in the tests' own process

DATA = Path(__file__).parents[1] / "data"
N_FRAMES, N_ATOMS = 7, 22
TOP = EXAMPLE / "alanine-dipeptide.pdb"
XYZ = np.round(np.random.default_rng(5).uniform(1, 39, (N_FRAMES, N_ATOMS, 3)), 4)  # Å
IDS = np.random.default_rng(6).permutation(np.arange(5, 5 + 3 * N_ATOMS, 3))


def dump(path, *, columns="id xu yu zu", scale=1.0, before="", first=""):
    """A LAMMPS dump of a group, the atoms in no order."""
    rank = np.argsort(np.argsort(IDS))
    lines = [first] if first else []
    for step, frame in enumerate(XYZ):
        lines += [before.format(step)] if before else []
        lines += [f"ITEM: TIMESTEP\n{1000 * step}\nITEM: NUMBER OF ATOMS\n{N_ATOMS}"]
        lines += ["ITEM: BOX BOUNDS pp pp pp", *["0.0 40.0"] * 3, f"ITEM: ATOMS {columns}"]
        for number, row in zip(IDS, rank, strict=True):
            lines.append(f"{number} " + " ".join(f"{value / scale:.6f}" for value in frame[row]))
    path.write_text("\n".join(lines) + "\n")
    return path


def written(path, **options):
    universe = mda.Universe(str(TOP))
    universe.load_new(XYZ.astype("f4"), order="fac", dimensions=[40, 41, 42, 90, 80, 70])
    with mda.Writer(str(path), N_ATOMS, **options) as writer:
        for step in universe.trajectory:
            step.time = 2.5 * step.frame
            writer.write(universe)
    return path


MADE = {
    "group.lammpstrj": dump,
    "scaled.dump": lambda path: dump(path, columns="id xs ys zs", scale=40),
    "units.lammpstrj": lambda path: dump(path, first="ITEM: UNITS\nreal", before="ITEM: TIME\n{}.0"),
    "run.dump.500": dump,
    "run.h5md": lambda path: written(path, n_frames=N_FRAMES, timeunit="ps", lengthunit="Angstrom"),
    "run.trr": written,
    "RUN ä.XTC": lambda path: written(path.with_suffix(".xtc")).rename(path),
    "run.dcd": written,
    "run.ncdf": written,
    "run.trz": written,
    "run.xyz": written,
    "run.pdb": lambda path: written(path, multiframe=True),
}
TIMED = {"run.h5md", "run.trr", "RUN ä.XTC", "run.ncdf", "run.trz"}


@pytest.mark.parametrize("name", MADE)
def test_values__are_those_of_mdanalysis_in_nm_whatever_the_range(name, tmp_path):
    path, other = tmp_path / name, tmp_path / "reference"
    other.mkdir()
    MADE[name](path)
    beside = sorted(tmp_path.iterdir())
    if "dump" in name or "lammps" in name:
        # Which MDAnalysis alone reads without what may come before a frame.
        same = dump(other / name) if name.startswith("units") else path
        reference = mda.coordinates.core.reader(str(same), format="LAMMPSDUMP")
    else:
        own = MADE[name](other / f"run{path.suffix}")
        reference = mda.coordinates.core.reader(str(own), format=path.suffix[1:].upper(), n_atoms=N_ATOMS)
    frames = [step.copy() for step in reference]
    nm = np.array([(frame.positions.astype("f8") / 10).astype("f4") for frame in frames])
    np.testing.assert_allclose(10 * nm, XYZ, atol=0.011)  # what the formats round to

    info = probe(path, load_topology(TOP), reader="mdanalysis")
    assert (info.n_frames, info.n_atoms) == (N_FRAMES, N_ATOMS)
    (whole,) = read_blocks(info, frames=range(N_FRAMES))
    np.testing.assert_array_equal(whole.xyz, nm)
    atoms = np.array([0, 3, 21])
    some = list(read_blocks(info, frames=range(2, 7, 2), atom_indices=atoms, block_frames=2))
    np.testing.assert_array_equal(np.concatenate([block.xyz for block in some]), nm[2:7:2, atoms])
    assert info.has_time == (name in TIMED)
    if info.has_time:
        np.testing.assert_array_equal(whole.time, [frame.time for frame in frames])
        np.testing.assert_array_equal(read_times(info), whole.time)
    else:
        assert whole.time is None and read_times(info) is None
    if frames[0].dimensions is None:
        assert whole.unitcell_lengths is None and not info.has_unitcell
    else:
        cells = np.hstack([10 * whole.unitcell_lengths, whole.unitcell_angles])
        np.testing.assert_allclose(cells, [frame.dimensions for frame in frames], rtol=1e-6)
    assert sorted(tmp_path.iterdir()) == beside


def psf(*rows, bonds="1 2"):
    atoms = "\n".join(rows)
    return f"PSF\n\n 1 !NTITLE\n REMARKS\n\n {len(rows)} !NATOM\n{atoms}\n\n 1 !NBOND: bonds\n {bonds}\n\n"


INSERTED = psf(
    *(
        f"{i + 1} A {number} ALA {name} CT1 0.1 12.011 0"
        for i, (number, name) in enumerate(
            [("52", "N"), ("52", "CA"), ("52A", "N"), ("52A", "CA"), ("53", "N")]
        )
    )
)
COLUMNS = psf(
    *(
        f"{i + 1:8d}      {i // 2 + 1:<4d} ALA  {name:4s} CT1    0.100000       12.0110           0"
        for i, name in enumerate(("N", "CA") * 2)
    )
)
DATA_FILE = """LAMMPS

3 atoms
1 bonds
2 atom types
1 bond types
0 10 xlo xhi
0 10 ylo yhi
0 10 zlo zhi

Masses

1 12.0
2 1.0

Atoms # bond

7 1 1 1.0 2.0 3.0
8 1 2 1.5 2.0 3.0
9 2 1 4.5 2.0 3.0

Bonds

1 1 7 8
"""
ELEMENTS = """ITEM: TIMESTEP
0
ITEM: NUMBER OF ATOMS
3
ITEM: BOX BOUNDS pp pp pp
0 9
0 9
0 9
ITEM: ATOMS id element x y z
3 O 1 1 1
7 CL 2 2 2
5 H 3 3 3
"""
# Residues as name, number and names of atoms; elements; bonds.
TOPOLOGIES = {
    "inserted.psf": (INSERTED, "ALA52 N CA, ALA52 N CA, ALA53 N", "", [(0, 1)]),
    "columns.psf": (COLUMNS, "ALA1 N CA, ALA2 N CA", "", [(0, 1)]),
    "bond.data": (DATA_FILE, "UNK1 1 2, UNK2 1", "", [(0, 1)]),
    "elements.dump": (ELEMENTS, "UNK1 O H Cl", "O H Cl", []),
    "noseg.psf": (
        None,
        ", ".join(f"ALA{i} N CA C O CB" for i in range(1, 11)),
        "",
        [(i, i + 1) for i in range(49)],
    ),
    "nobond.mol2": (None, "LIG11 " + " ".join(f"C{i}" for i in range(1, 23)), " ".join("C" * 22), []),
}


@pytest.mark.parametrize("called", ["prod.dat", "prod.mdcrd", "prod.XTC", "prod.trr.1", "prod"])
@pytest.mark.parametrize("name", ["group.lammpstrj", "run.h5md", "run.trr", "run.dcd", "run.ncdf", "run.xyz"])
def test_content__tells_the_format(name, called, tmp_path):
    path = MADE[name](tmp_path / name).rename(tmp_path / called)
    info = probe(path, load_topology(TOP), reader="mdanalysis")
    (whole,) = read_blocks(info, frames=range(N_FRAMES))
    np.testing.assert_allclose(10 * whole.xyz, XYZ, atol=0.011)
    path.write_bytes(gzip.compress(path.read_bytes()))
    if name == "run.xyz":
        assert probe(path, load_topology(TOP)).n_frames == N_FRAMES
    else:
        with pytest.raises(TrajectoryError, match=f"`gzip -dc {called} >"):
            probe(path, load_topology(TOP), reader="mdanalysis")


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_topology__is_what_the_file_says_without_guesses(name, tmp_path):
    text, residues, elements, bonds = TOPOLOGIES[name]
    path = DATA / name
    if text is not None:
        path = tmp_path / name
        path.write_text(text)
    topology = load_topology(path, "mdanalysis")
    found = [f"{each} " + " ".join(atom.name for atom in each.atoms) for each in topology.residues]
    assert ", ".join(found) == residues
    assert [atom.element and atom.element.symbol for atom in topology.atoms] == (
        elements.split() or [None] * topology.n_atoms
    )
    assert sorted((one.index, other.index) for one, other in topology.bonds) == bonds


@pytest.mark.parametrize(
    ("file", "top"),
    [
        ("group.lammpstrj", TOP),
        ("run.xtc", DATA / "nobond.mol2"),
        ("run.xtc", DATA / "noseg.psf"),
        ("run.trz", TOP),
    ],
)
def test_what_mdtraj_does_not_read__is_read_as_the_error_says(file, top, tmp_path, twopass):
    n_atoms = load_topology(top, "mdanalysis").n_atoms
    if n_atoms == N_ATOMS:
        (dump if file == "group.lammpstrj" else written)(tmp_path / file)
    else:
        universe = mda.Universe.empty(n_atoms, trajectory=True)
        universe.atoms.write(str(tmp_path / file))
    error = twopass("ingest", "run.zarr", file, "--top", top, code=3).stderr
    assert error.endswith("MDAnalysis can read it: use --reader mdanalysis.\n")
    assert "damaged" not in error
    assert "file is damaged" not in error
    result = twopass("ingest", "run.zarr", file, "--top", top, "--reader", "mdanalysis")
    assert f"of {n_atoms} atoms from 1 file" in result.stdout
    assert not any(word in result.stderr for word in ("Warning", "MDAnalysis"))


def test_without_mdanalysis__errors_say_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "MDAnalysis", None)
    path, empty = dump(tmp_path / "group.lammpstrj"), tmp_path / "empty.xtc"
    empty.touch()
    with pytest.raises(TrajectoryError, match=r"may read it: pip install 'twopass-store\[mdanalysis\]'"):
        ingest_trajectories(tmp_path / "run.zarr", path, top=TOP)
    with pytest.raises(TrajectoryError, match="it is empty") as error:
        ingest_trajectories(tmp_path / "run.zarr", empty, top=TOP)
    assert "MDAnalysis" not in str(error.value)
    with pytest.raises(ConfigError, match="isn't installed: pip install"):
        ingest_trajectories(tmp_path / "run.zarr", path, top=TOP, reader="mdanalysis")


def test_reader__is_part_of_what_a_store_is_made_with(tmp_path):
    path, store, other = written(tmp_path / "run.trr"), tmp_path / "run.zarr", tmp_path / "other.zarr"
    more = shutil.copy(path, tmp_path / "more.trr")
    options = {"top": TOP, "reader": "mdanalysis"}
    ingest_trajectories(store, path, **options)
    assert ingest_trajectories(store, path, **options).n_frames_computed == 0
    with pytest.raises(FingerprintMismatchError, match="reader"):
        ingest_trajectories(store, path, top=TOP)
    assert ingest_trajectories(store, more, append=True).n_frames == 2 * N_FRAMES
    stored = Store.open(store).read("position")
    np.testing.assert_array_equal(stored[:N_FRAMES], stored[N_FRAMES:])
    ingest_trajectories(other, path, top=TOP)
    with pytest.raises(FingerprintMismatchError, match="reader"):
        ingest_trajectories(other, more, append=True, reader="mdanalysis")


@pytest.mark.parametrize(
    ("name", "cut"),
    [("group.lammpstrj", 2), ("group.lammpstrj", 90), ("run.xyz", 90), ("run.trr", 90), ("RUN ä.XTC", 90)],
)
def test_cut_file__gives_its_whole_frames_and_the_rest_when_it_is_there(name, cut, tmp_path):
    path, store = MADE[name](tmp_path / name), tmp_path / "run.zarr"
    content = path.read_bytes()
    path.write_bytes(content[:-cut])
    info = probe(path, load_topology(TOP), reader="mdanalysis")
    assert info.unfinished == f"{N_FRAMES - 1} whole frames of {N_FRAMES} promised, and 0 bytes behind them"
    blocks = read_blocks(info, frames=range(N_FRAMES - 1), block_frames=4)
    assert sum(block.n_frames for block in blocks) == N_FRAMES - 1
    ingest_trajectories(store, path, top=TOP, reader="mdanalysis")
    path.write_bytes(content)
    assert ingest_trajectories(store, path, append=True).n_frames == N_FRAMES
    whole = ingest_trajectories(tmp_path / "whole.zarr", path, top=TOP, reader="mdanalysis").store
    np.testing.assert_array_equal(*(Store.open(each).read("position") for each in (store, whole)))


def test_frames_that_are_lost_or_without_positions__are_refused(tmp_path):
    topology = load_topology(TOP)
    dump(tmp_path / "bare.dump", columns="mol x y z")
    with pytest.raises(TrajectoryError, match="no column `id`"):
        probe(tmp_path / "bare.dump", topology, reader="mdanalysis")
    frame = written(tmp_path / "run.gro").read_text()
    (tmp_path / "twice.gro").write_text(2 * frame)
    assert probe(tmp_path / "run.gro", topology, reader="mdanalysis").n_frames == 1
    with pytest.raises(
        TrajectoryError, match="holds several frames, of which MDAnalysis reads only the first"
    ):
        probe(tmp_path / "twice.gro", topology, reader="mdanalysis")
    with mda.Writer(str(tmp_path / "bare.trr"), N_ATOMS) as writer:
        universe = mda.Universe.empty(N_ATOMS, trajectory=True, velocities=True)
        for step in range(3):
            universe.trajectory.ts.has_positions = step != 1
            writer.write(universe)
    with pytest.raises(TrajectoryError, match=r"Frame 1 of .* holds no positions"):
        ingest_trajectories(tmp_path / "run.zarr", tmp_path / "bare.trr", top=TOP, reader="mdanalysis")


def test_read_only_folder__is_enough_and_nothing_is_left(tmp_path, unprivileged, started_twopass):
    folder = tmp_path / "files"
    folder.mkdir()
    written(folder / "run.xtc")
    folder.chmod(0o555)
    try:
        options = ("--top", TOP, "--reader", "mdanalysis")
        started_twopass("ingest", "run.zarr", folder / "run.xtc", *options, prefix=unprivileged)
        assert list(folder.iterdir()) == [folder / "run.xtc"]
    finally:
        folder.chmod(0o755)
