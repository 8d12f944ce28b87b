"""Stores of many chunks from few frames: the lengths of chunks are made small for a while."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

__all__ = ["small_chunks"]

_ROOMS = ("assign", "cluster", "export", "ingest", "pipeline", "report", "schema", "store")


@contextmanager
def small_chunks(*, frames: int = 64, pairs: int = 256, position_bytes: int = 8192) -> Iterator[None]:
    """Make chunks along ``frame`` and ``pair`` so long, and of positions so large, while the block runs.

    Only in this process, and those forked from it.
    """
    small = {"FRAME_CHUNK": frames, "PAIR_CHUNK": pairs, "POSITION_CHUNK_BYTES": position_bytes}
    for room in _ROOMS:
        import_module(f"twopass_store.{room}")
    for module in ("assign.unit", "assign.margin", "cluster.plan", "cluster.steps", "cluster.scan"):
        import_module(f"twopass_store.{module}")
    places = [
        (module, name)
        for module in list(sys.modules.values())
        if getattr(module, "__name__", "").startswith("twopass_store")
        for name in small
        if name in vars(module)
    ]
    before = [(module, name, getattr(module, name)) for module, name in places]
    try:
        for module, name in places:
            setattr(module, name, small[name])
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)
