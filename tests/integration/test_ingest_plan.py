"""`--plan`: what an ingest would take, told without writing anything."""

import re

from trajectory_files import make_trajectory
from twopass_store import estimate_ingest, ingest_trajectories


def test_plan__tells_what_it_takes_and_writes_nothing(tmp_path, twopass, example_xtc, example_top):
    (tmp_path / "work").mkdir()
    arguments = ("ingest", "s.zarr", example_xtc, "--top", example_top, "--burn-in", "100 ps")
    result = twopass(*arguments, "--plan", "--memory", "2GiB", cwd=tmp_path / "work")
    facts = dict(re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in result.stdout.splitlines()[:7])
    assert facts["Frames"] == "2,000 of 4,000"
    assert facts["Atoms"] == "22"
    assert facts["Files"].startswith("1 file, ")
    assert "int16, exact" in facts["Storage"]
    assert re.fullmatch(r"at most \d+ MiB with 1 worker, and may use 2 GiB", facts["Memory"])
    assert re.fullmatch(r"about [\d.]+ s with 1 worker", facts["Time"])
    assert "Nothing was written" in result.stdout
    assert list((tmp_path / "work").iterdir()) == []
    result = twopass(*arguments, "--plan", "--memory", "200MiB")
    assert "MORE than the 200 MiB that it may use (--memory)" in result.stdout


def test_disk__is_about_what_the_store_takes(tmp_path, example_xtc, example_top):
    options = {"top": example_top, "workers": 1}
    told = estimate_ingest(example_xtc, **options)
    ingest_trajectories(tmp_path / "s.zarr", example_xtc, **options)
    files = (tmp_path / "s.zarr" / "position").rglob("*")
    taken = sum(file.stat().st_size for file in files if file.is_file())
    assert 0.7 * taken < told.disk_bytes < 2 * taken
    assert (told.n_frames, told.n_atoms, told.n_trajectories, told.n_runs) == (4000, 22, 1, 0)
    assert told.source_bytes == example_xtc.stat().st_size


def test_plan__refuses_what_the_ingest_would(tmp_path, twopass):
    make_trajectory(4).save_xtc(tmp_path / "run.xtc")
    result = twopass("ingest", "s.zarr", "run.xtc", "--plan", code=2)
    assert "has no topology of its own" in result.stderr


def test_plan_of_an_append__counts_what_is_added(tmp_path, twopass):
    trajectory = make_trajectory(40)
    trajectory[:30].save_xtc(tmp_path / "a.xtc")
    trajectory[30:].save_xtc(tmp_path / "b.xtc")
    trajectory[0].save_pdb(tmp_path / "top.pdb")
    twopass("ingest", "s.zarr", "a.xtc", "--top", "top.pdb")
    before = sorted(tmp_path.rglob("*"))
    result = twopass("ingest", "s.zarr", "b.xtc", "--append", "--plan")
    assert "10 of 10" in result.stdout
    assert "1 file, " in result.stdout
    assert "10 frames are added to 30" in result.stderr
    result = twopass("ingest", "s.zarr", "a.xtc", "--append", "--plan", code=2)
    assert "nothing to append" in result.stderr
    assert sorted(tmp_path.rglob("*")) == before
