"""Files of any name: line ends, escapes, letters beyond ASCII, which mdtraj's C readers don't take."""

import pytest

from trajectory_files import make_trajectory, write
from twopass_store import export_coordinates, ingest_trajectories


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        *((name, ".xtc") for name in ("two\nlines", "軌跡", "[a]*?", "x" * 200)),
        *(("Ångström", suffix) for suffix in (".trr", ".dcd", ".h5", ".nc")),
    ],
)
def test_names__any_that_the_system_takes(name, suffix, tmp_path):
    trajectory = make_trajectory(3, n_residues=2)
    folder = tmp_path / name
    folder.mkdir()
    for plain, called in ((f"plain{suffix}", f"{name}{suffix}"), ("top.pdb", f"{name}.top.pdb")):
        write(trajectory, tmp_path / plain).rename(folder / called)
    store = folder / f"{name}.zarr"
    result = ingest_trajectories(
        store, folder / f"{name}{suffix}", top=folder / f"{name}.top.pdb", select="all"
    )
    assert result.n_frames == 3
    export_coordinates(store, folder / f"{name}.out{suffix}")
    assert sorted(path.name for path in folder.iterdir() if "out" in path.name) == [f"{name}.out{suffix}"]
    again = ingest_trajectories(
        tmp_path / "again.zarr", folder / f"{name}.out{suffix}", top=folder / f"{name}.top.pdb", select="all"
    )
    assert again.n_frames == 3


def test_names__bytes_that_are_no_text(tmp_path, twopass):
    trajectory = make_trajectory(3, n_residues=2)
    write(trajectory, tmp_path / "a.xtc")
    write(trajectory[:1], tmp_path / "t.pdb")
    (tmp_path / "odd\udcff.xtc").write_bytes((tmp_path / "a.xtc").read_bytes())
    for arguments, code in ((("s.zarr", "odd\udcff.xtc"), 3), (("odd\udcff.zarr", "a.xtc"), 2)):
        said = twopass("ingest", *arguments, "--top", "t.pdb", code=code).stderr
        assert "UTF-8" in said or "utf-8" in said
