"""The one wall: metadata that differ from the schema are refused, and so is what leads out of the store."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import Twopass
from twopass_store import open_results
from twopass_store.errors import CorruptChunkError, StoreError
from twopass_store.store import Store
from twopass_store.store.wall import metadata_problem


def sent(finished: Path, folder: Path) -> Path:
    """Return a copy of a finished store with its source files."""
    shutil.copytree(finished.parent, folder, dirs_exist_ok=True)
    return folder / finished.name


def _pickled(metadata: dict[str, Any]) -> None:
    metadata["codecs"][0] = {"name": "numcodecs.pickle", "configuration": {}}


CHANGES: dict[str, tuple[str, Callable[[dict[str, Any]], object]]] = {
    "another codec": ("time", _pickled),
    "another type": ("label", lambda m: m.update(data_type="int64")),
    "another dimension": ("label", lambda m: m.update(dimension_names=["atom"])),
    "another fill value": ("label", lambda m: m.update(fill_value=0)),
    "chunks cut otherwise": (
        "position",
        lambda m: m["chunk_grid"]["configuration"]["chunk_shape"].__setitem__(1, 1),
    ),
    "no scale": ("position", lambda m: m["attributes"].pop("scale_factor")),
    "a scale that is no number": ("position", lambda m: m["attributes"].update(scale_factor="0.001")),
    "no topology": ("", lambda m: m["attributes"].pop("topology")),
    "a number in place of a name": ("default", lambda m: m["attributes"].update(subset=5)),
    "nothing": ("time", lambda m: m.clear()),
}
PLACES = {"label": "clusterings/default/label", "default": "clusterings/default"}


@pytest.mark.parametrize("change", CHANGES)
def test_metadata_that_differ_from_the_schema__are_refused(
    finished: Path, tmp_path: Path, change: str
) -> None:
    store = sent(finished, tmp_path)
    name, alter = CHANGES[change]
    path = PLACES.get(name, name)
    file = store / path / "zarr.json"
    metadata = json.loads(file.read_text())
    assert metadata_problem(path, metadata) == ""
    alter(metadata)
    assert metadata_problem(path, metadata)
    file.write_text(json.dumps(metadata))
    with pytest.raises(CorruptChunkError):
        open_results(store).load()


COMMANDS: list[list[str]] = [
    ["ingest", "s.zarr", "md.xtc", "--top", "md.pdb", "--stride", "2", "--restart"],
    ["ingest", "s.zarr", "new.xtc", "--append"],
    ["relocate", "s.zarr", ".", "moved"],
    ["cluster", "s.zarr", "--n-clusters", "2", "--stride", "3", "--select", "all", "--restart"],
    ["recut", "s.zarr", "--as", "fine", "--n-clusters", "4"],
    ["scan", "s.zarr", "--n-clusters", "2:3", "--select", "all", "--stride", "5"],
    ["assign", "s.zarr", "--noise-cutoff", "0.1", "--restart"],
    ["repair", "s.zarr"],
]


@pytest.mark.parametrize("path", ["clusterings", "position"])
def test_link_in_a_store__leads_no_command_outside(
    finished: Path, tmp_path: Path, twopass: Twopass, path: str
) -> None:
    store = sent(finished, tmp_path)
    shutil.copy(tmp_path / "md.xtc", tmp_path / "new.xtc")
    (tmp_path / "moved").mkdir()
    decoy = tmp_path / "decoy"
    for name in ("default", "stride4", "full"):
        (decoy / name).mkdir(parents=True)
        (decoy / name / "zarr.json").write_text("{}")
    (decoy / "zarr.json").write_text("{}")
    before = {file: file.read_bytes() for file in decoy.rglob("*") if file.is_file()}
    folders = sorted(decoy.rglob("*"))
    for command in COMMANDS:
        if not (store / path).is_symlink():
            shutil.rmtree(store / path, ignore_errors=True)
            (store / path).parent.mkdir(parents=True, exist_ok=True)
            (store / path).symlink_to(decoy)
        twopass(*command, code=None)
        assert {file: file.read_bytes() for file in decoy.rglob("*") if file.is_file()} == before, command
        assert sorted(decoy.rglob("*")) == folders, command


def test_link_in_a_store__is_not_read(finished: Path, tmp_path: Path) -> None:
    store = sent(finished, tmp_path)
    (store / "position").rename(tmp_path / "elsewhere")
    (store / "position").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="links in a store are not followed"):
        Store.open(store).read("position")
    with pytest.raises(StoreError, match="links in a store are not followed"):
        open_results(store).load()
