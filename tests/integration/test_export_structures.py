"""Structures that stand for clusters: which, where they lie, what is said of them, scripts that load them."""

import re
import subprocess
import sys
from pathlib import Path

import mdtraj as md
import numpy as np
import pandas as pd
import pytest

from conftest import EXAMPLE
from twopass_store import assign_frames, cluster_subset, export_structures, ingest_trajectories, open_results
from twopass_store.errors import StageIncompleteError

TOP = EXAMPLE / "alanine-dipeptide.pdb"


@pytest.fixture(scope="module")
def original() -> md.Trajectory:
    return md.load(EXAMPLE / "alanine-dipeptide.xtc", top=TOP)


@pytest.fixture(scope="module")
def store(original, tmp_path_factory) -> Path:
    """A finished clustering of two runs of the same file name, and one that was not assigned."""
    folder = tmp_path_factory.mktemp("dipeptide")
    for run, frames in (("a", slice(0, 1500)), ("b", slice(1500, 4000))):
        (folder / run).mkdir()
        original[frames].save_xtc(str(folder / run / "md.xtc"))
    ingest_trajectories(folder / "s.zarr", str(folder / "*" / "md.xtc"), top=TOP)
    cluster_subset(folder / "s.zarr", select="element != H", stride=8, n_clusters=3)
    assign_frames(folder / "s.zarr")
    cluster_subset(folder / "s.zarr", name="first", select="element != H", stride=8, n_clusters=3)
    return folder / "s.zarr"


def models_of(file: Path) -> list[dict[str, str]]:
    """The remarks of each model, by their first words."""
    text = file.read_text()
    models = re.findall(r"^MODEL.*?^ENDMDL", text, re.MULTILINE | re.DOTALL) or [text]
    return [dict(re.findall(r"^REMARK   6 (\w+) (.*)$", model, re.MULTILINE)) for model in models]


@pytest.mark.parametrize(
    "options",
    [
        ["medoids"],
        ["leaders"],
        ["structures", "--representatives", 4],
        ["structures", "--by", "run"],
        ["structures", "--by", "run", "--representatives", 2],
        ["structures", "--name", "first"],
    ],
    ids=lambda options: "-".join(map(str, options)),
)
def test_structures__are_superposed_frames_and_say_which(options, store, original, tmp_path, twopass):
    twopass(
        "export", store, *options, "--to", "s.pdb", *([] if "--name" in options else ["--name", "default"])
    )
    remarks, found = models_of(tmp_path / "s.pdb"), md.load(tmp_path / "s.pdb")
    with open_results(store, "first" if "first" in options else "default") as results:
        label = results.label.values if "label" in results else None
        subset, of_subset = results.subset_frame.values, results.subset_label.values
        medoids, leaders = results.medoid_frame.values, results.leader_frame.values
    starts = {"a": 0, "b": 1500}
    chosen = np.array([starts[each["FILE"][0]] + int(each["FRAME"]) for each in remarks])
    clusters = np.array([int(each["CLUSTER"]) for each in remarks])
    assert (np.diff(clusters) >= 0).all()
    for frame, each in zip(chosen, remarks, strict=True):
        assert each["FILE"] == f"{'a' if frame < 1500 else 'b'}/md.xtc"
        assert float(each["TIME"].removesuffix(" ps")) == pytest.approx(original.time[frame], abs=1e-3)
        run = (
            slice(starts[each["RUN"][0]], 1500 if each["RUN"][0] == "a" else None)
            if "RUN" in each
            else slice(None)
        )
        counted = of_subset if label is None else label[run]
        share, of_what = each["SHARE"].split(" of ", 1)
        assert float(share) == pytest.approx((counted == int(each["CLUSTER"])).mean(), abs=6e-5)
        assert ("first pass" in of_what, "run" in of_what) == (label is None, "RUN" in each)
        assert each.get("RUN", each["FILE"]) == each["FILE"]

    heavy = original.topology.select("element != H")
    if "leaders" in options:
        np.testing.assert_array_equal(chosen, leaders)
    elif "--by" not in options and "--representatives" not in options:
        np.testing.assert_array_equal(chosen, medoids)
    else:
        groups = [
            (of_subset == c) & (not_run | (subset < 1500) == in_a)
            for c in (1, 2, 3)
            for not_run, in_a in ([(False, True), (False, False)] if "--by" in options else [(True, True)])
        ]
        expected = []
        for members in (subset[group] for group in groups if group.any()):
            square = np.array(
                [md.rmsd(original[members], original, frame, atom_indices=heavy) for frame in members]
            )
            # mdtraj gives identical frames up to 3e-3 nm instead of 0.
            np.fill_diagonal(square, 0)
            taken = [int(square.sum(axis=1).argmin())]
            while "--representatives" in options and len(taken) < min(options[-1], len(members)):
                taken.append(int(square[taken].min(axis=0).argmax()))
            expected += members[taken].tolist()
        assert chosen.tolist() == expected

    first = original[chosen]
    distances = md.rmsd(first, first, 0, atom_indices=heavy)
    lie = np.sqrt(((found.xyz - found.xyz[:1])[:, heavy] ** 2).sum(axis=2).mean(axis=1))
    np.testing.assert_allclose(lie[1:], distances[1:], atol=2e-4)
    np.testing.assert_allclose(md.rmsd(found, first, 0), md.rmsd(first, first, 0), atol=2e-4)


