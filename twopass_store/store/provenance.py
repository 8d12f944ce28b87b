"""What made a result: versions, processor, command."""

import platform
import shlex
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..progress import Progress

__all__ = ["identity", "note_versions", "provenance"]

PACKAGES = ("twopass-store", "mdtraj", "numpy", "scipy", "fastcluster", "numba", "zarr", "numcodecs")


def provenance(*, also: Iterable[str] = ()) -> dict[str, Any]:
    """Describe this process: versions of what computes, the processor, the command, the time (UTC).

    Packages that only some runs need are named in `also`.
    """
    names = dict.fromkeys((*PACKAGES, *also))
    return {
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in names}},
        "cpu": _cpu(),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


@cache
def identity() -> dict[str, str]:
    """Return what must be the same wherever units of one result are done: versions, and our own sources.

    The processor isn't in it: where it differs, the last bit of a distance may.
    """
    digest, package = blake2b(digest_size=8), Path(__file__).parents[1]
    for source in sorted(package.rglob("*.py")):
        digest.update(source.read_bytes())
    return {**{name: _version(name) for name in (*PACKAGES, "MDAnalysis")}, "sources": digest.hexdigest()}


def note_versions(stored: Mapping[str, Any], progress: Progress) -> None:
    """Note what computes differently from when `stored` was described, such as ``numpy 2.1 → 2.2``.

    Bytes are promised to be equal on one processor type and one set of versions.
    """
    before = stored.get("versions", {})
    present = provenance(also=before.keys() - {"python"})
    now = present["versions"]
    changed = [f"{name} {before.get(name)} → {now[name]}" for name in now if before.get(name) != now[name]]
    if stored.get("cpu") != present["cpu"]:
        changed.append(f"processor {stored.get('cpu')} → {present['cpu']}")
    if changed:
        progress.note(f"resuming with other versions than it was begun with: {', '.join(changed)}")


@cache
def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"


@cache
def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
