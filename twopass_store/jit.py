"""How the kernels of a room are compiled: lazily, without the GIL, cached on disk where that is possible."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import numba
from numba import njit

__all__ = ["kernel"]

P = ParamSpec("P")
R = TypeVar("R")

# `fastmath` stays off: it would erase the tests for NaN and let the compiler reorder operations, and then a
# distance could depend on its place in a tile. The error model takes the branches out of divisions, without
# which loops don't vectorise.
OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile ``function`` with numba at its first call.

    Parameters
    ----------
    function
        A function of numpy arrays and scalars that numba can compile in nopython mode.

    Returns
    -------
    The dispatcher, with the signature of ``function``.
    """
    try:
        with _cache_outside_of_package():
            compiled = njit(cache=True, **OPTIONS)(function)
        _date_by_whole_room(compiled, Path(function.__code__.co_filename).parent)
    except (RuntimeError, AttributeError):
        # numba looks for a folder for its cache when it decorates, and raises RuntimeError where neither the
        # package's nor the user's can be written: a read-only installation has to run all the same. Without
        # numba's internals as we know them, no cache is better than a stale one.
        compiled = njit(**OPTIONS)(function)
    return cast(Callable[P, R], compiled)


@contextmanager
def _cache_outside_of_package() -> Iterator[None]:
    """Let numba choose the user's cache folder, unless `NUMBA_CACHE_DIR` names another.

    By default it would write beside the sources. An installer doesn't know those files: they would stay when
    the package is removed, as a folder that hides the package wherever it is installed next.
    """
    config: Any = numba.config
    before = config.CACHE_DIR
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    # numba looks at it when it decorates, so that nobody else's functions are moved.
    config.CACHE_DIR = before or str(caches / "twopass-store")
    try:
        yield
    finally:
        config.CACHE_DIR = before


def _date_by_whole_room(compiled: Any, folder: Path) -> None:
    """Let a change in any file of the kernel's folder, or in this one, invalidate the cached machine code.

    numba dates a cached function by its own file only, although the callees are compiled into it: after an
    edit or an upgrade of one file, old and new code would run together.
    """
    if not hasattr(compiled, "_cache"):  # NUMBA_DISABLE_JIT leaves the plain function
        return
    compiled._cache._guard_against_spurious_io_errors = partial(_whatever_becomes_of, compiled._cache)
    cache_file = compiled._cache._cache_file
    room = [Path(__file__), *sorted(folder.glob("*.py"))]
    stamps = [(path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in room]
    cache_file._source_stamp = (cache_file._source_stamp, stamps)


@contextmanager
def _whatever_becomes_of(cache: Any) -> Iterator[None]:
    """Go without the cache where it can't be read or written; numba asks this at each use of it.

    Its disk may be full, and a power cut may have left half of a file, which is begun anew.
    """
    try:
        yield
    except OSError:
        pass
    except Exception:
        with suppress(Exception):
            cache.flush()
