"""The disk that loses power: it loses what it may, and keeps what it must."""

from pathlib import Path

import pytest

from power import PowerDisk, State, materialise, on_disk, state_of
from twopass_store.journal import Writer

ROOT = ("s.zarr", None)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "home" / "s.zarr"
    path.mkdir(parents=True)
    (tmp_path / "staging").mkdir()
    return path


def states_of(disk: PowerDisk) -> set[State]:
    return set(disk.states)


def state(*entries: tuple[str, bytes | None]) -> State:
    return frozenset([ROOT, *entries])


def test_write_without_a_sync__is_torn_anyhow(store, tmp_path):
    class Careless(PowerDisk):
        def sync(self, file):
            pass

    disk = Careless(store)
    with on_disk(disk):
        Writer(tmp_path / "staging").write(store / "a", b"data")
    contents = (b"data", b"dat", b"da", b"", b"\0\0\0\0")
    assert states_of(disk) == {state(), *(state(("s.zarr/a", content)) for content in contents)}


def test_names__are_lost_in_any_order_until_their_folder_is_synced(store, tmp_path):
    class Careless(PowerDisk):
        def sync_folder(self, path):
            pass

    disk = Careless(store)
    a, b = ("s.zarr/a", b"1"), ("s.zarr/b", b"2")
    with on_disk(disk):
        writer = Writer(tmp_path / "staging")
        writer.write(store / "a", b"1")
        writer.write(store / "b", b"2")
        assert states_of(disk) == {state(), state(a), state(b), state(a, b)}
        PowerDisk.sync_folder(disk, store)
        disk.states.clear()
        writer.write(store / "c", b"")
    assert states_of(disk) == {state(a, b), state(a, b, ("s.zarr/c", b""))}


def test_remove__leaves_a_part_only_where_the_folder_was_not_synced_first(store, tmp_path):
    class Careless(PowerDisk):
        def sync_folder(self, path):
            pass

    (store / "tree").mkdir()
    a, b, tree = ("s.zarr/tree/a", b"1"), ("s.zarr/tree/b", b"2"), ("s.zarr/tree", None)
    for name, content in (a, b):
        (store.parent / name).write_bytes(content)
    before = state_of(store.parent)
    disk = PowerDisk(store)
    with on_disk(disk):
        Writer(tmp_path / "staging").remove(store / "tree")
    assert states_of(disk) == {state(tree, a, b), state()}

    materialise(before, tmp_path / "again")
    again = tmp_path / "again" / "s.zarr"
    disk = Careless(again)
    with on_disk(disk):
        Writer(tmp_path / "staging").remove(again / "tree")
    assert states_of(disk) == {
        state(),
        state(tree),
        state(tree, a),
        state(tree, b),
        state(tree, a, b),
    }
