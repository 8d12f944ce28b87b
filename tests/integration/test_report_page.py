"""`twopass report`: one page that shows a clustering and asks no network for anything."""

import base64
import json
import re
import shutil
import subprocess

import mdtraj as md
import numpy as np
import pytest

from twopass_store import assign_frames, cluster_subset, ingest_trajectories, open_results, scan_cuts

pytest.importorskip("plotly")
pytest.importorskip("ipymolstar")
TOP = "example:alanine-dipeptide.pdb"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "s.zarr"
    ingest_trajectories(path, "example:alanine-dipeptide.xtc", top=TOP)
    cluster_subset(path, stride=20, n_clusters=3)
    assign_frames(path)
    scan_cuts(path, name="default", n_clusters="2:5")
    return path


def content_of(page):
    return json.loads(
        re.search(r'<script type="application/json" id="content">(.*?)</script>', page, re.S)[1]
    )


def test_report__tells_what_the_store_holds(store, twopass, tmp_path):
    said = twopass("report", store, "--to", "report.html", "--lag", 4, "--name", "default").stdout
    assert "report.html" in said
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert len(page) < 15e6
    found, results = content_of(page), open_results(store)
    counts = np.bincount(results.label, minlength=4)[1:]
    assert [each["n_frames"] for each in found["clusters"]] == counts.tolist()
    assert np.sum(found["rmsd"]["counts"]) == 4000
    np.testing.assert_array_equal(found["transitions"]["count"], results.twopass.transitions(4)["count"])
    (run,) = found["timeline"]["runs"]
    np.testing.assert_array_equal(run["label"], results.label[:: run["stride"]])
    assert found["scan"]["n_clusters"] == [2, 3, 4, 5]
    assert found["map"]["frame"] == results.subset_frame.values.tolist()
    for words in (
        "4,000 frames",
        "every 20th frame",
        "average linkage, and the tree was cut into 3 clusters",
    ):
        assert words in found["methods"]

    # Structures are superposed as they were compared: their RMSDs without a fit are those of the map.
    shown = found["structures"]
    positions = np.frombuffer(base64.b64decode(shown["positions"]), "<i2").reshape(-1, 22, 3) / 1000
    assert len(positions) == 3 + 200
    selected = results.selected_atom_index.values
    stored = results.position[results.medoid_frame].values
    for label in (1, 2):
        superposed = np.sqrt(((positions[label] - positions[0])[selected] ** 2).sum(axis=1).mean())
        pair = md.Trajectory(stored[[0, label]], None)
        np.testing.assert_allclose(superposed, md.rmsd(pair, pair, atom_indices=selected)[1], atol=2e-3)

    said = twopass("report", store, "--to", "report.html", code=2)
    assert "--overwrite" in said.stderr


def opened_in_chromium(page, profile):
    """Return the DOM after everything is drawn, without a network, and what the console says."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium to open the page with")
    options = "--headless=new --no-sandbox --use-angle=swiftshader --enable-unsafe-swiftshader"
    command = [
        chromium,
        *options.split(),
        "--host-resolver-rules=MAP * ~NOTFOUND",
        f"--user-data-dir={profile}",
    ]
    command += ["--virtual-time-budget=30000", "--enable-logging=stderr", "--dump-dom", page.as_uri()]
    opened = subprocess.run(command, capture_output=True, text=True, timeout=240)
    return opened.stdout, opened.stderr


def test_report__loads_nothing_from_elsewhere(store, twopass, tmp_path):
    twopass("report", store, "--to", "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    own = re.sub(r'<script type="text/plain".*?</script>', "", page, flags=re.S)
    assert not re.search(r"<(?:link|img|iframe)|\ssrc=|@import|url\((?!['\"]?data:)", own)
    # A choice in the list of frames is what a click on the map does.
    choice = "byId('frame').value = '2'; byId('frame').dispatchEvent(new Event('change'));"
    (tmp_path / "report.html").write_text(
        page.replace("<script>start();", f"<script>start().then(() => {{ {choice} }});"), encoding="utf-8"
    )
    dom, console = opened_in_chromium(tmp_path / "report.html", tmp_path / "profile")
    assert dom.count('class="main-svg"') > 7, console[-2000:]
    assert set(re.findall(r'class="modebar-btn".*?data-title="(.*?)"', dom)) == {
        "Download plot as a PNG",
        "Reset axes",
    }
    assert re.search(r'id="viewer".*?<canvas', dom, re.S)
    assert "frame 40 of the store" in re.search(r'id="viewer-caption".*?</p>', dom, re.S)[0]
    assert not re.search(r"CONSOLE.*(Uncaught|Failed to load)", console)


def test_report__of_several_runs_and_many_clusters_draws_everything(
    twopass, example_xtc, example_top, tmp_path
):
    example = md.load(str(example_xtc), top=str(example_top))
    for run, name in enumerate(("a.xtc", f"{'long' * 40}.xtc")):
        example[1500 * run : 1500 * run + 1500 - 300 * run].save_xtc(tmp_path / name)
    twopass("ingest", "r.zarr", "a.xtc", f"{'long' * 40}.xtc", "--top", TOP)
    twopass(
        "cluster", "r.zarr", "--stride", 9, "--method", "gromos", "--cutoff", "0.25A", "--rule", "nearest"
    )
    twopass("assign", "r.zarr", "--noise-cutoff", "0.2A")
    twopass("report", "r.zarr", "--to", "report.html")
    dom, console = opened_in_chromium(tmp_path / "report.html", tmp_path / "profile")
    assert not re.search(r"CONSOLE.*(Uncaught|Failed to load)", console)
    assert re.search(r'id="viewer".*?<canvas', dom, re.S)
    assert "Clusters from 9 on share the colour grey" in dom
    (words,) = re.findall(r'id="methods">(.*?)</p>', dom)
    found = open_results(tmp_path / "r.zarr")
    beyond = int((found.label < 1).sum())
    assert f"gave {found.attrs['n_clusters_found']} clusters" in words
    assert f"farther than 0.02 nm from every leader were given none ({beyond:,} frames," in words
    assert "every 9th frame" in words and "bootstrap over 2 runs" in words


def test_report__of_leaders_from_outside_leaves_out_the_first_pass(store, twopass, tmp_path):
    twopass("export", store, "medoids", "--to", "states.pdb", "--name", "default")
    twopass("assign", store, "--name", "outside", "--leaders", "states.pdb")
    twopass("report", store, "--to", "report.html", "--name", "outside")
    found = content_of((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "map" not in found
    assert found["tree"] is found["scan"] is found["convergence"] is None
    assert found["structures"]["n_medoids"] == 3
    assert "nearest of 3 leaders, which are structures from elsewhere" in found["methods"]


def test_static__writes_each_picture(store, twopass, tmp_path):
    pytest.importorskip("matplotlib")
    said = twopass("report", store, "--static", "pictures", "--name", "default").stdout
    names = {file.name for file in (tmp_path / "pictures").iterdir()}
    assert "18 pictures" in said
    assert {"map.png", "map.svg", "timeline.png", "dendrogram.svg", "scan.png", "convergence.svg"} <= names
    assert (tmp_path / "pictures" / "map.png").read_bytes().startswith(b"\x89PNG")
