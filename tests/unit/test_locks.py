"""Locks: whose they are, who may take them over, and that a broken one lets nothing through any more."""

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from twopass_store.errors import StoreLockedError
from twopass_store.journal import Fate, Holder, Lock, Writer, hold, holder, locks

HOLD = """
import sys, time
from pathlib import Path
from twopass_store.journal import Lock, hold
with hold(Path(sys.argv[1]), [Lock(name) for name in sys.argv[2:]]):
    print("held", flush=True)
    time.sleep(600)
"""

NAMESPACE = "pid:[4026531836]"


def begin(folder, *names, prefix=()):
    """Start a process that holds locks, and wait until it does."""
    process = subprocess.Popen(
        [*prefix, sys.executable, "-c", HOLD, str(folder), *names], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    return process


def edit(folder, name, **changes):
    """Change what a lock says of its holder."""
    path = folder / f"{name}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "s.zarr.lock"


@pytest.fixture
def elsewhere(folder):
    """A process that lives and holds two locks, as seen from another machine."""
    process = begin(folder, "subset-x", "clustering-a")
    for name in ("subset-x", "clustering-a"):
        edit(folder, name, host="elsewhere", boot="of another kernel")
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_break_lock__takes_all_that_an_unknown_process_holds_and_nothing_without_it(folder, elsewhere):
    token = json.loads((folder / "subset-x.json").read_text())["token"]
    with pytest.raises(StoreLockedError, match=r"clustering-a is held by process \d+ on elsewhere since"):
        hold(folder, [Lock("clustering-a")]).__enter__()
    # What doesn't conflict isn't touched.
    with hold(folder, [Lock("clustering-b")], break_lock=True):
        assert (folder / f"staging.{token}").is_dir()
    with hold(folder, [Lock("clustering-a")], break_lock=True):
        assert [path.name for path in folder.glob("*.json")] == ["clustering-a.json"]
        assert not (folder / f"staging.{token}").exists()
    assert not folder.exists()


@pytest.mark.parametrize("names", [["ingest"], ["subset-x", "clustering-a"]])
def test_break_lock__never_takes_that_of_a_living_process_here(folder, names):
    process = begin(folder, *names)
    try:
        # Not by name: that of a container may be any.
        for name in names:
            edit(folder, name, host="elsewhere")
        with pytest.raises(StoreLockedError, match=f"process {process.pid} on elsewhere") as caught:
            hold(folder, [Lock("ingest")], break_lock=True).__enter__()
        assert "--break-lock" not in str(caught.value)
        assert (folder / f"{names[0]}.json").exists()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    with hold(folder, [Lock("ingest")]):
        pass
    assert not folder.exists()


def test_writer__whose_lock_was_broken_stops_and_leaves_the_new_holder_alone(folder, tmp_path):
    lost = hold(folder, [Lock("x")])
    writer = lost.__enter__()
    writer.write(tmp_path / "file", b"before")
    edit(folder, "x", boot="of another kernel", host="elsewhere")
    with hold(folder, [Lock("x")], break_lock=True) as other:
        with pytest.raises(StoreLockedError, match="told to break the lock"):
            writer.write(tmp_path / "file", b"after")
        with pytest.raises(StoreLockedError, match="told to break the lock"):
            writer.remove(tmp_path / "file")
        lost.__exit__(None, None, None)
        assert (folder / "x.json").exists()
        assert (tmp_path / "file").read_bytes() == b"before"
        other.write(tmp_path / "file", b"other")
    assert not folder.exists()


@pytest.mark.parametrize("step", ["write", "sync", "rename"])
def test_writer__whose_lock_is_broken_in_the_middle_of_a_write_writes_nothing(
    folder, tmp_path, monkeypatch, step
):
    """It may have been stopped there for hours: the rename fails, whatever it checked before."""
    do = getattr(Writer.disk, step)
    breaking = []

    def broken_off(self, *arguments):
        if not breaking:
            edit(folder, "x", boot="of another kernel")
            breaking.append(hold(folder, [Lock("x")], break_lock=True))
            breaking[0].__enter__()
        return do(*arguments)

    lost = hold(folder, [Lock("x")])
    writer = lost.__enter__()
    (tmp_path / "file").write_bytes(b"before")
    monkeypatch.setattr(Writer, "disk", type("Paused", (type(Writer.disk),), {step: broken_off})())
    with pytest.raises(StoreLockedError, match="told to break the lock"):
        writer.write(tmp_path / "file", b"late")
    assert (tmp_path / "file").read_bytes() == b"before"
    breaking[0].__exit__(None, None, None)
    lost.__exit__(None, None, None)
    assert not folder.exists()


def record(**changes):
    return replace(
        Holder.this_process("a" * 32),
        **{"since": "2020-01-01 00:00:00 UTC", "namespace": NAMESPACE, "machine": "m", **changes},
    )


GONE = 2**31 - 2
"""No process id that is given out."""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is no boot id")
@pytest.mark.parametrize(
    ("changes", "is_locked", "fate"),
    [
        ({}, None, Fate.ALIVE),
        # Its id and start time are exact: no lock that a file system has lost makes it dead.
        ({}, False, Fate.ALIVE),
        ({"host": "other name of this machine"}, None, Fate.ALIVE),
        ({"pid": GONE}, None, Fate.DEAD),
        ({"pid": GONE, "host": "other name of this machine"}, None, Fate.DEAD),
        # The same id, but another process: given out again.
        ({"process_start": 1.0}, None, Fate.DEAD),
        ({"process_start": 1.0}, False, Fate.DEAD),
        # Other containers of this machine, where ids mean other processes.
        ({"namespace": "pid:[1]"}, True, Fate.ALIVE),
        ({"namespace": "pid:[1]", "pid": GONE}, True, Fate.ALIVE),
        ({"namespace": "pid:[1]"}, False, Fate.DEAD),
        ({"namespace": "pid:[1]", "pid": GONE}, None, Fate.UNKNOWN),
        # This machine before a reboot, when the same process may have had the same id and start time.
        ({"boot": "b"}, None, Fate.DEAD),
        ({"boot": "b"}, False, Fate.DEAD),
        # Others of the same name: a lock taken after this boot, in a container, or with another machine id.
        ({"boot": "b", "since": "2999-01-01 00:00:00 UTC"}, None, Fate.UNKNOWN),
        ({"boot": "b", "since": "yesterday"}, None, Fate.UNKNOWN),
        ({"boot": "b", "namespace": "pid:[1]"}, None, Fate.UNKNOWN),
        ({"boot": "b", "machine": "other"}, None, Fate.UNKNOWN),
        ({"boot": "b", "machine": ""}, None, Fate.UNKNOWN),
        ({"boot": "b", "host": "other"}, None, Fate.UNKNOWN),
        ({"boot": "b"}, True, Fate.UNKNOWN),
        # Of a lock that free on another host nothing follows: file systems may keep them for each host alone.
        ({"boot": "b", "host": "other"}, False, Fate.UNKNOWN),
        # As an earlier version wrote them.
        ({"boot": "", "machine": "", "namespace": ""}, None, Fate.UNKNOWN),
    ],
)
def test_fate__is_known_or_said_to_be_unknown(monkeypatch, changes, is_locked, fate):
    monkeypatch.setattr(holder, "_namespace", lambda: NAMESPACE)
    machine = lambda path: "m" if path == "/etc/machine-id" else Path(path).read_text().strip()  # noqa: E731
    monkeypatch.setattr(holder, "_read", machine)
    assert record(**changes).fate(is_locked=is_locked) is fate


def test_fate__in_a_container_says_nothing_of_another_boot(monkeypatch):
    monkeypatch.setattr(holder, "_namespace", lambda: "pid:[7]")
    for namespace in ("pid:[7]", NAMESPACE):
        found = record(boot="b", namespace=namespace, machine=holder._read("/etc/machine-id"))
        assert found.fate(is_locked=None) is Fate.UNKNOWN


def test_fate__of_a_process_that_proc_hides_is_told_by_its_lock(monkeypatch):
    """As with the mount option hidepid."""
    monkeypatch.setattr(holder, "_look_up", lambda _: (Fate.UNKNOWN, 0.0))
    own = replace(Holder.this_process("a" * 32))
    assert [own.fate(is_locked=each) for each in (True, False, None)] == [Fate.ALIVE, Fate.DEAD, Fate.UNKNOWN]


def test_fate__of_a_zombie_is_dead(folder):
    process = subprocess.Popen([sys.executable, "-c", "pass"], stdout=subprocess.PIPE)
    process.stdout.read()
    process.stdout.close()
    found = replace(Holder.this_process("a" * 32), pid=process.pid, process_start=0.0)
    deadline = time.monotonic() + 20
    while found.fate(is_locked=None) is not Fate.DEAD and time.monotonic() < deadline:
        time.sleep(0.01)
    assert Path(f"/proc/{process.pid}").exists() or sys.platform != "linux"
    assert found.fate(is_locked=None) is Fate.DEAD
    process.wait()


def other_container():
    """What begins a command in another pid namespace; skips the test where that isn't allowed."""
    prefix = ["unshare", "--pid", "--fork", "--kill-child"]
    if shutil.which("unshare") is None or subprocess.run([*prefix, "true"], check=False).returncode:
        pytest.skip("no pid namespaces here")
    return prefix


def test_hold__knows_whether_a_process_of_another_container_lives(folder):
    process = begin(folder, "ingest", prefix=other_container())
    assert json.loads((folder / "ingest.json").read_text())["pid"] == 1
    try:
        for break_lock in (False, True):
            with pytest.raises(StoreLockedError, match="ingest is held by process 1 on"):
                hold(folder, [Lock("ingest")], break_lock=break_lock).__enter__()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    deadline = time.monotonic() + 20
    while locks._is_locked(folder / "ingest.json") and time.monotonic() < deadline:
        time.sleep(0.01)
    with hold(folder, [Lock("ingest")]):
        pass
    assert not folder.exists()


def test_hold__has_no_pity_with_a_stopped_process(folder):
    process = begin(folder, "ingest")
    process.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        with pytest.raises(StoreLockedError, match=f"process {process.pid} on {socket.gethostname()}"):
            hold(folder, [Lock("ingest")], break_lock=True).__enter__()
        assert time.monotonic() - began < 10
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_hold__reads_what_a_later_version_says_and_takes_rubbish_for_nothing(folder):
    folder.mkdir()
    later = {**asdict(Holder.this_process("a" * 32)), "since_when": 1, "another": []}
    (folder / "clustering-a.json").write_text(json.dumps(later))
    for number, text in enumerate(["", "{", "[]", "7", "{}", json.dumps({**later, "token": "../../x"})]):
        (folder / f"clustering-{number}.json").write_text(text)
    (folder / "clustering-pipe.json").symlink_to("/dev/stdin")
    with hold(folder, [Lock("clustering-b")]):
        assert sorted(path.name for path in folder.glob("*.json")) == [
            "clustering-a.json",
            "clustering-b.json",
        ]
    with pytest.raises(StoreLockedError, match=f"process {os.getpid()} on"):
        hold(folder, [Lock("clustering-a")]).__enter__()


@pytest.fixture
def without_flock(monkeypatch):
    def refuse(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)


def test_hold__works_without_advisory_locks(folder, without_flock):
    with hold(folder, [Lock("clustering-a")]):
        assert json.loads((folder / "clustering-a.json").read_text())["flocked"] is False
        with pytest.raises(StoreLockedError, match="clustering-a is held"):
            hold(folder, [Lock("clustering-a")], break_lock=True).__enter__()
        with hold(folder, [Lock("clustering-b")]):
            pass
    assert not folder.exists()


def test_hold__steps_back_for_one_that_came_at_the_same_moment(folder, without_flock, monkeypatch):
    """Another host takes the lock between our look and our lock; it is dead when we try again."""
    holder_of, seen = locks.Holder, []

    class Slow(holder_of):
        @classmethod
        def this_process(cls, token):
            if not seen:
                there = replace(holder_of.this_process("b" * 32), host="elsewhere", boot="other")
                (folder / "ingest.json").write_text(json.dumps(asdict(there)))
            seen.append(token)
            return holder_of.this_process(token)

    def sleep(_):
        assert [path.name for path in folder.iterdir() if "guard" not in path.name] == ["ingest.json"]
        (folder / "ingest.json").unlink()

    monkeypatch.setattr(locks, "Holder", Slow)
    monkeypatch.setattr(locks.time, "sleep", sleep)
    with hold(folder, [Lock("clustering-a")]):
        assert len(seen) == 2
    assert not folder.exists()


def test_hold__gives_up_after_some_attempts_with_the_name_of_the_other(folder, without_flock, monkeypatch):
    take = locks._require_free
    there = replace(Holder.this_process("b" * 32), host="elsewhere", boot="other")

    def late(*arguments, **options):
        (folder / "ingest.json").unlink(missing_ok=True)
        take(*arguments, **options)
        (folder / "ingest.json").write_text(json.dumps(asdict(there)))

    def present(path):
        found = list_present(path)
        return found if any(held.holder.token != there.token for held in found) else []

    list_present = locks._present
    monkeypatch.setattr(locks, "_present", present)
    monkeypatch.setattr(locks, "_require_free", late)
    with pytest.raises(StoreLockedError, match=r"ingest is held by process \d+ on elsewhere"):
        hold(folder, [Lock("clustering-a")]).__enter__()
    assert [path.name for path in folder.glob("*.json")] == ["ingest.json"]
