"""Functions over streams of tasks that worker processes of the tests import."""

import os
import signal
import sys
import time
from collections.abc import Iterator


def squares(tasks: Iterator[int]) -> Iterator[int]:
    """Two results for each task."""
    for task in tasks:
        yield task * task
        yield -task * task


def warn_and_print(tasks: Iterator[int]) -> Iterator[str]:
    import warnings

    for task in tasks:
        warnings.warn("not for the user", stacklevel=1)
        print("nor this")
        yield sys.modules["__main__"].__name__ + str(task)


def pids(tasks: Iterator[float]) -> Iterator[int]:
    """The worker's process id, then a nap as long as the task says."""
    for task in tasks:
        yield os.getpid()
        time.sleep(task)


def fail_at_three(tasks: Iterator[int]) -> Iterator[int]:
    for task in tasks:
        if task == 3:
            raise ValueError("three")
        yield task


def die_at_three(tasks: Iterator[int]) -> Iterator[int]:
    for task in tasks:
        if task == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        yield task


class UnpicklableError(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__("of two")


def fail_unpicklably(tasks: Iterator[int]) -> Iterator[int]:
    for task in tasks:
        yield task
        raise UnpicklableError(1, 2)
