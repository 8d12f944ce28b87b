"""Kills a process exactly before, within or after a step of what it does to the disk, and logs the steps.

A step is a method of `journal.Disk`, or a line of code that makes or removes locks, or that puts an exported
file in its place. Each process counts its moments; at the one wanted it logs what it does and kills itself.
"""

import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

VARIABLE = "TWOPASS_FAULT"
"""The environment variable with the settings, as JSON.

``log``: path of the log. ``chunks``: constants of `partition`, smaller than they are, so that a small store
has many units. ``commit_seconds``: time between two writes of a ledger. ``kill``: ``[role, moment]`` or
nothing. Roles are ``driver``, whose moments are the steps of its disk, and ``lines``, whose
moments are the lines of the driver's code that handle locks and exported files. To follow lines takes time:
it is done where one is wanted, and where ``follow`` says so.
"""

LINES_OF = ("twopass_store/journal/locks.py", "twopass_store/export/target.py")


def python_path() -> str:
    """Return the PYTHONPATH that hooks a process in, with what is in it already."""
    return os.pathsep.join(filter(None, (str(Path(__file__).parent), os.environ.get("PYTHONPATH"))))


def command_role() -> str:
    """Tell what this process is: the command itself, or something else."""
    words = sys.orig_argv
    return "driver" if any(Path(word).name == "twopass" for word in words[1:2]) else "other"


def install_from_environment() -> None:
    """Do what the environment says."""
    settings = json.loads(os.environ[VARIABLE])
    shrink_chunks(settings["chunks"])
    role = command_role()
    if role != "other":
        install(settings, role)


def shrink_chunks(constants: dict[str, int]) -> None:
    """Make chunks smaller; before anything else of the package is imported, since names are bound then."""
    from twopass_store import partition

    for name, value in constants.items():
        setattr(partition, name, value)


def install(settings: dict, role: str) -> None:
    """Count and log the steps of this process, and kill it at the moment wanted."""
    from twopass_store.journal import Disk, Writer, ledger

    ledger.COMMIT_SECONDS = settings["commit_seconds"]
    wanted_role, moment = settings.get("kill") or (None, 0)
    counter = Counter(Path(settings["log"]), role, moment if wanted_role == role else 0)
    if role == "driver" and (settings["follow"] or wanted_role == "lines"):
        lines = Counter(Path(settings["log"]), "lines", moment if wanted_role == "lines" else 0)
        sys.settrace(lines.trace)

    class SteppingDisk(Disk):
        """The disk, with moments before, within and after each of its steps."""

        def make_folder(self, path):
            with counter.step("make folder", path):
                super().make_folder(path)

        def write(self, file, data):
            def half():
                file.write(data[: len(data) // 2])
                file.flush()

            with counter.step("write", Path(file.name), half):
                super().write(file, data)

        def sync(self, file):
            with counter.step("sync", Path(file.name)):
                super().sync(file)

        def rename(self, source, target):
            with counter.step("rename", target):
                super().rename(source, target)

        def sync_folder(self, path):
            with counter.step("sync folder", path):
                super().sync_folder(path)

        def remove_tree(self, path):
            def half():
                for child in sorted(path.iterdir())[::2] if path.is_dir() else ():
                    if child.is_dir():
                        shutil.rmtree(child)
                    else:
                        child.unlink()

            with counter.step("remove tree", path, half):
                super().remove_tree(path)

    Writer.disk = SteppingDisk()
    for name in ("write", "make_folder", "remove", "move"):
        setattr(Writer, name, _told(getattr(Writer, name), name, counter))


class Counter:
    """Counts the moments of a process over all of its threads; 0 wants none of them."""

    def __init__(self, log: Path, role: str, wanted: int) -> None:
        self._log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._fuse = log.with_suffix(".fuse")
        self._role = role
        self._wanted = wanted
        self._count = 0
        self._lock = threading.Lock()
        self.local = threading.local()

    @contextmanager
    def step(self, name: str, path: Path, half: Callable[[], None] | None = None):
        """Count the moments of a step; `half` does one half of it."""
        self.moment(name, path, "before")
        if half is not None:
            self.moment(name, path, "within", half)
        yield
        self.moment(name, path, "after")

    def moment(self, step: str, path: Path, phase: str, half: Callable[[], None] | None = None) -> None:
        """Count and log one moment; where it is the one wanted, this is the end."""
        what, target = getattr(self.local, "doing", ("other", path))
        self._moment(what, step, phase, target, half)

    def _moment(
        self, what: str, step: str, phase: str, target: Path, half: Callable[[], None] | None = None
    ) -> None:
        # Held to the end where it is: nothing comes between the last line of the log and the kill.
        with self._lock:
            self._count += 1
            line = "\t".join((self._role, what, step, phase, str(target)))
            os.write(self._log, f"{line}\n".encode())
            if self._count == self._wanted and self._light_fuse():
                os.write(self._log, f"KILLED\t{line}\n".encode())
                if half is not None:
                    half()
                os.kill(os.getpid(), signal.SIGKILL)

    def _light_fuse(self) -> bool:
        """Tell whether no other process of this run was killed yet: workers count alike."""
        try:
            os.close(os.open(self._fuse, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True

    def trace(self, frame: FrameType, _event: str, _argument: object):
        """Follow what locks and exported files are made of, and what that calls, line by line."""
        caller = frame.f_back
        if _is_followed(frame) or (caller is not None and _is_followed(caller)):
            return self._line
        return None

    def _line(self, frame: FrameType, event: str, _argument: object):
        if event == "line":
            code, caller = frame.f_code, frame.f_back
            is_own = _is_followed(frame) or caller is None
            room = Path((frame if is_own else caller).f_code.co_filename).stem
            name = code.co_name if is_own else f"{caller.f_code.co_name} > {code.co_name}"
            what = "lock" if room == "locks" else "exported file"
            self._moment(what, f"line of {name}", "before", Path(f"line {frame.f_lineno}"))
        return self._line


def _is_followed(frame: FrameType) -> bool:
    return frame.f_code.co_filename.endswith(LINES_OF)


def _told(method, name: str, counter: Counter):
    """Wrap a method of the writer so that the steps within it know what they are for."""

    def told(self, path, *arguments):
        counter.local.doing = (_purpose(name, path, *arguments), path)
        try:
            method(self, path, *arguments)
        finally:
            del counter.local.doing

    return told


def _purpose(name: str, path: Path, content: object = None) -> str:
    """Tell what a change of the store is for."""
    parts = path.parts
    if "growth" in parts:
        return "growth"
    if name == "remove":
        return "removal"
    if "ledger" in parts:
        return "ledger"
    if "journal" in parts:
        return "plan"
    if path.name.startswith("c."):
        return "unit data"
    if name == "write" and b'"complete": true' in bytes(content):
        return "complete"
    return "metadata"
