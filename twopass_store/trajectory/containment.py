"""HDF5 and NetCDF-4 files are read by a process of their own.

One flipped byte in some thirty of their metadata crashes the HDF5 library, or keeps it busy for ever. What
happens to that process becomes one error that names the file. What PyTables would unpickle there, which is to
run what a file says, stays bytes.
"""

import atexit
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn, TypeVar

from ..errors import TrajectoryError, TwopassError, WorkerError
from .formats import reading

__all__ = ["READER_BYTES", "contained", "end_reader", "is_fragile", "reader_serial"]

READER_BYTES = 160 << 20
"""Memory of the process, before it reads (measured: 100 to 130 MiB)."""

# A block takes a tenth of a second, from a disk far away perhaps ten.
SECONDS = 120
SECONDS_PER_BYTE = 1e-7
# What the libraries map besides, whatever the file.
SPARE_BYTES = 512 << 20

_CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL)
_HDF5_MAGIC = b"\x89HDF"
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from twopass_store.trajectory.containment import serve; serve(int(sys.argv[2]))"
)

Result = TypeVar("Result")


def is_fragile(path: str | Path) -> bool:
    """Whether a file is one that only the HDF5 library can read."""
    suffix = Path(path).suffix.lower()
    if suffix in (".h5", ".hdf5", ".lh5"):
        return True
    if suffix not in (".nc", ".netcdf", ".ncdf"):
        return False
    with reading(path, "the bytes"), Path(path).open("rb") as file:
        return file.read(4) == _HDF5_MAGIC


def contained(
    function: Callable[..., Result], *arguments: Any, path: str | Path, what: str, needs_bytes: int = 0
) -> Result:
    """Call a function in the reader's process.

    Parameters
    ----------
    function
        One that both processes can import.
    arguments
        What it takes.
    path, what
        The file that it reads, and what of it, for messages.
    needs_bytes
        What it may take of memory, besides what the libraries do.

    Raises
    ------
    TrajectoryError
        What the function raised; or that the reader crashed, found no end, or needed more memory.
    WorkerError
        If the process was killed from outside, or can't be started.
    """
    with _lock:
        return _reader().call(function, arguments, str(path), what, needs_bytes)  # type: ignore[no-any-return]


def end_reader() -> None:
    """End the reader's process, if there is one; the next call starts another."""
    global _current
    with _lock:
        if _current is not None and _current.owner == os.getpid():
            _current.end()
        _current = None


def reader_serial() -> int:
    """Which reader's process is the present one; what an earlier one had open is gone. 0 for none."""
    return 0 if _current is None or _current.owner != os.getpid() else _current.serial


class _Reader:
    def __init__(self) -> None:
        self.owner = os.getpid()
        self.serial = next(_serials)
        self._connection, theirs = Pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, json.dumps(sys.path), str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            process_group=0,  # Ctrl-C is for the driver, with which it ends
        )
        theirs.close()

    def call(
        self, function: Callable[..., Any], arguments: tuple[Any, ...], path: str, what: str, needs_bytes: int
    ) -> Any:
        seconds = int(SECONDS + SECONDS_PER_BYTE * Path(path).stat().st_size)
        try:
            self._connection.send((function, arguments, path, what, seconds, SPARE_BYTES + needs_bytes))
            is_result, answer = self._connection.recv()
        except (EOFError, OSError):
            _forget(self)
            self._raise_of_death(path, what, seconds)
        except BaseException:
            # Interrupted between question and answer: the next answer would be taken for another's.
            _forget(self)
            self.end()
            raise
        if is_result:
            return answer
        # The library keeps what it couldn't close, and reads that in place of the file when it is mended.
        _forget(self)
        self.end()
        if isinstance(answer, MemoryError):
            raise TrajectoryError(
                f"Cannot read {what} of {path}: it would take more memory than any sound file of its size. "
                "It is damaged; write it again, or copy it again."
            )
        raise answer

    def _raise_of_death(self, path: str, what: str, seconds: int) -> NoReturn:
        code = -self._process.wait()
        self._connection.close()
        if code in _CRASHES:
            name = signal.Signals(code).name
            raise TrajectoryError(
                f"Cannot read {what} of {path}: the reader crashed on it ({name}), so the file is damaged. "
                "Write it again, or copy it again."
            )
        if code == signal.SIGALRM:
            raise TrajectoryError(
                f"Cannot read {what} of {path}: the reader came to no end in {seconds} s, so the file is "
                "damaged, or its disk doesn't answer. Write it again, or copy it again."
            )
        how = f"was killed by signal {code}" if code > 0 else f"ended with exit code {-code}"
        raise WorkerError(
            f"The process that read {what} of {path} {how}; if nobody did that, the system may have run out "
            "of memory. What was committed stays: run the same command again to resume."
        )

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._connection.close()


_lock = threading.RLock()
_serials = count(1)
_current: _Reader | None = None


def _reader() -> _Reader:
    global _current
    # A fork has its parent's, which it must not speak to.
    if _current is None or _current.owner != os.getpid():
        _current = _Reader()
    return _current


def _forget(reader: _Reader) -> None:
    global _current
    if _current is reader:
        _current = None


atexit.register(end_reader)


def serve(channel: int) -> NoReturn:
    """Answer the questions of the process at the other end of a connection, as long as it is there."""
    _forbid_pickles()
    connection = Connection(channel)
    with suppress(EOFError, OSError):
        while True:
            function, arguments, path, what, seconds, needs_bytes = connection.recv()
            _limit_memory(needs_bytes)
            # Ends the process, whatever C code is busy with, and whoever has left meanwhile.
            signal.alarm(seconds)
            try:
                with reading(path, what):
                    answer = True, function(*arguments)
            except TwopassError as error:
                answer = False, error.__cause__ if isinstance(error.__cause__, MemoryError) else error
            signal.alarm(0)
            connection.send(answer)
    os._exit(0)


def _limit_memory(more_bytes: int) -> None:
    """Allow this process so much more address space than it has, where the system says how much that is."""
    with suppress(OSError, ValueError, ImportError):
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more_bytes, hard))


class _NoPickles(ModuleType):
    """Takes the place of `pickle` in PyTables: writes as ever, and reads nothing."""

    def __getattr__(self, name: str) -> Any:
        return getattr(pickle, name)

    @staticmethod
    def loads(*_arguments: Any, **_options: Any) -> NoReturn:
        raise pickle.UnpicklingError("objects in files aren't unpickled")


def _forbid_pickles() -> None:
    # PyTables unpickles attributes that look like pickles as soon as their node is opened.
    import tables.atom
    import tables.attributeset

    for module in (tables.atom, tables.attributeset):
        module.pickle = _NoPickles("pickle")