def test_averages__are_of_all_frames_superposed_on_the_medoid(store, original, tmp_path, twopass):
    twopass(
        "export", store, "structures", "--of", "averages", "--by", "run", "--name", "default", "--to", "a.pdb"
    )
    twopass("export", store, "structures", "--by", "run", "--name", "default", "--to", "m.pdb")
    averages, medoids = md.load(tmp_path / "a.pdb"), md.load(tmp_path / "m.pdb")
    heavy = original.topology.select("element != H")
    with open_results(store, "default") as results:
        label = results.label.values
    for place, each in enumerate(models_of(tmp_path / "a.pdb")):
        in_run = np.arange(4000) < 1500 if each["RUN"].startswith("a") else np.arange(4000) >= 1500
        frames = original[np.flatnonzero((label == int(each["CLUSTER"])) & in_run)]
        assert each["AVERAGE"].startswith(f"of {len(frames)} frames")
        frames.superpose(medoids[place], atom_indices=heavy)
        np.testing.assert_allclose(averages.xyz[place], frames.xyz.mean(axis=0), atol=2e-4)
    with pytest.raises(StageIncompleteError, match="twopass assign"):
        export_structures(store, tmp_path / "b.pdb", of="averages", name="first")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--representatives", 3, "--of", "leaders"], "--representatives begin with the medoids"),
        (["--of", "leaders", "--by", "run"], "leaders stand for all runs"),
        (["--cluster", 1], "--cluster can't be given for structures"),
    ],
)
def test_structures__refusals(options, words, store, twopass):
    refused = twopass("export", store, "structures", "--name", "default", "--to", "s.pdb", *options, code=2)
    assert words in refused.stderr


def test_scripts__load_each_structure_and_colour_it(store, tmp_path, twopass):
    names = ["cluster_1_1", "cluster_1_2", "cluster_2_1", "cluster_2_2", "cluster_3_1", "cluster_3_2"]
    colors = ["0072b2", "e69f00", "009e73"]
    for kind in ("pml", "vmd", "cxc"):
        options = ["--representatives", 2, "--name", "default", "--overwrite"]
        to = ["--to", f"s.{kind}"] if kind != "vmd" else ["--to", "s.pdb", "--format", kind]
        result = twopass("export", store, "structures", *to, *options)
        assert "6 representatives, PDB, from clustering default, loaded by" in result.stdout
        assert result.stdout.endswith(f"{tmp_path / f's.{kind}'}\n")
        text = (tmp_path / f"s.{kind}").read_text()
        assert re.findall(r"cluster_\d_\d", text)[:: 2 if kind == "pml" else 1] == names
        assert "s.pdb" in text
        assert kind == "vmd" or re.findall(r"(?:#|0x)([0-9a-f]{6})", text)[::2] == colors
    assert re.findall(r"mol new .* first (\d) last (\d)", (tmp_path / "s.vmd").read_text()) == [
        (str(model), str(model)) for model in range(6)
    ]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["s.cxc", "s.pdb", "s.pml", "s.vmd"]


