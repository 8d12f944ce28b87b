"""Who holds a lock, and whether that process still lives, as far as it can be told from here.

The name of a host says little: containers are often all called the same, and `localhost` is everywhere. On
Linux the boot id tells one running kernel from all others. On the same kernel, a process is known by its id
and start time if it can be seen, which it can't from another container (pid namespace) or where /proc hides
the processes of others; there the advisory lock that a holder keeps on its lock file tells, since it ends
with the process. Of another kernel nothing is known, but for one case: this machine itself before it was
rebooted.
"""

import os
import re
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any, Self

import psutil

__all__ = ["Fate", "Holder"]

INITIAL_NAMESPACE = "pid:[4026531836]"
"""The pid namespace of a machine itself, outside of containers; the same number on every Linux."""

TIME_FORMAT = "%Y-%m-%d %H:%M:%S UTC"


class Fate(Enum):
    """What has become of a holder."""

    ALIVE = "alive"
    DEAD = "dead"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock.

    Attributes
    ----------
    host, pid, since
        Whom an error names: host, process, and since when it holds the lock.
    process_start
        When the process began: seconds since boot on Linux, where clocks may be set meanwhile, since 1970
        elsewhere.
    token
        Tells this hold from all others; names the folder of its temporary files.
    boot, machine, namespace
        Linux's boot id, machine id and pid namespace; empty where there is none.
    flocked
        Whether it keeps an advisory lock on its lock file: not every file system has them.
    """

    host: str
    pid: int
    process_start: float
    since: str
    token: str = ""
    boot: str = ""
    machine: str = ""
    namespace: str = ""
    flocked: bool = False

    @classmethod
    def this_process(cls, token: str) -> Self:
        """Describe the calling process."""
        _, start = _look_up(os.getpid())
        return cls(
            host=socket.gethostname(),
            pid=os.getpid(),
            process_start=start,
            since=datetime.now(UTC).strftime(TIME_FORMAT),
            token=token,
            boot=_boot_id(),
            machine=_read("/etc/machine-id"),
            namespace=_namespace(),
        )

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read what another process wrote; what a later version may have added is left out.

        Raises
        ------
        ValueError, TypeError
            If it is no record of a process.
        """
        known = {field.name: values[field.name] for field in fields(cls) if field.name in values}
        holder = cls(**known)
        texts = holder.host, holder.since, holder.token, holder.boot, holder.machine, holder.namespace
        if not all(isinstance(text, str) and text.isprintable() and len(text) < 300 for text in texts):
            raise ValueError("a text isn't one")
        if not isinstance(holder.pid, int) or not 0 < holder.pid < 1 << 31:
            raise ValueError("there is no such process id")
        if not isinstance(holder.process_start, int | float) or not isinstance(holder.flocked, bool):
            raise ValueError("a number isn't one")
        # A folder is removed by this name.
        if not re.fullmatch("[0-9a-f]{32}|", holder.token):
            raise ValueError("the token isn't one")
        return holder

    def fate(self, *, is_locked: bool | None) -> Fate:
        """Tell what has become of the process.

        Parameters
        ----------
        is_locked
            Whether anybody keeps an advisory lock on the lock file; None where that can't be told.
        """
        if not self._is_on_this_kernel():
            return Fate.DEAD if self._was_before_reboot() and not is_locked else Fate.UNKNOWN
        otherwise = Fate.UNKNOWN
        if self.namespace == _namespace():
            fate, start = _look_up(self.pid)
            is_same = abs(start - self.process_start) <= (0.01 if self.boot else 2.0)
            if fate is Fate.DEAD or (fate is Fate.ALIVE and is_same):
                return fate
            # A process id is given out again; the start time tells whose it is.
            otherwise = Fate.DEAD if fate is Fate.ALIVE else Fate.UNKNOWN
        return otherwise if is_locked is None else Fate.ALIVE if is_locked else Fate.DEAD

    def _is_on_this_kernel(self) -> bool:
        boot = _boot_id()
        return self.boot == boot if boot else not self.boot and self.host == socket.gethostname()

    def _was_before_reboot(self) -> bool:
        """Tell whether it held the lock on this very machine, before that was booted."""
        # In a container, neither of the two ids has to be its own.
        if not self.machine or {self.namespace, _namespace()} != {INITIAL_NAMESPACE}:
            return False
        if (self.host, self.machine) != (socket.gethostname(), _read("/etc/machine-id")):
            return False
        try:
            since = datetime.strptime(self.since, TIME_FORMAT).replace(tzinfo=UTC).timestamp()
        except ValueError:
            return False
        return since < time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


def _look_up(pid: int) -> tuple[Fate, float]:
    """Return whether a process of this namespace lives, and when it began; UNKNOWN where it is hidden."""
    if not _boot_id():
        return _look_up_portably(pid)
    try:
        # The name, which may have any character, is in brackets; the state and others follow.
        state, *others = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return (Fate.UNKNOWN if _exists(pid) else Fate.DEAD), 0.0
    except OSError:
        return Fate.UNKNOWN, 0.0
    start = int(others[18]) / os.sysconf("SC_CLK_TCK")
    return (Fate.DEAD if state in "ZX" and not _has_threads(pid) else Fate.ALIVE), start


def _has_threads(pid: int) -> bool:
    """Tell whether threads of a process live on after its first, which is a zombie."""
    try:
        return len(os.listdir(f"/proc/{pid}/task")) > 1  # noqa: PTH208
    except OSError:
        return False


def _exists(pid: int) -> bool:
    """Tell whether there is a process, also one that /proc hides from this user."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _look_up_portably(pid: int) -> tuple[Fate, float]:
    try:
        process = psutil.Process(pid)
        start = float(process.create_time())
        return (Fate.DEAD if process.status() == psutil.STATUS_ZOMBIE else Fate.ALIVE), start
    except psutil.NoSuchProcess:
        return Fate.DEAD, 0.0
    except psutil.Error:
        return Fate.UNKNOWN, 0.0


def _boot_id() -> str:
    return _read("/proc/sys/kernel/random/boot_id")


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
