"""Locks: who may hold which at once, what dead processes leave, and that a lost one lets nothing through."""

import errno
import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys

import pytest

from twopass_store.errors import StoreLockedError, StoreWriteError
from twopass_store.journal import Disk, Lock, Writer, clear_dead, hold

HOLD = """
import os, sys, time
from pathlib import Path
from twopass_store.journal import Lock, hold
with hold(Path(sys.argv[1]), [Lock(name) for name in sys.argv[2:]]) as writer:
    (writer.staging / "debris").touch()
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "s.zarr.lock"


@pytest.fixture
def begin(folder):
    """Start processes that hold locks, and wait until they do."""
    processes = []

    def begin(*names):
        command = [sys.executable, "-c", HOLD, str(folder), *names]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        assert processes[-1].stdout.readline() == "held\n"
        return processes[-1]

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture(params=["flock", "none"])
def any_disk(request, monkeypatch):
    """A file system with advisory locks, or without."""
    if request.param == "none":
        monkeypatch.setattr(fcntl, "flock", refuse(errno.ENOLCK))


def refuse(code):
    def refuse(*_, **__):
        raise OSError(code, os.strerror(code))

    return refuse


def assert_refused(folder, *names, match="", **options):
    with pytest.raises(StoreLockedError, match=match), hold(folder, [Lock(n) for n in names], **options):
        pass


@pytest.mark.usefixtures("any_disk")
@pytest.mark.parametrize(
    ("held", "wanted", "conflict"),
    [
        ("ingest", "ingest", True),
        ("ingest", "clustering-a", True),
        ("clustering-a", "ingest", True),
        ("clustering-a", "clustering-a", True),
        ("clustering-a", "clustering-b", False),
        ("subset-x", "clustering-b", False),
    ],
)
def test_hold__shares_what_may_be_shared(folder, held, wanted, conflict):
    with hold(folder, [Lock(held)]):
        if conflict:
            holder = f"{held} is held by process {os.getpid()} on {socket.gethostname()} since .* UTC"
            assert_refused(folder, wanted, match=f"s.zarr is being written: {holder}")
        else:
            with hold(folder, [Lock(wanted)]):
                pass
            assert (folder / f"{held}.json").exists()
    assert not folder.exists()


def test_hold__goes_on_after_a_process_that_was_killed_whatever_its_host_was(folder, begin):
    process = begin("subset-x", "clustering-a")
    record = json.loads((folder / "clustering-a.json").read_text())
    (folder / "clustering-a.json").write_text(json.dumps({**record, "host": "elsewhere"}))
    assert_refused(folder, "ingest", match=f"process {process.pid} on elsewhere")
    assert_refused(folder, "clustering-a", "clustering-b", match="elsewhere", break_lock=True)
    process.kill()
    process.wait()
    with hold(folder, [Lock("clustering-a")]) as writer:
        assert sorted(folder.iterdir()) == sorted([folder / "clustering-a.json", writer.staging])
    assert not folder.exists()


def test_hold__is_not_inherited_by_a_child_that_outlives_its_parent(folder):
    program = (
        "import os, sys, time; from pathlib import Path; from twopass_store.journal import Lock, hold\n"
        "with hold(Path(sys.argv[1]), [Lock('ingest')]):\n"
        "    pid = os.fork()\n"
        "    if not pid: time.sleep(600)\n"
        "    print(pid, flush=True); os._exit(9)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    parent.wait()
    try:
        with hold(folder, [Lock("ingest")]):
            pass
    finally:
        os.kill(child, 9)
        parent.stdout.close()


def test_hold__without_flock_breaks_a_lock_on_demand_only(folder, begin, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", refuse(errno.ENOSYS))
    process = begin("subset-x", "clustering-a")
    process.kill()
    process.wait()
    assert_refused(folder, "clustering-a", match=f"process {process.pid} on .*--break-lock")
    with hold(folder, [Lock("clustering-a")], break_lock=True) as writer:
        assert (folder / "subset-x.json").exists()
        assert [path for path in folder.iterdir() if path.is_dir()] == [writer.staging]


@pytest.mark.parametrize("step", ["write", "sync", "rename"])
def test_writer__whose_lock_is_broken_in_the_middle_of_a_write_writes_nothing(
    folder, tmp_path, monkeypatch, step
):
    """It may have been stopped there for hours: the rename fails, whatever it checked before."""
    monkeypatch.setattr(fcntl, "flock", refuse(errno.ENOLCK))
    do = getattr(Writer.disk, step)
    lost, breaking = hold(folder, [Lock("x")]), hold(folder, [Lock("x")], break_lock=True)
    (tmp_path / "file").write_bytes(b"before")

    def broken_off(self, *arguments):
        monkeypatch.undo()
        monkeypatch.setattr(fcntl, "flock", refuse(errno.ENOLCK))
        breaking.__enter__()
        return do(*arguments)

    writer = lost.__enter__()
    monkeypatch.setattr(Writer, "disk", type("Paused", (Disk,), {step: broken_off})())
    with pytest.raises(StoreLockedError, match="lock of this process is gone"):
        writer.write(tmp_path / "file", b"late")
    assert (tmp_path / "file").read_bytes() == b"before"
    lost.__exit__(None, None, None)
    assert (folder / "x.json").exists()
    breaking.__exit__(None, None, None)
    assert not folder.exists()


def test_writer__that_lost_its_lock_changes_nothing_more(folder, tmp_path):
    tree = tmp_path / "tree"
    tree.mkdir()
    lost = hold(folder, [Lock("x")])
    writer = lost.__enter__()
    shutil.rmtree(folder)
    with hold(folder, [Lock("x")]):  # as another process would
        for act in (
            lambda: writer.write(tmp_path / "file", b"x"),
            lambda: writer.make_folder(tmp_path / "folder"),
            lambda: writer.remove(tree),
        ):
            with pytest.raises(StoreLockedError, match="lock of this process is gone"):
                act()
        lost.__exit__(None, None, None)
        assert (folder / "x.json").exists()
        assert sorted(tmp_path.iterdir()) == [folder, tree]
    assert list(tmp_path.iterdir()) == [tree]


def test_hold__leaves_nothing_if_there_is_no_space_for_a_lock(folder, monkeypatch):
    monkeypatch.setattr(os, "pwrite", refuse(errno.ENOSPC))
    with pytest.raises(StoreWriteError, match="No space left"), hold(folder, [Lock("x")]):
        pass
    assert not folder.exists()


def test_hold__refuses_a_link_in_the_place_of_its_folder(folder, tmp_path):
    (tmp_path / "decoy").mkdir()
    folder.symlink_to(tmp_path / "decoy")
    with pytest.raises(StoreWriteError, match="is a symbolic link"), hold(folder, [Lock("x")]):
        pass
    assert not list((tmp_path / "decoy").iterdir())


def test_hold__takes_over_what_a_power_cut_left_of_a_lock(folder):
    with hold(folder, [Lock("ingest")]):
        whole = (folder / "ingest.json").read_bytes()
    for torn in (b"", whole[:9], bytes(len(whole)), b"[]"):
        folder.mkdir()
        (folder / "ingest.json").write_bytes(torn)
        (folder / "staging.abc").mkdir()
        with hold(folder, [Lock("x")]):
            pass
        assert not folder.exists()


def test_hold__syncs_the_store_of_a_dead_process_only(tmp_path, folder, begin, monkeypatch):
    synced = []

    class Counted(Disk):
        def sync_folder(self, path):
            synced.append(path)

    monkeypatch.setattr(Writer, "disk", Counted())
    store = folder.with_suffix("")
    (store / "position").mkdir(parents=True)
    with hold(folder, [Lock("ingest")]):
        pass
    assert not synced
    process = begin("ingest", "subset")
    process.kill()
    process.wait()
    clear_dead(folder)
    assert synced == [tmp_path, store, store / "position"]
    assert not folder.exists()
