"""Matrix products on the calling thread alone: the stages bring threads of their own."""

from collections.abc import Callable, Iterator
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


def _by_any_thread(change: Callable[[], Any]) -> Any:
    """Set a limit: threadpoolctl does so for the thread that set one first, and for others nothing."""
    from threadpoolctl import OpenBLASController

    OpenBLASController.clear_controlling_thread(force=True)
    try:
        return change()
    finally:
        OpenBLASController.clear_controlling_thread(force=True)


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
                self._limiter = _by_any_thread(lambda: _controller().limit(limits=1, user_api="blas"))
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0:
                    _by_any_thread(self._limiter.restore_original_limits)


one_blas_thread = _Limit()
