"""Where units of work run, threads or a Dask cluster, and what they may use."""

from collections.abc import Callable

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


def make_executor(
    *, workers: int, scheduler: str | None, probe: Callable[[], str], note: Callable[[str], None]
) -> Executor:
    """Return threads of this process, or the workers of a `dask.distributed` scheduler at an address.

    `probe` says on each worker of a scheduler why it can't be used, or nothing; `note` takes what the user
    should see. Raises a `ConfigError` if the scheduler or a worker can't be used.
    """
    if scheduler is None:
        return ThreadExecutor(workers)
    try:
        from .dask import DaskExecutor
    except ImportError as error:
        raise ConfigError(
            "A scheduler was given, but dask.distributed is not installed. "
            "Install it with: pip install dask distributed"
        ) from error
    return DaskExecutor(scheduler, probe, note)
