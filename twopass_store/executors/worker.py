"""What a worker process runs; imports little, since each one pays for it anew."""

import os
import pickle
import threading
import traceback
import warnings
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

__all__ = ["DONE", "FAILED", "RESULT", "WANTED", "serve"]

WANTED, RESULT, DONE, FAILED = range(4)
"""What a worker says: give me a task, here is a result, that was all, that went wrong."""


def serve(channel: int, lifeline: int) -> None:
    """Run a function over tasks as they are handed out, and send what it yields.

    Parameters
    ----------
    channel
        File descriptor of the connection to the driver.
    lifeline
        File descriptor of a pipe whose other end is the driver's alone: it closes when the driver ends,
        however it ends.
    """
    threading.Thread(target=_end_with_the_driver, args=(lifeline,), daemon=True).start()
    # Libraries warn whoever called them, and here is nobody.
    warnings.simplefilter("ignore")
    connection = Connection(channel)
    try:
        function = connection.recv()
        for result in function(_tasks(connection)):
            connection.send((RESULT, result))
        connection.send((DONE, None))
        os._exit(0)  # all is on the disk; taking the libraries down would cost as much as their import
    except (BrokenPipeError, ConnectionResetError, EOFError):
        os._exit(1)  # the driver is gone
    except BaseException as error:
        connection.send((FAILED, _sendable(error)))


def _tasks(connection: "Connection[Any, Any]") -> Iterator[Any]:
    while True:
        connection.send((WANTED, None))
        more, task = connection.recv()
        if not more:
            return
        yield task


def _end_with_the_driver(lifeline: int) -> None:
    os.read(lifeline, 1)
    # At once: without the driver there is no lock, and without the lock nothing may be written.
    os._exit(1)


def _sendable(error: BaseException) -> BaseException:
    error.add_note("".join(traceback.format_exception(error)).rstrip())
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
