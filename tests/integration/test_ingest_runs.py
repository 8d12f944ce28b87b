"""Runs and times through the command: restarts, burn-in, lists with replicas and temperatures."""

import re

import mdtraj as md
import numpy as np
import pytest

from twopass_store import cluster_subset, ingest_trajectories, open_results
from twopass_store.errors import ConfigError, TrajectoryError
from twopass_store.store import Store


@pytest.fixture
def frames(example_xtc, example_top):
    """200 frames, 10 ps apart."""
    loaded = md.load(example_xtc, top=example_top)[:200]
    loaded.time = np.arange(200) * 10.0
    return loaded


def save(frames, path, start, stop):
    path.parent.mkdir(exist_ok=True)
    frames[start:stop].save(str(path))


@pytest.fixture
def restarts(frames, tmp_path):
    """Two runs in parts; the parts of the first overlap, and are named against the order of their times."""
    save(frames, tmp_path / "rep1" / "md.xtc", 0, 60)
    save(frames, tmp_path / "rep1" / "md.part0003.trr", 80, 120)
    save(frames, tmp_path / "rep1" / "md.part0002.nc", 50, 90)
    save(frames, tmp_path / "rep2" / "md.xtc", 100, 200)
    return tmp_path


PATTERN = r"(?P<run>rep\d+)/"


def test_restarts__become_one_run_without_repeats(restarts, twopass, frames, example_top):
    result = twopass(
        "ingest", "s.zarr", "rep*/*", "--top", example_top, "--run-pattern", PATTERN, "--burn-in", "0.2 ns"
    )
    assert "2 runs of 4 files" in result.stderr
    assert "20 frames of rep1/md.xtc, rep1/md.part0002.nc at times that a later part" in result.stderr
    cluster_subset(restarts / "s.zarr", n_clusters=2, workers=1)
    found = open_results(restarts / "s.zarr")
    expected = np.r_[20:120, 120:200]
    np.testing.assert_allclose(found.time, expected * 10.0)
    np.testing.assert_allclose(found.position, frames.xyz[expected], atol=1e-6)
    assert found.run.values.tolist() == [0] * 100 + [1] * 80
    assert found.run_label.values.tolist() == ["rep1", "rep2"]
    assert found.run.dtype == np.int32
    assert "run" not in found.sizes
    names = [path.rpartition("/")[2] for path in found.trajectory_path.values]
    assert names == ["md.xtc", "md.part0002.nc", "md.part0003.trr", "md.xtc"]
    assert found.trajectory.values.tolist() == [0] * 30 + [1] * 30 + [2] * 40 + [3] * 80
    assert found.source_frame.values.tolist() == [*range(20, 50), *range(30), *range(40), *range(20, 100)]
    assert found.time.attrs["time_source"] == "file"
    assert "run_replica" not in found


def test_overlap_error__names_both_files_and_the_time(restarts, twopass, example_top):
    result = twopass(
        *("ingest", "s.zarr", "rep*/*", "--top", example_top, "--run-pattern", PATTERN, "--overlap", "error"),
        code=3,
    )
    assert "10 frames of" in result.stderr and "rep1/md.xtc" in result.stderr
    assert "rep1/md.part0002.nc covers again, from 500 ps" in result.stderr
    assert not (restarts / "s.zarr").exists()


def test_times__choose_frames_of_each_file_where_there_are_no_runs(restarts, twopass, example_top):
    options = ["--begin", "0.1ns", "--end", "1.5 ns", "--every", "50 ps"]
    twopass("ingest", "s.zarr", "rep1/md.xtc", "rep2/md.xtc", "--top", example_top, *options)
    store = Store.open(restarts / "s.zarr")
    expected = np.r_[100:600:50, 1000:1501:50]
    np.testing.assert_array_equal(store.read("time"), expected)
    assert not store.has("run")
    again = twopass("ingest", "s.zarr", "rep1/md.xtc", "rep2/md.xtc", "--top", example_top, *options)
    assert "nothing was changed" in again.stdout
    other = ["--begin", "0.1ns", "--end", "1.5 ns", "--every", "100 ps"]
    result = twopass("ingest", "s.zarr", "rep1/md.xtc", "rep2/md.xtc", "--top", example_top, *other, code=7)
    assert "times" in result.stderr


