"""Processors that this process may use."""

import os

__all__ = ["available_cpus"]


def available_cpus() -> int:
    """Count the processors that this process may use (affinity and SLURM's grant respected)."""
    granted = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    slurm = os.environ.get("SLURM_CPUS_PER_TASK", "")
    return max(1, min(granted, int(slurm))) if slurm.isdigit() else max(1, granted)
