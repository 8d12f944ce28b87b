"""Matrix products on the calling thread alone: the stages bring threads of their own."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any

__all__ = ["one_blas_thread"]


@cache
def _controller() -> Any:
    # The library that numba's `np.dot` calls has to be loaded before the controller looks for it.
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


class _Limit:
    """The limit is the process's: it is set by the first who needs it and lifted by the last."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._users = 0
        self._limiter: Any = None

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if self._users == 0:
                self._limiter = _controller().limit(limits=1, user_api="blas")
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0:
                    self._limiter.restore_original_limits()


one_blas_thread = _Limit()
