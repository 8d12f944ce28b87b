"""Units of work on threads of this process."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Protocol, TypeVar

__all__ = ["Executor", "ThreadExecutor"]

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
