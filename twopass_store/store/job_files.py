"""Jobs on disk: what was planned, and receipts of what was done.

They lie in the folder of the locks that are kept for the job.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..journal import Kept, digest, kept_for
from ..partition import parse_ranges
from .places import lock_folder

__all__ = ["JOB", "RECEIPTS", "Job", "open_jobs", "sealed"]

JOB = "job.json"
RECEIPTS = "receipts.*.json"


@dataclass(frozen=True, slots=True)
class Job:
    """A job that was planned and not committed yet."""

    kept: Kept
    folder: Path  # of its files, which moves while it is closed
    described: Mapping[str, Any]

    def units(self) -> set[tuple[str, int]]:
        """Return all units: names of journals, and numbers of chunks."""
        steps = self.described["steps"]
        return {(step["stage"], chunk) for step in steps for chunk in parse_ranges(step["chunks"])}

    def done(self) -> set[tuple[str, int]]:
        """Return those of which there is a receipt."""
        found = [part for receipt in self.receipts().values() for part in receipt["units"].items()]
        return {(step, chunk) for step, chunks in found for chunk in parse_ranges(chunks)}

    def receipts(self) -> dict[Path, dict[str, Any]]:
        """Read all receipts, by file; what is damaged or of another job counts as missing."""
        found = ((file, _unsealed(file)) for file in sorted(self.folder.glob(RECEIPTS)))
        return {file: said for file, said in found if said and said.get("job") == self.kept.staging.name}

    def next_commands(self, path: str | os.PathLike[str]) -> list[str]:
        """Return what goes on with it; `path` is how the store is called."""
        verbs = ["work", "commit"] if self.units() - self.done() else ["commit"]
        return [self.kept.command(verb, path) for verb in verbs]


def open_jobs(path: Path, stage: str | None = None) -> list[Job]:
    """List the jobs of a store, or those of a stage."""
    return [
        Job(kept, folder, described)
        for kept in kept_for(lock_folder(path))
        for folder in (kept.staging, kept.closed)
        if stage in (None, kept.job) and (described := _unsealed(folder / JOB)) is not None
    ]


def sealed(values: Mapping[str, Any]) -> bytes:
    """Return a file's content that tells if it was damaged."""
    data = json.dumps(values).encode()
    return b"%016x\n%b" % (digest(data), data)


def _unsealed(file: Path) -> dict[str, Any] | None:
    """Read what `sealed` made; None if it is gone or damaged."""
    try:
        seal, _, data = file.read_bytes().partition(b"\n")
        return dict(json.loads(data)) if int(seal, 16) == digest(data) else None
    except (OSError, ValueError):
        return None
