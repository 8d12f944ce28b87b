"""Where units of work run, threads or a Dask cluster, and what they may use."""

from ..errors import ConfigError
from .budget import PROCESS_BYTES, available_memory, memory_budget, require_within
from .local import (
    Executor,
    ThreadExecutor,
    merged,
)
from .resources import available_cpus

__all__ = [
    "PROCESS_BYTES",
    "Executor",
    "ThreadExecutor",
    "available_cpus",
    "available_memory",
    "make_executor",
    "memory_budget",
    "merged",
    "require_within",
]


def make_executor(*, workers: int, scheduler: str | None = None) -> Executor:
    """Return the executor that a user asked for.

    Parameters
    ----------
    workers
        Threads of this process.
    scheduler
        Address of a `dask.distributed` scheduler to use instead.

    Raises
    ------
    ConfigError
        If the scheduler can't be used.
    """
    if scheduler is None:
        return ThreadExecutor(workers)
    try:
        from .dask import DaskExecutor
    except ImportError as error:
        raise ConfigError(
            "A scheduler was given, but dask.distributed is not installed. "
            "Install it with: pip install 'twopass-store[dask]'"
        ) from error
    return DaskExecutor(scheduler)
