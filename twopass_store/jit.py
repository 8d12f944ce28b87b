"""How kernels are compiled: at their first call, without the GIL, cached on disk if possible."""

import hashlib
import os
import shutil
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numba

__all__ = ["inlined", "kernel"]

P = ParamSpec("P")
R = TypeVar("R")

CONFIG: Any = numba.config

# The full `fastmath` would erase the tests for NaN. The error model takes the branches out of divisions,
# without which loops don't vectorise.
OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "reassoc"}}


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function that only kernels call; it is compiled, and cached, as a part of them."""
    compiled: Callable[P, R] = numba.njit(**OPTIONS)(function)
    return compiled


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function that Python calls and numba compiles; it works with and without a cache.

    Parameters
    ----------
    function
        A function of numpy arrays and scalars that numba can compile in nopython mode.
    """
    compiled = [_cached(function)]

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return compiled[0](*args, **kwargs)
        except Exception:
            # Kernels raise nothing, but numba does where it can't read or write its cache: the disk may be
            # full, and a power cut may have left half a file.
            shutil.rmtree(FOLDER, ignore_errors=True)
            compiled[0] = inlined(function)
            return compiled[0](*args, **kwargs)

    return call


def _cached(function: Callable[P, R]) -> Callable[P, R]:
    # numba looks for the folder when it decorates. Its own choice would be beside the sources, where the
    # files would outlive the package and hide it wherever it is installed next.
    before = CONFIG.CACHE_DIR
    CONFIG.CACHE_DIR = str(FOLDER)
    try:
        FOLDER.mkdir(parents=True, exist_ok=True)
        compiled: Callable[P, R] = numba.njit(cache=True, **OPTIONS)(function)
        return compiled
    except (OSError, RuntimeError):  # read-only
        return inlined(function)
    finally:
        CONFIG.CACHE_DIR = before


def _folder() -> Path:
    """Cache folder of exactly these sources.

    numba dates a cached function by its own file only, although functions of other files are compiled into
    it: after an upgrade, old and new code would run together.
    """
    digest = hashlib.blake2b(digest_size=8)
    here = Path(__file__)
    for path in (here, *sorted((here.parent / "rmsd").glob("*.py"))):
        digest.update(path.read_bytes())
    user = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(CONFIG.CACHE_DIR or user) / "twopass-store" / digest.hexdigest()


FOLDER = _folder()
