"""Units of work on threads of this process."""

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Protocol, TypeVar

__all__ = [
    "Executor",
    "InProcess",
    "StreamExecutor",
    "ThreadExecutor",
]

Task = TypeVar("Task")
Result = TypeVar("Result")


class Executor(Protocol):
    """Runs a function over tasks; knows nothing of what they mean."""

    @property
    def in_flight(self) -> int:
        """Tasks that are drawn before their results are handed out, at most."""

    def map_unordered(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """Yield the results as they come, drawing tasks lazily.

        After the first error, of the function or of the iterable, no further task is drawn; what runs is
        waited for and handed out, and then the error is raised.
        """

    def close(self) -> None:
        """Let go of what the executor holds."""


class StreamExecutor(Protocol):
    """Runs a function that makes a stream of results of a stream of tasks; knows nothing of what they mean.

    The function draws a task when it is ready for it, so that it can work on one while it finishes the one
    before, and keep what it has opened.
    """

    def stream(
        self, function: Callable[[Iterator[Task]], Iterator[Result]], tasks: Iterable[Task]
    ) -> Generator[Result, None, None]:
        """Yield the results as they come. To be closed where it isn't exhausted."""


class InProcess:
    """The function itself, here and now."""

    def stream(
        self, function: Callable[[Iterator[Task]], Iterator[Result]], tasks: Iterable[Task]
    ) -> Generator[Result, None, None]:
        """Yield the results as they come."""
        yield from function(iter(tasks))


class ThreadExecutor:
    """Threads of this process, for functions that release the GIL.

    Parameters
    ----------
    workers
        Threads that run tasks.
    queued
        Tasks drawn ahead of the threads: 1 where the iterable itself works (reads a file), so that it
        works while the threads do.
    """

    def __init__(self, workers: int, *, queued: int = 0) -> None:
        self._workers = workers
        self._queued = queued

    @property
    def in_flight(self) -> int:
        """Tasks that are drawn before their results are handed out, at most."""
        return self._workers + self._queued

    def map_unordered(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """Yield the results as they come, drawing tasks lazily."""
        source = iter(tasks)
        running: set[Future[Result]] = set()
        failure: Exception | None = None
        exhausted = False
        with ThreadPoolExecutor(self._workers, thread_name_prefix="twopass") as pool:
            while running or not exhausted:
                if not exhausted:
                    try:
                        running.add(pool.submit(function, next(source)))
                    except StopIteration:
                        exhausted = True
                    except Exception as error:
                        exhausted, failure = True, failure or error
                full = exhausted or len(running) >= self.in_flight
                done, running = wait(running, None if full else 0, return_when=FIRST_COMPLETED)
                for future in done:
                    try:
                        result = future.result()
                    except Exception as error:
                        exhausted, failure = True, failure or error
                    else:
                        yield result
        if failure is not None:
            raise failure

    def close(self) -> None:
        """Nothing is held."""
