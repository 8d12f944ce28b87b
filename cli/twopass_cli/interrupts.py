"""Ctrl-C and its like: the first one stops a command in good order, one more ends it at once."""

import os
import signal
import threading
import time
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any

__all__ = ["INTERRUPTED", "Interrupts"]

INTERRUPTED = 130
"""Exit code of an interrupted command."""

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

AGAIN_SECONDS = 0.3
"""What comes so soon after the first is the same request: `timeout` signals a process and then its group."""


class Interrupts:
    """While it is entered, SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt in the main thread, once.

    A thread of its own hears them too, at once, also where the main thread is in the middle of a long
    computation in C, or must not be interrupted since it waits for a write. It says that the command is
    stopping, and ends the process at one more SIGINT or SIGTERM. SIGHUP, of a terminal that is closed, may
    come several times over; where it is ignored, as `nohup` has it, it stays so.

    Attributes
    ----------
    heard
        Whether KeyboardInterrupt was raised.
    """

    def __init__(self) -> None:
        self.heard = False
        self._unsaid = threading.Lock()

    def __enter__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        threading.Thread(target=self._listen, args=(self._read,), daemon=True).start()
        self._fd_before = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        self._before: dict[signal.Signals, Any] = {}
        for number in SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._raise)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.heard:
            return  # the process is about to end; until then, one more still ends it at once
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._fd_before)
        os.close(self._write)

    def _raise(self, _number: int, _frame: FrameType | None) -> None:
        if not self.heard:
            self.heard = True
            self._say_so()
            raise KeyboardInterrupt

    def _listen(self, descriptor: int) -> None:
        first = None
        while received := os.read(descriptor, 1):
            now = time.monotonic()
            if received[0] not in SIGNALS:
                continue
            if first is None:
                first = now
                self._say_so()
            elif received[0] != signal.SIGHUP and now - first > AGAIN_SECONDS:
                os._exit(INTERRUPTED)
        os.close(descriptor)

    def _say_so(self) -> None:
        # Whichever thread comes first, and past Python's buffer, which the main thread may be writing to.
        if self._unsaid.acquire(blocking=False):
            with suppress(OSError):  # the terminal may be gone
                os.write(2, b"Stopping after the units in hand; once more ends at once.\n")
