"""Where units of work run, threads, processes or a Dask cluster, and what they may use."""

from ..errors import ConfigError
from .budget import PROCESS_BYTES, available_memory, memory_budget, require_within
from .local import (
    Executor,
    InProcess,
    StreamExecutor,
    ThreadExecutor,
)
from .resources import available_cpus

__all__ = [
    "PROCESS_BYTES",
    "Executor",
    "StreamExecutor",
    "ThreadExecutor",
    "available_cpus",
    "available_memory",
    "make_executor",
    "make_stream_executor",
    "memory_budget",
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


def make_stream_executor(*, workers: int) -> StreamExecutor:
    """Return what runs a function over a stream of tasks: so many processes, or this one where it is 1."""
    if workers == 1:
        return InProcess()
    from .processes import ProcessExecutor

    return ProcessExecutor(workers)
