"""Units of work on a `dask.distributed` cluster (extra ``[dask]``)."""

import gc
import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from distributed import Client, wait
from distributed.comm import CommClosedError
from distributed.scheduler import KilledWorker

from ..errors import ConfigError, WorkerError

__all__ = ["DaskExecutor"]

CONNECT_SECONDS = 10.0
"""How long to wait for the scheduler's answer."""

POLL_SECONDS = 2.0
"""How often to look whether there are workers, and how many."""

PATIENCE_SECONDS = 60.0
"""How long to wait for a worker when the last one has gone: a nanny, or the cluster, may start another."""

Task = TypeVar("Task")
Result = TypeVar("Result")


class DaskExecutor:
    """The workers of a running cluster, which must see the store under the same path.

    Parameters
    ----------
    address
        Of the scheduler, such as ``tcp://10.0.0.1:8786``, or the path of its scheduler file, a name that ends
        in ``.json``.
    probe
        Called on each worker; says why the worker can't be used, or nothing.
    note
        Takes what the user should see meanwhile.

    Raises
    ------
    ConfigError
        If the scheduler doesn't answer, has no worker, or one that can't be used.
    """

    def __init__(self, address: str, probe: Callable[[], str], note: Callable[[str], None]) -> None:
        for name in ("distributed", *logging.root.manager.loggerDict):
            if name.partition(".")[0] == "distributed":
                logging.getLogger(name).setLevel(logging.CRITICAL)  # errors are told here, in one line
        self._address = address
        self._note = note
        self._paused = False
        self._client = _connected(address)
        try:
            self._look()
            if self.n_threads == 0:
                raise ConfigError(
                    f"The Dask scheduler at {address} has no workers. Start some with "
                    f"`dask worker {address}`."
                )
            for worker, answer in sorted(self._client.run(probe, on_error="return").items()):
                if isinstance(answer, CommClosedError):
                    continue  # it has just ended
                if isinstance(answer, BaseException):
                    answer = f"it can't run this version of twopass-store ({answer}). Install it there."
                if answer:
                    raise ConfigError(f"The Dask worker {worker} can't be used: {answer}")
        except BaseException as error:
            self.close()
            if isinstance(error, OSError | CancelledError):
                raise self._lost() from error
            raise

    def map_unordered(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """Yield the results as they come, drawing tasks lazily.

        Tasks must be idempotent: those of a worker that goes are done again by another.

        Raises
        ------
        WorkerError
            If the scheduler is lost, no worker is left, or a task ends one worker after the other.
        """
        source = iter(tasks)
        running: set[Any] = set()
        failure: Exception | None = None
        looked, deserted = time.monotonic(), 0.0
        while True:
            try:
                if failure is None:
                    for task in islice(source, max(0, max(1, 2 * self.n_threads) - len(running))):
                        # Pure functions with equal arguments would be merged into one run.
                        running.add(self._client.submit(function, task, pure=False))
                if not running:
                    break
                done: set[Any] = set()
                with suppress(TimeoutError), self._client.as_current():
                    done, running = wait(running, timeout=POLL_SECONDS, return_when="FIRST_COMPLETED")
                if time.monotonic() - looked > POLL_SECONDS:
                    looked = time.monotonic()
                    self._look()
                    deserted = self._patience(deserted)
                for future in done:
                    try:
                        result = future.result()
                    except KilledWorker as error:
                        failure = failure or _killed(error)
                    except CancelledError:
                        raise
                    except Exception as error:
                        failure = failure or error
                    else:
                        yield result
            except (CancelledError, OSError) as error:
                if isinstance(error, OSError) and self._client.status == "running":
                    raise
                raise self._lost() from error
        if failure is not None:
            raise failure

    def _look(self) -> None:
        workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        self.n_threads = sum(each["nthreads"] for each in workers)
        were_paused, self._paused = self._paused, {each["status"] for each in workers} == {"paused"}
        if self._paused and not were_paused:
            self._note(
                f"all Dask workers at {self._address} have paused, since their memory is nearly full; if it "
                "stays so, give them more (--memory-limit), or fewer threads"
            )

    def _patience(self, deserted: float) -> float:
        """Return since when there is no worker, 0 while there is one."""
        if self.n_threads:
            return 0.0
        if not deserted:
            self._note(
                f"the Dask scheduler at {self._address} has no worker any more; waiting for one for "
                f"{PATIENCE_SECONDS:g} s (start one with `dask worker {self._address}`)"
            )
            return time.monotonic()
        if time.monotonic() - deserted > PATIENCE_SECONDS:
            raise WorkerError(
                f"No Dask worker is left at {self._address}: all have ended, perhaps since their memory was "
                f"full or their time was up. {_GOES_ON}"
            )
        return deserted

    def _lost(self) -> WorkerError:
        return WorkerError(f"The Dask scheduler at {self._address} doesn't answer any more. {_GOES_ON}")

    def close(self) -> None:
        """Leave the cluster; it goes on running."""
        self._client.close()


_GOES_ON = (
    "What was committed stays. Start Dask anew and run the same command again, or without --scheduler to go "
    "on with this machine."
)


def _connected(address: str) -> Any:
    try:
        # Dask would wait for a missing file for ever.
        at = json.loads(Path(address).read_text())["address"] if address.endswith(".json") else address
        return Client(at, set_as_default=False, timeout=CONNECT_SECONDS)
    except KeyError:
        reason = "the file names no address"
    except Exception as error:
        reason = str(error)
    gc.collect()  # a client that is left half made would wait for itself at the end of the process
    raise ConfigError(
        f"No Dask scheduler answers at {address}: {reason}. Start one with `dask scheduler`, "
        "or leave --scheduler out to run on this machine."
    )


def _killed(error: KilledWorker) -> WorkerError:
    return WorkerError(
        f"{error.allowed_failures + 1} Dask workers ended one after the other while they did the same unit, "
        f"the last at {getattr(error.last_worker, 'address', error.last_worker)}: perhaps their memory was "
        f"full. Give them more, or fewer threads. {_GOES_ON}"
    )
