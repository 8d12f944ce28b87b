"""Units of work on a `dask.distributed` cluster (extra ``[dask]``)."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

from distributed import Client, as_completed

from ..errors import ConfigError

__all__ = ["DaskExecutor"]

CONNECT_SECONDS = 10.0
"""How long to wait for the scheduler's answer."""

Task = TypeVar("Task")
Result = TypeVar("Result")


class DaskExecutor:
    """The workers of a running cluster, which must see the store under the same path.

    The address is that of the scheduler, such as ``tcp://10.0.0.1:8786``, or the path of its scheduler file,
    a name that ends in ``.json``. Raises a `ConfigError` if it doesn't answer, or has no worker.
    """

    def __init__(self, address: str) -> None:
        where = {"scheduler_file": address} if address.endswith(".json") else {"address": address}
        try:
            self._client: Any = Client(**where, set_as_default=False, timeout=CONNECT_SECONDS)
        except (OSError, TimeoutError, ValueError) as error:
            raise ConfigError(
                f"No Dask scheduler answers at {address}: {error}. Start one with `dask scheduler`, "
                "or leave --scheduler out to run on this machine."
            ) from error
        self._workers = int(sum(self._client.nthreads().values()))
        if self._workers == 0:
            self._client.close()
            raise ConfigError(
                f"The Dask scheduler at {address} has no workers. Start some with `dask worker {address}`."
            )

    def map_unordered(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """Yield the results as they come, drawing tasks lazily."""
        source = iter(tasks)

        def submitted(n_tasks: int) -> list[Any]:
            # Pure functions with equal arguments would be merged into one run, and its result kept.
            return [self._client.submit(function, task, pure=False) for task in islice(source, n_tasks)]

        failure: Exception | None = None
        running = as_completed(submitted(2 * self._workers), loop=self._client.loop)
        for future in running:
            try:
                result = future.result()
            except Exception as error:
                failure = failure or error
                continue
            yield result
            if failure is None:
                running.update(submitted(1))
        if failure is not None:
            raise failure

    def close(self) -> None:
        """Leave the cluster; it goes on running."""
        self._client.close()
