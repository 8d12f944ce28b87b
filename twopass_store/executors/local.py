"""Units of work on threads of this process."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any, Protocol, TypeVar

__all__ = ["Executor", "ThreadExecutor", "in_order", "merged"]

Task = TypeVar("Task")
Result = TypeVar("Result")


class Executor(Protocol):
    """Runs a function over tasks, on `n_threads` at once; knows nothing of what they mean."""

    n_threads: int

    def map_unordered(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """Yield the results as they come, drawing tasks lazily.

        After the first error, of the function or of the iterable, no further task is drawn; what runs is
        waited for and handed out, and then the error is raised.
        """


class ThreadExecutor:
    """Threads of this process, for functions that release the GIL; `queued` tasks are ahead of them."""

    def __init__(self, workers: int, *, queued: int = 0) -> None:
        self.n_threads = workers
        self.in_flight = workers + queued

    def map_unordered(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """Yield the results as they come, drawing tasks lazily."""
        source = iter(tasks)
        running: set[Future[Result]] = set()
        failure: Exception | None = None
        with ThreadPoolExecutor(self.n_threads, thread_name_prefix="twopass") as pool:
            while True:
                try:
                    for task in islice(source, 0 if failure else self.in_flight - len(running)):
                        running.add(pool.submit(function, task))
                except Exception as error:
                    failure = error
                if not running:
                    break
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    try:
                        result = future.result()
                    except Exception as error:
                        failure = failure or error
                    else:
                        yield result
        if failure is not None:
            raise failure


def in_order(
    function: Callable[[Task], Result], tasks: Iterable[Task], *, workers: int
) -> Generator[Result, None, None]:
    """Yield the results in the order of their tasks; threads are one task ahead of whoever takes them."""
    running: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="twopass") as pool:
        for task in tasks:
            running.append(pool.submit(function, task))
            if len(running) > workers:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()


def merged(
    function: Callable[[Task], Generator[Result, None, None]], tasks: Iterable[Task], *, workers: int
) -> Generator[Result, None, None]:
    """Run a generator function over tasks, so many at once; yield what they yield as it comes.

    Each generator is one result ahead of whoever takes them. The first error ends all.
    """
    source = iter(tasks)
    running: dict[Future[Any], Generator[Result, None, None]] = {}
    with ThreadPoolExecutor(workers, thread_name_prefix="twopass-read") as pool:

        def advance(generator: Generator[Result, None, None]) -> None:
            running[pool.submit(next, generator, _END)] = generator

        try:
            for task in islice(source, workers):
                advance(function(task))
            while running:
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    generator = running.pop(future)
                    result = future.result()
                    if result is not _END:
                        advance(generator)
                        yield result
                    else:
                        for task in islice(source, 1):
                            advance(function(task))
        finally:
            for future, generator in running.items():
                wait([future])
                generator.close()


_END = object()
