"""Files of MDAnalysis' own tests, written by many programs, against what MDAnalysis reads from them.

They come with the extra ``formats``: ``pip install -e '.[formats]'``.
"""

import importlib
import warnings
from pathlib import Path

import numpy as np
import pytest

from twopass_store import export_coordinates, ingest_trajectories
from twopass_store.errors import TrajectoryError, TruncatedTrajectoryError
from twopass_store.store import Store

pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(
        importlib.util.find_spec("MDAnalysisTests") is None,
        reason="MDAnalysisTests isn't installed; the extra `formats` has it",
    ),
]

# Names in MDAnalysisTests.datafiles: trajectory, topology (None where the trajectory has its own).
FILES = [
    ("XTC", "GRO"),
    ("XTC_sub_sol", "PDB_sub_sol"),
    ("RANDOM_WALK", "RANDOM_WALK_TOPO"),
    ("COORDINATES_XTC", "COORDINATES_TOPOLOGY"),
    ("TRR_sub_sol", "PDB_sub_sol"),
    ("COORDINATES_TRR", "COORDINATES_TOPOLOGY"),
    ("DCD2", "PSF"),
    ("DCD_NAMD_GBIS", "PSF_NAMD_GBIS"),
    ("DCD_NAMD_TRICLINIC", "PSF_NAMD_TRICLINIC"),
    ("DCD_TRICLINIC", "PSF_TRICLINIC"),
    ("waterDCD", "waterPSF"),
    ("COORDINATES_DCD", "COORDINATES_TOPOLOGY"),
    ("NCDF", "PRMncdf"),
    ("TRJ_NCBOX", "PRM_NCBOX"),
    ("CPPTRAJ_TRAJ", "CPPTRAJ_TRAJ_TOP"),
    ("TRJ", "PRM"),
    ("WIN_TRJ", "PRM"),
    ("COORDINATES_XYZ", "COORDINATES_TOPOLOGY"),
    ("COORDINATES_GRO", None),
    ("GRO_velocity", None),
    ("Martini_membrane_gro", None),
    ("TRIC", None),
    ("PDB_multiframe", None),
    ("WIN_PDB_multiframe", None),
    ("PDB_NAMD", None),
    ("CONECT", None),
]


def datafile(name: str | None) -> str | None:
    return None if name is None else getattr(importlib.import_module("MDAnalysisTests.datafiles"), name)


def ingested(name: str, topology: str | None, folder: Path, *, select: str = "all") -> Store:
    ingest_trajectories(folder / "run.zarr", datafile(name), top=datafile(topology), select=select)
    return Store.open(folder / "run.zarr")


@pytest.mark.parametrize(("name", "topology"), FILES)
def test_ingest__gives_what_mdanalysis_reads(name, topology, tmp_path):
    mda = importlib.import_module("MDAnalysis")
    store = ingested(name, topology, tmp_path)
    files = [file for file in (datafile(topology), datafile(name)) if file is not None]
    options = {"format": "TRJ"} if name.endswith("TRJ") and "mdcrd" in datafile(name) else {}
    universe = mda.Universe(*files, **options)
    xyz = store.read("position")
    assert xyz.shape == (len(universe.trajectory), universe.atoms.n_atoms, 3)
    has_time = store.attrs("time")["time_source"] == "file"
    has_cell = store.has("unitcell_lengths")
    for index, frame in enumerate(universe.trajectory):
        np.testing.assert_allclose(10 * xyz[index], frame.positions, rtol=0, atol=4e-5)
        if has_time:
            assert store.read("time")[index] == pytest.approx(frame.time, rel=1e-6)
        assert has_cell == (frame.dimensions is not None and bool(np.any(frame.dimensions)))
        if has_cell:
            lengths, angles = (store.read(f"unitcell_{what}")[index] for what in ("lengths", "angles"))
            np.testing.assert_allclose(10 * lengths, frame.dimensions[:3], atol=2e-4)
            np.testing.assert_allclose(angles, frame.dimensions[3:], atol=2e-4)
    universe.trajectory.close()


@pytest.mark.parametrize(("name", "topology"), FILES)
def test_export__gives_back_what_was_ingested(name, topology, tmp_path):
    store = ingested(name, topology, tmp_path, select="index < 400")
    suffix = Path(datafile(name)).suffix
    export_coordinates(store.path, tmp_path / f"out{suffix}", top_to=tmp_path / "top.h5")
    again = tmp_path / "again.zarr"
    ingest_trajectories(again, tmp_path / f"out{suffix}", top=tmp_path / "top.h5", select="all")
    before, after = store.read("position"), Store.open(again).read("position")
    if suffix in (".xtc", ".trr"):
        np.testing.assert_array_equal(after, before)
    elif suffix in (".dcd", ".nc", ".ncdf"):
        np.testing.assert_array_max_ulp(after, before, 2)
    else:
        np.testing.assert_allclose(after, before, rtol=0, atol=6e-4 if suffix == ".gro" else 6e-5)
    if store.has("unitcell_lengths"):
        for what in ("unitcell_lengths", "unitcell_angles"):
            found = Store.open(again).read(what)
            np.testing.assert_allclose(found, store.read(what), rtol=0, atol=3e-3)


@pytest.mark.parametrize(
    ("name", "topology", "error", "said"),
    [
        ("DCD", "PSF", TruncatedTrajectoryError, "promises 500 frames, the file holds 98"),
        ("WIN_LAMMPSDUMP", "RANDOM_WALK_TOPO", TrajectoryError, "scaled coordinates"),
        ("two_water_gro_multiframe", None, TruncatedTrajectoryError, "doesn't end with a line end"),
        ("GRO_huge_box", None, TrajectoryError, "Unexpected line in .gro file"),
        ("H5MD_xvf", "PDB_sub_sol", TrajectoryError, r"\.h5md"),
        ("TRJncdf", "PRMncdf", TrajectoryError, r"\.trj"),
    ],
)
def test_ingest__what_is_not_read_is_refused(name, topology, error, said, tmp_path):
    with warnings.catch_warnings(), pytest.raises(error, match=said):
        ingested(name, topology, tmp_path)
    assert not (tmp_path / "run.zarr").exists()