def test_list__has_runs_with_replicas_and_temperatures(restarts, twopass, example_top):
    (restarts / "list.csv").write_text(
        "path,run,replica,temperature\n"
        "rep1/md.xtc,cold,1,300\nrep2/md.xtc,hot,1,350\nrep1/md.part0002.nc,cold,1,300\n"
    )
    twopass("ingest", "s.zarr", "--from-list", "list.csv", "--top", example_top)
    store = Store.open(restarts / "s.zarr")
    assert store.read("run_label").tolist() == ["cold", "hot"]
    assert store.read("run_replica").tolist() == ["1", "1"]
    assert store.read("run_temperature").tolist() == [300, 350]
    assert store.attrs("run_temperature")["units"] == "K"
    np.testing.assert_array_equal(store.read("run"), [0] * 90 + [1] * 100)
    np.testing.assert_array_equal(store.read("time"), np.r_[0:900:10, 1000:2000:10])
    (restarts / "list.csv").write_text("path,run,temperature\nrep1/md.xtc,a,300\nrep2/md.xtc,a,310\n")
    result = twopass("ingest", "t.zarr", "--from-list", "list.csv", "--top", example_top, code=2)
    assert "'a' has the temperature 300.0 for md.xtc and 310.0" in result.stderr


def test_files_that_nothing_groups__are_runs_of_their_own(restarts, twopass, example_top):
    (restarts / "list.csv").write_text("rep1/md.xtc,,wild type\nrep2/md.xtc\n")
    twopass("ingest", "s.zarr", "--from-list", "list.csv", "--top", example_top)
    assert Store.open(restarts / "s.zarr").read("run_label").tolist() == ["wild type", "md.xtc"]
    assert Store.open(restarts / "s.zarr").read("trajectory_label").tolist() == ["wild type", ""]
    (restarts / "list.csv").write_text("rep1/md.xtc,,wild-type\nrep2/md.xtc\n")
    result = twopass("ingest", "s.zarr", "--from-list", "list.csv", "--top", example_top, code=7)
    assert "stored ['wild type', ''], requested ['wild-type', '']" in result.stderr


@pytest.mark.parametrize(
    ("files", "labels"),
    [
        (["rep9/set/rep1/a.xtc", "rep9/set/rep2/a.xtc"], ["rep1", "rep2"]),
        (["rep9/set/a.xtc", "rep9/set/b.xtc"], ["rep9"]),
        (["rep1/a.xtc", "b.xtc"], None),
    ],
)
def test_pattern__is_looked_for_below_the_folder_that_all_share(frames, tmp_path, example_top, files, labels):
    for number, file in enumerate(files):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        frames[20 * number : 20 * number + 20].save_xtc(str(tmp_path / file))
    options = {"top": example_top, "run_pattern": r"(rep\d)"}
    paths = [tmp_path / file for file in files]
    if labels is None:
        with pytest.raises(ConfigError, match=r"finds no run in .*b\.xtc"):
            ingest_trajectories(tmp_path / "s.zarr", paths, **options)
        return
    ingest_trajectories(tmp_path / "s.zarr", paths, **options)
    assert Store.open(tmp_path / "s.zarr").read("run_label").tolist() == labels


def test_list_that_goes_on__is_appended(restarts, twopass, example_top):
    (restarts / "list.csv").write_text("path,run,label\nrep1/md.xtc,cold,a\n")
    twopass("ingest", "s.zarr", "--from-list", "list.csv", "--top", example_top)
    (restarts / "list.csv").write_text("path,run,label\nrep1/md.xtc,cold,a\nrep2/md.xtc,hot,b\n")
    twopass("ingest", "s.zarr", "--from-list", "list.csv", "--top", example_top, "--append")
    store = Store.open(restarts / "s.zarr")
    assert store.read("trajectory_label").tolist() == ["a", "b"]
    assert store.read("run_label").tolist() == ["cold", "hot"]
    np.testing.assert_array_equal(store.read("run"), [0] * 60 + [1] * 100)
    # The same as all at once.
    result = twopass("ingest", "s.zarr", "--from-list", "list.csv", "--top", example_top)
    assert "nothing was changed" in result.stdout