def test_pymol__has_them_superposed(store, tmp_path, twopass):
    pytest.importorskip("pymol")
    twopass("export", store, "structures", "--name", "default", "--to", "s.pml")
    code = f"""
import pymol
pymol.finish_launching(["pymol", "-cq"])
from pymol import cmd
cmd.do("@{tmp_path / "s.pml"}")
cmd.sync()
for name in cmd.get_object_list():
    colors = set()
    cmd.iterate(name, "colors.add(color)", space={{"colors": colors}})
    red, green, blue = cmd.get_color_tuple(colors.pop())
    heavy = [f"{{each}} and not elem H" for each in (name, "cluster_1")]
    lie = [fit(*heavy, matchmaker=4) for fit in (cmd.rms_cur, cmd.rms)]
    print("found", name, len(colors), *(round(255 * each) for each in (red, green, blue)), *lie)
"""
    # From another folder.
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd="/", check=True
    ).stdout
    rows = [line.split()[1:] for line in shown.splitlines() if line.startswith("found")]
    assert [row[:5] for row in rows] == [
        ["cluster_1", "0", "0", "114", "178"],
        ["cluster_2", "0", "230", "159", "0"],
        ["cluster_3", "0", "0", "158", "115"],
    ]
    for *_, as_they_lie, fitted in rows:
        assert float(as_they_lie) == pytest.approx(float(fitted), abs=2e-3)


def test_labels__are_those_of_open_results(store, original, tmp_path, twopass):
    with open_results(store, "default") as results:
        label, rmsd, expected = results.label.values, results.rmsd_to_leader.values, results.twopass.dtrajs()
    for to in ("d.npz", "folder", "t.csv", "t.xvg"):
        twopass("export", store, "dtrajs", "--to", to)
    files = [np.load(file) for file in sorted((tmp_path / "folder").iterdir())]
    for found in (files, list(np.load(tmp_path / "d.npz").values())):
        assert len(found) == len(expected) == 2
        assert all(map(np.array_equal, found, expected))
    table = pd.read_csv(tmp_path / "t.csv")
    assert list(table) == ["time", "run", "frame", "label", "rmsd"]
    np.testing.assert_array_equal(table.label, label)
    np.testing.assert_array_equal(table.rmsd.astype(np.float32), rmsd)
    np.testing.assert_allclose(table.time, original.time)
    assert table.run.value_counts(sort=False).to_dict() == {"a/md.xtc": 1500, "b/md.xtc": 2500}
    assert table.frame.tolist() == list(range(4000))
    columns = np.loadtxt(tmp_path / "t.xvg", comments=["#", "@", "&"])
    np.testing.assert_array_equal(columns[:, 1], label)
    np.testing.assert_array_equal(columns[:, 4], 1 + (table.frame >= 1500))
    same = twopass("compare", store, "--with", "t.xvg", "--column", 2)
    assert "Adjusted Rand index 1.0000 over 4,000 frames" in same.stdout

    for to, words in (
        ("d.npy", "2 discrete trajectories"),
        ("folder", "exists already"),
        ("d.txt", "as txt"),
    ):
        assert words in " ".join(twopass("export", store, "dtrajs", "--to", to, code=2).stderr.split())
    twopass("export", store, "dtrajs", "--to", "folder", "--overwrite")
    refused = twopass("export", store, "dtrajs", "--name", "first", "--to", "e.npz", code=8)
    assert "twopass assign" in refused.stderr
    assert not (tmp_path / "e.npz").exists()
