"""Interrupts that wait."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["uninterrupted"]

INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let Ctrl-C and its like wait until the block is done.

    Storage may write on threads of its own, for which the main thread waits: an interrupt there would take
    the caller away and leave the write under way, perhaps beyond the lock that allows it. Other threads are
    never interrupted, and handlers that aren't Python's stay as they are.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[tuple[int, FrameType | None]] = []
    before = {number: signal.getsignal(number) for number in INTERRUPTS}
    handlers = {number: handler for number, handler in before.items() if callable(handler)}
    try:
        for number in handlers:
            signal.signal(number, lambda *arguments: received.append(arguments))
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    for arrived, frame in received:
        handlers[signal.Signals(arrived)](arrived, frame)
