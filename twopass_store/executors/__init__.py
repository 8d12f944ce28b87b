"""Where units of work run, threads or a Dask cluster, and what they may use."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from ..errors import ConfigError
from .budget import (
    PROCESS_BYTES,
    affordable_workers,
    available_cpus,
    available_memory,
    memory_budget,
    require_room,
    require_within,
)
from .local import Executor, ThreadExecutor, in_order, merged

__all__ = [
    "PROCESS_BYTES",
    "ThreadExecutor",
    "affordable_workers",
    "available_cpus",
    "available_memory",
    "in_order",
    "make_executor",
    "memory_budget",
    "merged",
    "require_room",
    "require_within",
]


@contextmanager
def make_executor(
    *, workers: int, scheduler: str | None, probe: Callable[[], str], note: Callable[[str], None]
) -> Iterator[Executor]:
    """Yield threads of this process, or the workers of a `dask.distributed` scheduler at an address.

    `probe` says on each worker of a scheduler why it can't be used, or nothing; `note` takes what the user
    should see. Raises a `ConfigError` if the scheduler or a worker can't be used.
    """
    if scheduler is None:
        yield ThreadExecutor(workers)
        return
    try:
        from .dask import DaskExecutor
    except ImportError as error:
        raise ConfigError(
            "A scheduler was given, but dask.distributed is not installed. "
            "Install it with: pip install dask distributed"
        ) from error
    with closing(DaskExecutor(scheduler, probe, note)) as executor:
        yield executor
