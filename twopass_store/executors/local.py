"""Units of work on threads of this process."""

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Protocol, TypeVar

__all__ = [
    "DroppedError",
    "Executor",
    "InProcess",
    "StreamExecutor",
    "ThreadExecutor",
    "abandonable",
    "drop_check",
]

Task = TypeVar("Task")
Result = TypeVar("Result")


_task = threading.local()


class DroppedError(Exception):
    """The result of a task is for nobody any more."""


def drop_check() -> Callable[[], None]:
    """Return a function that raises `DroppedError` once the result of this thread's task is for nobody.

    For long tasks: whoever is interrupted waits for those that run. The function may be called in any thread.
    """
    dropped: threading.Event | None = getattr(_task, "dropped", None)

    def check() -> None:
        if dropped is not None and dropped.is_set():
            raise DroppedError

    return check


def abandonable(function: Callable[[], Result]) -> Result:
    """Call a function that is one long piece of C code so that an interrupt needn't wait for it.

    Python hears an interrupt when C code returns. Here it is left alone on a thread of its own, which goes on
    for nobody; the function must not write anything.
    """
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="twopass-long", daemon=True).start()
    return future.result()


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


@contextmanager
def _set_where_left(event: threading.Event) -> Iterator[None]:
    """Set the event where the block is left by an interrupt, or by whoever wants no more results."""
    try:
        yield
    except BaseException:
        event.set()
        raise


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
        dropped = threading.Event()

        def enter() -> None:
            _task.dropped = dropped

        with (
            ThreadPoolExecutor(self._workers, thread_name_prefix="twopass", initializer=enter) as pool,
            _set_where_left(dropped),
        ):
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
