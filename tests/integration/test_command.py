"""The command as a user meets it: a whole run, run again, mistakes, status."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys

import mdtraj as md
import numpy as np
import pytest

from conftest import EXAMPLE, command
from twopass_store import open_results
from twopass_store.journal import Lock, hold

DEMO = """
store = "demo.zarr"
[ingest]
trajectories = ["example:alanine-dipeptide.xtc"]
top = "example:alanine-dipeptide.pdb"
[cluster]
select = "element != H"
stride = 8
n_clusters = 4
"""


@pytest.fixture
def demo(tmp_path):
    (tmp_path / "demo.toml").write_text(DEMO)
    return tmp_path


def files_of(folder):
    return {
        str(file.relative_to(folder)): (file.stat().st_mtime_ns, file.stat().st_ino)
        for file in folder.rglob("*")
    }


def test_run__ends_with_a_table_that_is_true(demo, twopass):
    result = twopass("run", "demo.toml")
    with open_results(demo / "demo.zarr") as results:
        labels, rmsd = results.label.values, results.rmsd_to_leader.values
        subset_labels = results.subset_label.values
        recovered = np.mean(labels[results.subset_frame.values] == subset_labels)
        n_leaders, faithful = results.sizes["leader"], results.faithfulness.values
        medoids, times = results.medoid_frame.values, results.time.values
    lines = result.stdout.splitlines()
    facts = "\n".join(lines)
    for word in ("twopass-store", "mdtraj", "numpy", "scipy", "199.95 ps (times from the files)"):
        assert word in facts
    assert "1 file, 4,000 frames, 22 atoms" in facts
    assert "10 of 22 atoms" in facts
    assert "500 subset frames (stride 8), average linkage, 4 clusters asked for, 4 found" in facts
    assert (
        f"{n_leaders} leaders (faithful), {recovered:.1%} of the subset frames got their first-pass label"
        in facts
    )

    rows = [re.split(r"  +", line.strip()) for line in lines if re.match(r" *\d+  ", line)]
    counts = np.bincount(labels, minlength=5)
    assert len(rows) == 4
    for label, row in enumerate(rows, start=1):
        shown, frames, share, kept, mean, file, frame, when = row
        assert int(shown) == label
        assert int(frames.replace(",", "")) == counts[label]
        assert share == f"{counts[label] / 4000:.1%}"
        assert kept == f"{faithful[label - 1]:.1%}"
        assert float(mean) == pytest.approx(rmsd[labels == label].mean(), abs=6e-5)
        assert file == "alanine-dipeptide.xtc"
        assert int(frame) == medoids[label - 1]
        assert float(when) == pytest.approx(times[medoids[label - 1]], rel=1e-6)

    # The medoids, superposed, in the order of the table.
    models = md.load(demo / "demo.default.medoids.pdb")
    original = md.load(os.fspath(md_example()), top=os.fspath(md_example(".pdb")))
    heavy = original.topology.select("element != H")
    chosen = original[[int(row[6]) for row in rows]]
    distances = md.rmsd(models, chosen[:1], 0, atom_indices=heavy)
    np.testing.assert_allclose(distances, md.rmsd(chosen, chosen, 0, atom_indices=heavy), atol=2e-4)
    moved = models.xyz[:, heavy] - models.xyz[:1, heavy]
    fitted = np.sqrt((moved**2).sum(axis=-1).mean(axis=-1))
    np.testing.assert_allclose(fitted, distances, atol=2e-4)


def md_example(suffix=".xtc"):
    return EXAMPLE / f"alanine-dipeptide{suffix}"


def test_run_again__says_so_and_changes_nothing(demo, twopass):
    twopass("run", "demo.toml")
    before = files_of(demo)
    result = twopass("run", "demo.toml")
    assert "All was done already; nothing was changed." in result.stdout
    assert "cluster  frames" not in result.stdout
    command = re.search(r"The table: twopass (.+)", result.stdout)[1]
    assert "cluster  frames" in twopass(*shlex.split(command)).stdout
    assert files_of(demo) == before
    assert result.stderr == ""
    # The medoids are a product as well.
    (demo / "demo.default.medoids.pdb").unlink()
    twopass("run", "demo.toml")
    assert (demo / "demo.default.medoids.pdb").exists()


def test_stages_one_by_one__leave_the_same_bytes_as_a_run(demo, twopass):
    twopass("run", "demo.toml", "--store", "a.zarr")
    example = ["example:alanine-dipeptide.xtc", "--top", "example:alanine-dipeptide.pdb"]
    twopass("ingest", "b.zarr", *example)
    twopass("cluster", "b.zarr", "--select", "element != H", "--stride", 8, "--n-clusters", 4)
    twopass("assign", "b.zarr", "--workers", 1)
    for file in (demo / "a.zarr").rglob("c.*"):
        other = demo / "b.zarr" / file.relative_to(demo / "a.zarr")
        assert file.read_bytes() == other.read_bytes(), file


def test_medoids__never_take_the_place_of_a_folder(demo, twopass):
    folder = demo / "demo.default.medoids.pdb"
    folder.mkdir()
    (folder / "mine").touch()
    refused = twopass("run", "demo.toml", "-q", code=2)
    assert "a folder stands there" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert (folder / "mine").exists()


def test_link_to_a_store__is_the_store(demo, twopass):
    (demo / "scratch").mkdir()
    (demo / "link.zarr").symlink_to(demo / "scratch" / "real.zarr")
    twopass("run", "demo.toml", "--store", "link.zarr")
    assert (demo / "link.zarr").is_symlink()
    assert sorted(file.name for file in (demo / "scratch").iterdir()) == [
        "real.default.medoids.pdb",
        "real.zarr",
    ]
    twopass("run", "demo.toml", "--store", "link.zarr", "--set", "ingest.stride=2", "--restart")
    assert (demo / "link.zarr").is_symlink()
    with hold(demo / "scratch" / "real.zarr.lock", [Lock("ingest")]):
        twopass("ingest", "link.zarr", "example:alanine-dipeptide.pdb", "--restart", code=6)


def test_set__changes_one_key_and_the_store_refuses_it(demo, twopass):
    twopass("run", "demo.toml", "--quiet")
    refused = twopass("run", "demo.toml", "--set", "cluster.n_clusters=6", code=7)
    assert "stored 4, requested 6" in refused.stderr
    assert "--restart" in refused.stderr
    twopass("run", "demo.toml", "--set", "cluster.n_clusters=6", "--restart")
    assert open_results(demo / "demo.zarr").attrs["n_clusters_found"] == 6


def test_status__follows_the_run(demo, twopass):
    example = ["example:alanine-dipeptide.xtc", "--top", "example:alanine-dipeptide.pdb"]
    commands = [
        (["ingest", "demo.zarr", *example], "twopass cluster demo.zarr"),
        (["cluster", "demo.zarr", "--stride", 8, "--n-clusters", 3], "twopass assign demo.zarr"),
        (["assign", "demo.zarr"], "twopass summary demo.zarr"),
    ]
    for arguments, next_command in commands:
        twopass(*arguments)
        shown = twopass("status", "demo.zarr")
        assert next_command in shown.stdout
        found = json.loads(twopass("status", "demo.zarr", "--json").stdout)
        assert next_command in found["next_command"]
        assert all(stage["complete"] for stage in found["stages"])
    assert found["n_frames"] == 4000
    assert found["clusterings"]["default"]["n_clusters_found"] == 3
    on_disk = sum(file.stat().st_size for file in (demo / "demo.zarr").rglob("*") if file.is_file())
    assert found["size_bytes"] == on_disk


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["ingest", "s.zarr", "nowhere.xtc"], 3, "There is no file"),
        (["ingest", "s.zarr", "*.dcd"], 3, "matches no file"),
        (["ingest", "s.zarr", "example:alanine-dipeptide.xtc"], 2, "--top"),
        (["ingest", "s.zarr", "empty.xtc", "--top", "example:alanine-dipeptide.pdb"], 3, "empty"),
        (["ingest", "s.zarr", "notes.txt", "--top", "example:alanine-dipeptide.pdb"], 3, "Cannot tell"),
        (["ingest", "folder", "example:alanine-dipeptide.pdb"], 4, "is no twopass store"),
        (["ingest", "no/such/s.zarr", "example:alanine-dipeptide.pdb"], 10, "no/such"),
        (["cluster", "nowhere.zarr", "--n-clusters", "3"], 11, "There is no store"),
        (["cluster", "folder", "--n-clusters", "3"], 11, "no twopass store"),
        (["assign", "nowhere.zarr"], 11, "There is no store"),
        (["status", "nowhere.zarr"], 11, "There is no store"),
        (["run", "nowhere.toml"], 2, "no config file"),
        (["cluster", "s.zarr", "--leader-frames", "1,two"], 2, "--leader-frames"),
        (["cluster", "s.zarr", "--linkage", "wards"], 2, "'ward'"),
        (["cluster", "s.zarr", "--n-clusters", "0"], 2, "--n-clusters = '0': must be at least 1"),
        (["cluster", "s.zarr", "--cutoff", "far"], 2, "is no length"),
        (["cluster", "s.zarr", "--linkage", "ward", "--cutoff", "2A"], 2, "isn't an RMSD"),
        (["cluster", "s.zarr", "--name", "../x"], 2, "can't be the name"),
    ],
)
def test_mistakes__get_one_line_and_an_exit_code_of_their_kind(tmp_path, twopass, arguments, code, words):
    (tmp_path / "empty.xtc").touch()
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.tex").touch()
    before = sorted(tmp_path.rglob("*"))
    result = twopass(*arguments, code=code)
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert words in errors[0]
    assert result.stderr.endswith(errors[0] + "\n")
    assert sorted(tmp_path.rglob("*")) == before


def test_traceback__comes_only_with_debug(tmp_path):
    result = subprocess.run(
        [command(), "status", "nowhere.zarr", "--debug"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert result.returncode == 11
    assert "Traceback" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("Error: ")


def test_no_permission__is_one_clear_line_and_loses_nothing(demo, twopass, started_twopass, unprivileged):
    (demo / "closed").mkdir(mode=0o500)
    refused = started_twopass("run", "demo.toml", "--store", "closed/demo.zarr", code=10, prefix=unprivileged)
    assert "Permission denied" in refused.stderr.splitlines()[-1]
    shutil.copy(md_example(".pdb"), demo / "secret.pdb")
    (demo / "secret.pdb").chmod(0o000)
    refused = started_twopass("ingest", "s.zarr", "secret.pdb", code=3, prefix=unprivileged)
    assert "permission denied" in refused.stderr.splitlines()[-1]

    twopass("run", "demo.toml")
    before = files_of(demo / "demo.zarr")
    (demo / "demo.zarr" / "clusterings").chmod(0o500)
    other = ["cluster", "demo.zarr", "--name", "other", "--stride", 8, "--n-clusters", 3]
    assert "Cannot write" in started_twopass(*other, code=10, prefix=unprivileged).stderr.splitlines()[-1]
    assert before.keys() <= files_of(demo / "demo.zarr").keys()
    (demo / "demo.zarr" / "clusterings").chmod(0o700)
    twopass(*other)


def test_help__is_there_for_every_command_with_an_example(twopass):
    for name in ("run", "ingest", "cluster", "assign", "status"):
        shown = twopass(name, "--help", env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}).stdout
        assert f"Example: twopass {name}" in shown
    assert "twopass" in twopass("--version").stdout


def test_heavy_libraries__are_not_imported_for_help():
    heavy = ("zarr", "mdtraj", "numba", "numpy", "pydantic")
    program = f"import sys, twopass_cli.main; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == "[]"


def test_tables__are_printed_without_what_takes_long_to_import(demo, twopass):
    twopass("run", "demo.toml")
    program = "import sys; from twopass_cli.main import app; app(standalone_mode=False)"
    heavy = {"dask", "matplotlib", "pandas", "scipy.cluster", "xarray"}
    done = subprocess.run(
        [sys.executable, "-c", f"{program}; print({heavy} & set(sys.modules))", "assign", "demo.zarr"],
        cwd=demo,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.endswith("\nset()\n"), done


def test_narrow_terminal__breaks_lines_between_words(tmp_path, twopass, on_a_terminal):
    name = "a_name_of_a_trajectory_that_is_longer_than_there_is_room_for.xtc"
    shutil.copy(EXAMPLE / "alanine-dipeptide.xtc", tmp_path / name)
    options = ("--top", "example:alanine-dipeptide.pdb", "--stride", 20)
    twopass("ingest", "s.zarr", name, *options)
    twopass("cluster", "s.zarr", "--n-clusters", 3)
    twopass("assign", "s.zarr")
    for arguments in (("scan", "s.zarr", "--n-clusters", "2:4"), ("summary", "s.zarr"), ("status", "s.zarr")):
        piped = twopass(*arguments).stdout
        assert all(line == line.rstrip() for line in piped.splitlines())
        shown = on_a_terminal(*arguments)
        assert max(map(len, shown.splitlines())) <= 80
        known = {*piped.split(), *twopass(*arguments).stderr.split()}
        # Shortened names, and a path longer than a line, aside.
        words = (one for one in shown.split() if "…" not in one and one not in f"{tmp_path}/s.zarr,")
        broken = {word for word in words if word[0].isalpha()} - known
        assert not broken
    assert "a_name_of_a" in on_a_terminal("summary", "s.zarr")
    assert twopass("summary", "s.zarr").stdout.splitlines()[-1].startswith("Versions")
    told = on_a_terminal("summary", "s.zarr", "--name", "nope").splitlines()
    assert any(line.startswith("`twopass cluster") for line in told)