def test_dt__gives_times_to_formats_that_have_none(frames, tmp_path, twopass, example_top):
    save(frames, tmp_path / "r1" / "a.dcd", 0, 30)
    save(frames, tmp_path / "r1" / "b.dcd", 30, 50)
    arguments = ("ingest", "s.zarr", "r1/*.dcd", "--top", example_top, "--run-pattern", "(r1)")
    result = twopass(*arguments, "--every", "50 ps", code=2)
    assert "--every needs times, and a.dcd has none" in result.stderr
    twopass(*arguments, "--every", "50 ps", "--dt", "10 ps")
    store = Store.open(tmp_path / "s.zarr")
    np.testing.assert_array_equal(store.read("time"), np.arange(0, 500, 50))
    assert store.attrs("time")["time_source"] == "user"
    assert store.attrs("time")["units"] == "ps"
    assert store.read("source_frame").tolist() == [0, 5, 10, 15, 20, 25, 0, 5, 10, 15]


@pytest.mark.parametrize(
    ("options", "n_kept", "words"),
    [
        ([], 60, "come again in the same file: both are kept (--overlap later keeps the later ones)"),
        (["--overlap", "later"], 40, "the later ones are kept"),
        (["--overlap", "keep", "--begin", "0"], 60, "both are kept"),
        (["--every", "20 ps"], 20, "the later ones are kept"),
        (["--run-pattern", "(md)"], 40, "1 run of 1 file"),
    ],
)
def test_time_that_goes_back_within_a_file__is_told_and_handled(
    frames, tmp_path, twopass, example_top, options, n_kept, words
):
    """As `cat` joins the parts of a run."""
    (tmp_path / "joined").mkdir()
    md.join([frames[:30], frames[10:40]]).save_xtc(str(tmp_path / "joined" / "md.xtc"))
    result = twopass("ingest", "s.zarr", "joined/md.xtc", "--top", example_top, *options)
    assert "time goes back within joined/md.xtc at frame 30, from 290 ps to 100 ps\n" in result.stderr
    assert words in result.stderr
    time = Store.open(tmp_path / "s.zarr").read("time")
    expected = [*range(0, 300, 10), *range(100, 400, 10)] if n_kept == 60 else range(0, 400, 400 // n_kept)
    np.testing.assert_array_equal(time, expected)


def test_time_that_goes_back_or_runs_backwards__is_refused_where_it_must_not(
    frames, tmp_path, twopass, example_top
):
    md.join([frames[:30], frames[10:40]]).save_trr(str(tmp_path / "a.trr"))
    result = twopass("ingest", "s.zarr", "a.trr", "--top", example_top, "--overlap", "error", code=3)
    assert re.search("20 frames of .*/a.trr come at times that .*/a.trr from frame 30 on", result.stderr)
    frames[::-1].save_xtc(str(tmp_path / "b.xtc"))
    result = twopass("ingest", "s.zarr", "b.xtc", "--top", example_top, "--every", "50 ps", code=3)
    assert "time runs backwards, from 1.99 ns to 0 ps, so --every can't" in result.stderr
    assert "time runs backwards in" in twopass("ingest", "s.zarr", "b.xtc", "--top", example_top).stderr


def test_file_that_grew_by_frames_from_an_earlier_time__is_appended_where_both_are_kept(
    frames, tmp_path, twopass, example_top
):
    arguments = ("ingest", "s.zarr", "a.xtc", "--top", example_top)
    frames[:30].save_xtc(str(tmp_path / "a.xtc"))
    twopass(*arguments, "--begin", "50 ps")
    md.join([frames[:30], frames[20:40]]).save_xtc(str(tmp_path / "a.xtc"))
    result = twopass(*arguments, "--append", code=7)
    assert "other frames would be kept than those in the store" in result.stderr
    assert "--overlap keep" in result.stderr
    result = twopass(*arguments, "--append", "--overlap", "keep")
    assert "time goes back" in result.stderr
    time = Store.open(tmp_path / "s.zarr").read("time")
    np.testing.assert_array_equal(time, [*range(50, 300, 10), *range(200, 400, 10)])


def test_lammps__is_in_order_of_its_steps(frames, tmp_path, twopass, example_top):
    """6 frames and 7 more, of which the first 3 come again: TIMESTEPs are all that says so."""
    frames.unitcell_lengths, frames.unitcell_angles = np.full((200, 3), 3.0), np.full((200, 3), 90.0)
    for name, start, stop in (("a", 3, 10), ("b", 0, 6)):
        path = tmp_path / f"{name}.lammpstrj"
        frames[start:stop].save_lammpstrj(str(path))
        title, *rest = re.split(r"(?<=TIMESTEP\n)\d+", path.read_text())
        numbered = (f"{1000 * frame}{text}" for frame, text in zip(range(start, stop), rest, strict=True))
        path.write_text(title + "".join(numbered))
    files = ("a.lammpstrj", "b.lammpstrj", "--top", example_top)
    result = twopass("ingest", "r.zarr", *reversed(files[:2]), *files[2:])
    assert re.search(r"a.lammpstrj begins at step 3000, within .*/b.lammpstrj", result.stderr)
    result = twopass("ingest", "s.zarr", *files, "--run-pattern", "(lammps)")
    assert "3 frames of" in result.stderr and "b.lammpstrj at times that a later part" in result.stderr
    assert Store.open(tmp_path / "s.zarr").read("source_frame").tolist() == [0, 1, 2, *range(7)]
    assert Store.open(tmp_path / "s.zarr").attrs("time")["time_source"] == "index"
    twopass("ingest", "t.zarr", *files, "--run-pattern", "(lammps)", "--dt", "2 fs", "--every", "4 ps")
    np.testing.assert_array_equal(Store.open(tmp_path / "t.zarr").read("time"), range(0, 20, 4))
    result = twopass("ingest", "u.zarr", *files, "--every", "4 ps", code=2)
    assert '--dt "2 fs", between its steps' in result.stderr


def test_dt__changes_nothing_where_files_have_times(tmp_path, twopass, example_xtc, example_top):
    arguments = ("ingest", "s.zarr", example_xtc, "--top", example_top, "--stride", 1000)
    twopass(*arguments)
    result = twopass(*arguments, "--dt", "10 ps")
    assert "--dt isn't used: all files have times" in result.stderr
    assert "nothing was changed" in result.stdout


def test_runs_without_times__are_taken_in_the_order_given(frames, tmp_path, twopass, example_top):
    save(frames, tmp_path / "r1" / "a.dcd", 0, 5)
    save(frames, tmp_path / "r1" / "b.dcd", 5, 12)
    result = twopass(
        "ingest", "s.zarr", "r1/*.dcd", "--top", example_top, "--run-pattern", "(r1)", "--stride", "3"
    )
    assert "no times in r1/a.dcd, r1/b.dcd" in result.stderr
    store = Store.open(tmp_path / "s.zarr")
    assert store.read("source_frame").tolist() == [0, 3, 1, 4]
    assert store.attrs("time")["time_source"] == "index"


def test_mixed_spacings__are_warned_about(frames, tmp_path, twopass, example_top):
    save(frames, tmp_path / "r1.xtc", 0, 30)
    frames[::2].save_xtc(str(tmp_path / "r2.xtc"))
    arguments = ("r1.xtc", "r2.xtc", "--top", example_top, "--run-pattern", r"(r\d)\.")
    result = twopass("ingest", "s.zarr", *arguments)
    assert (
        "frames of r1 are 10 ps apart, those of r2 20 ps: runs with closer frames weigh more" in result.stderr
    )
    result = twopass("ingest", "t.zarr", *arguments, "--every", "20 ps")
    assert "weigh more" not in result.stderr
    result = twopass("ingest", "v.zarr", *arguments[:4])
    assert "r1.xtc are 10 ps apart, those of" in result.stderr
    assert "r2.xtc 20 ps: files with closer frames weigh more" in result.stderr
    result = twopass("ingest", "u.zarr", *arguments, "--every", "30 ps")
    assert "the frames of r2 are 20 ps apart, of which 30 ps is no multiple" in result.stderr


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"burn_in": "1 us"}, ConfigError, "No frame is left"),
        ({"run_pattern": "xyz"}, ConfigError, "'xyz' finds no run in .*a.xtc"),
        ({"overlap": "former"}, ConfigError, "overlap"),
        ({"every": "-1 ps"}, ConfigError, "every"),
    ],
)
def test_what_cannot_be_done__is_said_in_one_line(frames, tmp_path, example_top, options, error, words):
    frames.save_xtc(str(tmp_path / "a.xtc"))
    with pytest.raises(error, match=words) as caught:
        ingest_trajectories(tmp_path / "s.zarr", tmp_path / "a.xtc", top=example_top, **options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "s.zarr").exists()


def test_times_that_are_not_finite__are_refused_where_they_matter(frames, tmp_path, example_top):
    frames.time[7] = np.nan
    frames.save_xtc(str(tmp_path / "a.xtc"))
    with pytest.raises(TrajectoryError, match=r"a\.xtc: the time of frame 7"):
        ingest_trajectories(tmp_path / "s.zarr", tmp_path / "a.xtc", top=example_top, begin=10)
