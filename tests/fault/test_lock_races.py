"""Many processes that take the same locks, and are killed anywhere in it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

# Forks its processes, so that hundreds can be killed in seconds.
_RACE = """
import json, os, random, signal, sys, time
from contextlib import suppress
from pathlib import Path

from twopass_store.errors import StoreLockedError
from twopass_store.journal import Lock, hold, locks

root, n_processes, seconds, chaos, has_flock = Path(sys.argv[1]), *map(float, sys.argv[2:])
folder, witness, store = root / "s.zarr.lock", root / "witness", root / "store"
SETS = [["ingest"], ["subset-x", "clustering-a"], ["clustering-a"], ["clustering-b"], ["subset-x"]]
locks.PATIENCE_SECONDS = 0.05
deadline = time.monotonic() + seconds


def perhaps_die(function):
    def wrapped(*arguments, **options):
        if chaos and random.random() < 0.004:
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*arguments, **options)
        if chaos and random.random() < 0.004:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return wrapped


def is_alive(pid):
    try:
        for _ in range(20):  # one that is ending has given its locks back already
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            if state in "ZX":
                return False
            time.sleep(0.01)
    except (FileNotFoundError, ProcessLookupError):
        return False
    return True


def violated(what):
    with (root / "violations").open("a") as file:
        file.write(what + "\\n")


def enter(names):
    # Whoever else is in must be dead, or of a set that goes with this one.
    for other in witness.iterdir():
        held, pid = other.name.rsplit(".", 1)
        if pid == str(os.getpid()):
            continue
        if "ingest" in (held, *names) or held in names:
            with suppress(FileNotFoundError):
                if is_alive(pid) and other.exists():
                    violated(f"{names} while {held} is held by {pid}")
                other.unlink()


def work(seed):
    random.seed(seed)
    done = {"held": 0, "refused": 0, "lost": 0}
    while time.monotonic() < deadline:
        names = random.choice(SETS)
        try:
            with hold(folder, [Lock(name) for name in names]) as writer:
                marks = [witness / f"{name}.{os.getpid()}" for name in names]
                for mark in marks:
                    mark.touch()
                enter(names)
                try:
                    for name in names:
                        writer.write(store / name, str(os.getpid()).encode())
                    time.sleep(random.uniform(0, 0.003))
                    for name in names:
                        if (store / name).read_text() != str(os.getpid()):
                            violated(f"{name} was written by another")
                except StoreLockedError:
                    done["lost"] += 1
                finally:
                    for mark in marks:
                        mark.unlink(missing_ok=True)
                done["held"] += 1
        except StoreLockedError as error:
            done["refused"] += 1
            if not any(words in str(error) for words in ("is held by", "is gone")):
                violated(str(error))
    return done


def fork(seed):
    pid = os.fork()
    if pid:
        return pid
    try:
        for name in ("mkdir", "open", "close", "pwrite"):
            setattr(os, name, perhaps_die(getattr(os, name)))
        for name in ("rename", "unlink", "rmdir"):
            setattr(Path, name, perhaps_die(getattr(Path, name)))
        if not has_flock:
            locks._flock = lambda *_: None
        (root / "done" / str(os.getpid())).write_text(json.dumps(work(seed)))
        os._exit(0)
    except BaseException:
        import traceback
        violated(traceback.format_exc())
        os._exit(1)


for name in ("witness", "store", "done"):
    (root / name).mkdir()
running, seed, killed = set(), 0, 0
while True:
    while len(running) < n_processes and time.monotonic() < deadline:
        seed += 1
        running.add(fork(seed))
    if not running:
        break
    pid, status = os.waitpid(-1, os.WNOHANG)
    if pid:
        running.discard(pid)
        killed += os.WIFSIGNALED(status)
    else:
        time.sleep(0.005)
with hold(folder, [Lock("ingest")]):
    pass
found = [json.loads(file.read_text()) for file in (root / "done").iterdir()]
counts = {key: sum(each[key] for each in found) for key in ("held", "refused", "lost")}
print(json.dumps({"killed": killed, **counts}))
"""


def race(
    folder: Path, *, processes: int, seconds: float, chaos: bool, has_flock: bool = True
) -> dict[str, int]:
    """Let them run; returns how often what happened."""
    folder.mkdir(exist_ok=True)
    arguments = [str(folder), str(processes), str(seconds), str(int(chaos)), str(int(has_flock))]
    result = subprocess.run(
        [sys.executable, "-c", _RACE, *arguments], capture_output=True, text=True, timeout=280, check=False
    )
    assert result.returncode == 0, result.stderr
    violations = folder / "violations"
    assert not violations.exists(), violations.read_text()[:3000]
    assert not (folder / "s.zarr.lock").exists()
    found: dict[str, int] = json.loads(result.stdout)
    assert found["held"] and found["refused"]
    return found


def test_locks__let_no_two_in_whoever_is_killed_where(tmp_path: Path) -> None:
    assert race(tmp_path, processes=8, seconds=2, chaos=True)["killed"]


@pytest.mark.parametrize("has_flock", [True, False])
def test_locks__let_no_two_in_without_chaos(tmp_path: Path, has_flock: bool) -> None:
    found = race(tmp_path, processes=6, seconds=1, chaos=False, has_flock=has_flock)
    assert not found["killed"]
    assert not (has_flock and found["lost"])
