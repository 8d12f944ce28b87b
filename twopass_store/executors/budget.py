"""Memory as a contract: a plan says what it needs, and is refused before it starts if that is too much."""

import os
from collections.abc import Iterator
from pathlib import Path

import psutil

from ..errors import MemoryBudgetError
from ..progress import Progress

__all__ = [
    "PROCESS_BYTES",
    "affordable_workers",
    "available_cpus",
    "available_memory",
    "memory_budget",
    "require_room",
    "require_within",
]

PROCESS_BYTES = 300 << 20
"""The interpreter and the libraries with their buffers, before any data (measured: 190 to 270 MiB)."""


LARGE_TOPOLOGY_BYTES = 64 << 20
"""A topology that takes more isn't read to find out that the plan needs more than it may use."""


def memory_budget(asked: int | None) -> int:
    """Return the bytes that a stage may use: what was asked, or half of what is available."""
    return available_memory() // 2 if asked is None else asked


def affordable_workers(
    asked: int,
    budget: int,
    *,
    shared: int,
    per_worker: int,
    stage: str,
    mend: str,
    progress: Progress,
) -> int:
    """Return how many of the workers asked for the memory has room for, and note if that is fewer.

    `shared` and `per_worker` are bounds of what the stage needs, in bytes: all together, with
    `PROCESS_BYTES`, and each worker beside that. Raises a `MemoryBudgetError` if there is no room for one.
    """
    require_within(budget, shared + per_worker, stage=stage, mend=mend)
    affordable = min(asked, (budget - shared) // per_worker)
    if affordable < asked:
        progress.note(
            f"{affordable} of {asked} workers, as {budget >> 20} MiB of memory have no room for more"
        )
    return affordable


def require_within(budget: int, projected: int, *, stage: str, mend: str) -> None:
    """Refuse a plan that needs more bytes than its budget, both with `PROCESS_BYTES`.

    `mend` is what a user can change, as a sentence. Raises a `MemoryBudgetError`.
    """
    if projected > budget:
        raise MemoryBudgetError(
            f"{stage} needs {_mebibytes(projected)} of memory and may use {_mebibytes(budget)}. "
            f"Give it --memory {_mebibytes(projected)}, if the machine has that. {mend}"
        )


def require_room(budget: int, projected: int, *, stage: str, mend: str) -> None:
    """Refuse to read a large topology that needs more than the budget, as `require_within`.

    A small one is read, so that the plan can name all that it needs.
    """
    if projected > PROCESS_BYTES + LARGE_TOPOLOGY_BYTES:
        require_within(budget, projected, stage=stage, mend=mend)


def _mebibytes(size: int) -> str:
    return f"{-(-size // (1 << 20))}MiB"


def available_memory() -> int:
    """Return the bytes that this process can still have.

    The least of: what the machine has free, what the control groups (v1 and v2) leave, and what SLURM
    granted.
    """
    machine = int(psutil.virtual_memory().available)
    return max(0, min(machine, *_cgroup_limits(), *_slurm_limits()))


def _slurm_limits() -> Iterator[int]:
    # Both are in MiB, unset outside a job, and 0 where a job has the whole node.
    per_node = os.environ.get("SLURM_MEM_PER_NODE", "")
    if per_node.isdigit() and int(per_node):
        yield int(per_node) << 20
    per_cpu = os.environ.get("SLURM_MEM_PER_CPU", "")
    cpus = os.environ.get("SLURM_CPUS_ON_NODE", "1")
    if per_cpu.isdigit() and cpus.isdigit():
        yield (int(per_cpu) << 20) * int(cpus)


def _cgroup_limits(
    root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")
) -> Iterator[int]:
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controllers == "":
            base, limit, usage = root, "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            base, limit, usage = root / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        # The limit of any ancestor holds too. Inside a container the own path may not be mounted.
        folder = base / name.lstrip("/")
        for level in (folder, *folder.parents):
            if not level.is_relative_to(base):
                break
            try:
                granted = int((level / limit).read_text())
                yield granted - int((level / usage).read_text())
            except (OSError, ValueError):
                continue


def available_cpus() -> int:
    """Count the processors that this process may use (affinity and SLURM's grant respected)."""
    granted = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    slurm = os.environ.get("SLURM_CPUS_PER_TASK", "")
    return max(1, min(granted, int(slurm))) if slurm.isdigit() else max(1, granted)
