"""Trajectory files are read in processes of their own.

A damaged file can crash the C libraries under mdtraj, keep them busy for ever, or make them ask for all
memory. That ends one reader process, and becomes one error that names the file.
"""

import atexit
import os
import pickle
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from pathlib import Path
from types import GeneratorType, SimpleNamespace
from typing import Any, NoReturn, TypeVar

from ..errors import TrajectoryError, TwopassError, WorkerError
from .arrays import mend_readers
from .compressed import unpacked_bytes
from .formats import reading

__all__ = ["READER_BYTES", "contained", "end_readers", "streamed"]

READER_BYTES = 110 << 20  # memory of a reader before it reads (measured: 55 to 75 MiB)
SECONDS = 120
# Time limit of one answer. A block takes a tenth of a second; to skip frames of text is to parse them.
SECONDS_PER_BYTE = 1e-7
SPARE_BYTES = 512 << 20  # address space that the libraries map besides, whatever the file
_CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL)
# Not multiprocessing's own start: that runs the user's script again in each process.
_START = "from twopass_store.trajectory.containment import serve; serve()"

Result = TypeVar("Result")


def streamed(
    function: Callable[..., Iterator[Result]],
    *arguments: Any,
    path: str | Path,
    what: str,
    needs_bytes: int = 0,
) -> Generator[Result, None, None]:
    """Run a generator function of a module in a reader process and yield what it yields.

    Where it raises, crashes, takes too long or needs `needs_bytes` more memory than the libraries, that is a
    `TrajectoryError` that names the file, `path`, and `what` is read of it; if the process is killed from
    outside, a `WorkerError`.
    """
    try:
        reader = _idle.pop()
    except IndexError:
        reader = _Reader()
    try:
        yield from reader.answers(function, arguments, str(path), what, needs_bytes)
    finally:
        # In the midst of a stream, the next answer would be one to this question.
        if reader.is_idle:
            _idle.append(reader)
        else:
            reader.end()


def contained(
    function: Callable[..., Result], *arguments: Any, path: str | Path, what: str, needs_bytes: int = 0
) -> Result:
    """Call a function in a reader process and return its result; as `streamed`."""
    answers: Any = streamed(function, *arguments, path=path, what=what, needs_bytes=needs_bytes)  # type: ignore[arg-type]
    (answer,) = answers
    return answer  # type: ignore[no-any-return]


def end_readers() -> None:
    """End the readers that wait for work, so that what comes next has their memory."""
    while _idle:
        _idle.pop().end()


class _Reader:
    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _START],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            pipesize=1 << 20,
            process_group=0,  # Ctrl-C is for the driver, with which it ends
        )
        self.is_idle = True

    def answers(
        self, function: Callable[..., Any], arguments: tuple[Any, ...], path: str, what: str, needs_bytes: int
    ) -> Iterator[Any]:
        self.is_idle = False
        with reading(path, what):
            seconds = int(SECONDS + SECONDS_PER_BYTE * unpacked_bytes(path))
            # A NetCDF file is mapped, which takes as much address space as it has bytes, and no memory.
            more_bytes = SPARE_BYTES + needs_bytes + Path(path).stat().st_size
        try:
            _send(self._process.stdin, (function, arguments, path, what, seconds, more_bytes))
            while True:
                kind, answer = pickle.load(self._process.stdout)  # type: ignore[arg-type]
                if kind != "item":
                    break
                yield answer
        except (EOFError, OSError, pickle.UnpicklingError):
            self._raise_of_death(path, what, seconds)
        # The HDF5 library keeps what it couldn't close, and reads that in place of a file that was mended.
        self.is_idle = kind == "end" or not _is_hdf5(path)
        if kind == "error":
            raise answer

    def _raise_of_death(self, path: str, what: str, seconds: int) -> NoReturn:
        code = -self._process.wait()
        mend = "Write it again, or copy it again."
        if code in _CRASHES:
            name = signal.Signals(code).name
            raise TrajectoryError(
                f"Cannot read {what} of {path}: the reader crashed on it ({name}), so the file is damaged. "
                f"{mend}"
            )
        if code == signal.SIGALRM:
            raise TrajectoryError(
                f"Cannot read {what} of {path}: the reader hasn't finished in {seconds} s, so the file is "
                f"damaged, or its disk doesn't answer. {mend}"
            )
        how = f"was killed by signal {code}" if code > 0 else f"ended with exit code {-code}"
        raise WorkerError(
            f"The process that read {what} of {path} {how}; if nobody did that, the system may have run out "
            "of memory. What was committed stays: run the same command again to resume."
        )

    def end(self) -> None:
        self._process.kill()
        with suppress(OSError):  # of a question that it didn't hear out
            self._process.communicate()


_idle: list[_Reader] = []
atexit.register(end_readers)
# A fork must not talk to its parent's readers.
os.register_at_fork(after_in_child=_idle.clear)


def _send(pipe: Any, message: object) -> None:
    pickle.dump(message, pipe, protocol=5)  # arrays go from their own memory, uncopied
    pipe.flush()


def serve() -> NoReturn:
    """Answer the questions that come on standard input until the driver closes it or ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the DCD library prints there
    mend_readers()
    with suppress(EOFError, OSError):
        while True:
            function, arguments, path, what, seconds, more_bytes = pickle.load(sys.stdin.buffer)
            _limit_memory(more_bytes)
            message: tuple[str, object] = "end", None
            # An alarm ends the process whatever C code is busy with, even if the driver is gone.
            signal.alarm(seconds)
            try:
                for result in _results(function, arguments, path, what):
                    signal.alarm(0)
                    _send(answers, ("item", result))
                    signal.alarm(seconds)
            except TwopassError as error:
                message = "error", error
            signal.alarm(0)
            _send(answers, message)
    os._exit(0)


def _results(
    function: Callable[..., Any], arguments: tuple[Any, ...], path: str, what: str
) -> Iterator[object]:
    with reading(path, what):
        if _is_hdf5(path):
            _forbid_pickles()
        results = function(*arguments)
        yield from results if isinstance(results, GeneratorType) else (results,)


def _is_hdf5(path: str) -> bool:
    with suppress(OSError), Path(path).open("rb") as file:
        return file.read(4) == b"\x89HDF"
    return False


def _limit_memory(more_bytes: int) -> None:
    """Allow this process so much more address space than it has, where the system can do that."""
    with suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more_bytes, hard))


def _forbid_pickles() -> None:
    """Keep PyTables from unpickling attributes, which it does as soon as it opens their node."""
    import tables.atom
    import tables.attributeset

    def refuse(*_arguments: Any, **_options: Any) -> NoReturn:
        raise pickle.UnpicklingError("objects in files aren't unpickled")

    for module in (tables.atom, tables.attributeset):
        module.pickle = SimpleNamespace(loads=refuse)
