"""Two-pass clustering of molecular dynamics trajectories that don't fit in memory.

`ingest_trajectories` streams trajectories into a Zarr store, `cluster_subset` clusters every N-th frame and
picks leaders, `assign_frames` gives every frame the label of its nearest leader; `run_pipeline` does all
three. Each goes on where it was stopped. `open_results` opens what they left in xarray, `export_coordinates`
writes it as a trajectory.
"""

import ast
from importlib import import_module
from importlib.metadata import version as _version
from pathlib import Path
from typing import Any

# Names are loaded from their rooms on first use, so that `import twopass_store` and the command's help
# don't wait for mdtraj, zarr, xarray and numba. The stub says them once, for type checkers too.
_STUB = ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
_ROOM_OF = {
    each.name: node.module for node in _STUB.body if isinstance(node, ast.ImportFrom) for each in node.names
}

__all__ = sorted(_ROOM_OF)
__version__ = _version("twopass-store")


def __getattr__(name: str) -> Any:
    if name not in _ROOM_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ROOM_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
