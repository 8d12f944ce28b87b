"""Stores of many chunks from few frames: the lengths of chunks are made small for a while."""

import pkgutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

import twopass_store
from twopass_store.partition import MAX_FRAME_FILES

__all__ = ["small_chunks"]


@contextmanager
def small_chunks(
    *,
    frames: int = 64,
    pairs: int = 256,
    position_bytes: int = 8192,
    rows: int = 65_536,
    frame_files: int = MAX_FRAME_FILES,
) -> Iterator[None]:
    """Make chunks along ``frame`` and ``pair`` so long, and of positions so large, while the block runs.

    `rows` is the length of most others; above `frame_files` files, per-frame arrays are sharded.

    Only in this process, and those forked from it.
    """
    small = {"FRAME_CHUNK": frames, "PAIR_CHUNK": pairs, "POSITION_CHUNK_BYTES": position_bytes}
    small |= {"ROWS_PER_CHUNK": rows, "MAX_FRAME_FILES": frame_files}
    # All of them: what is imported only later would keep the small numbers.
    for module in pkgutil.walk_packages(twopass_store.__path__, "twopass_store."):
        import_module(module.name)
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
