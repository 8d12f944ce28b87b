"""Work on processes of this machine, for functions that hold the GIL."""

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any, TypeVar

from ..errors import WorkerError
from .worker import DONE, FAILED, RESULT, WANTED

__all__ = ["ProcessExecutor"]

Task = TypeVar("Task")
Result = TypeVar("Result")

# Not multiprocessing's own start: that runs the script of whoever called us again in each worker.
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from twopass_store.executors.worker import serve; serve(int(sys.argv[2]), int(sys.argv[3]))"
)


class ProcessExecutor:
    """Worker processes that share the tasks of one function; they end with the driver, however it ends.

    Parameters
    ----------
    workers
        Processes at most; no more than there are tasks are started.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers

    def stream(
        self, function: Callable[[Iterator[Task]], Iterator[Result]], tasks: Iterable[Task]
    ) -> Generator[Result, None, None]:
        """Yield what the function makes of the tasks, as it comes; each worker draws tasks as it wants them.

        Raises
        ------
        WorkerError
            If a worker is killed, or can't start.
        """
        source = iter(tasks)
        payload = pickle.dumps(function)
        workers: dict[Connection[Any, Any], _Worker] = {}
        handed: list[Task] = []
        try:
            for task in source:
                handed.append(task)
                if len(handed) == self._workers:
                    break
            for _ in handed:
                worker = _Worker()
                workers[worker.connection] = worker
            for worker in workers.values():
                worker.send(payload)
            while workers:
                for connection in wait(list(workers)):
                    assert isinstance(connection, Connection)
                    worker = workers[connection]
                    kind, content = worker.receive()
                    if kind == WANTED:
                        worker.hand_out(handed.pop(0) if handed else next(source, _END))
                    elif kind == RESULT:
                        yield content
                    elif kind == DONE:
                        workers.pop(connection).join()
                    else:
                        yield from _received(workers)
                        raise content
        finally:
            for worker in workers.values():
                worker.kill()


_END: Any = object()


class _Worker:
    def __init__(self) -> None:
        self._task: object = None
        self.connection, theirs = Pipe()
        watched, self._lifeline = os.pipe()
        inherited = (theirs.fileno(), watched)
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, json.dumps(sys.path), *map(str, inherited)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # C code of readers prints there
            pass_fds=inherited,
            process_group=0,  # Ctrl-C is for the driver, with which it ends
        )
        theirs.close()
        os.close(watched)

    def send(self, message: bytes) -> None:
        # Where it died meanwhile, receive() says so.
        with suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send_bytes(message)

    def receive(self) -> tuple[int, Any]:
        try:
            message: tuple[int, Any] = self.connection.recv()
        except (EOFError, ConnectionResetError):
            code = self._process.wait()
            how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
            error = WorkerError(
                f"Worker process {self._process.pid} {how}; if nobody did that, the system may have run "
                "out of memory. What was committed stays: run the same command again to resume, perhaps "
                "with fewer --workers."
            )
            error.task = self._task
            return FAILED, error
        return message

    def hand_out(self, task: object) -> None:
        self._task = None if task is _END else task
        self.send(pickle.dumps((False, None) if task is _END else (True, task)))

    def join(self) -> None:
        self._close()
        self._process.wait()

    def kill(self) -> None:
        # What it writes it writes whole or not at all, so that there is nothing to wait for.
        self._process.kill()
        self.join()

    def _close(self) -> None:
        self.connection.close()
        os.close(self._lifeline)


def _received(workers: "dict[Connection[Any, Any], _Worker]") -> Iterator[Any]:
    """Yield the results that have come already."""
    for worker in workers.values():
        with suppress(EOFError, OSError):
            while worker.connection.poll():
                kind, content = worker.connection.recv()
                if kind == RESULT:
                    yield content
