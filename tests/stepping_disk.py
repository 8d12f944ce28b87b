"""A disk that logs each of its steps, and kills its process exactly before, within or after one of them."""

import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from twopass_store.journal import Disk

__all__ = ["SteppingDisk"]


class SteppingDisk(Disk):
    """The disk with two or three moments a step, counted from 1 over all threads.

    Parameters
    ----------
    log
        File that each moment adds a line to: step, phase and path, separated by tabs.
    kill_at
        SIGKILL this process at that moment.
    """

    def __init__(self, log: str | None = None, kill_at: int | None = None) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        self._log = None if log is None else os.open(log, flags, 0o644)
        self._kill_at = kill_at
        self._count = 0
        self._lock = threading.Lock()

    def make_folder(self, path: Path) -> None:
        with self._step("make folder", path):
            super().make_folder(path)

    def write(self, file: Any, data: Any) -> None:
        def half() -> None:
            file.write(data[: len(data) // 2])
            file.flush()

        with self._step("write", Path(file.name), half):
            super().write(file, data)

    def sync(self, file: Any) -> None:
        with self._step("sync", Path(file.name)):
            super().sync(file)

    def rename(self, source: Path, target: Path) -> None:
        with self._step("rename", target):
            super().rename(source, target)

    def sync_folder(self, path: Path) -> None:
        with self._step("sync folder", path):
            super().sync_folder(path)

    def remove_tree(self, path: Path) -> None:
        def half() -> None:
            for child in sorted(path.iterdir())[::2] if path.is_dir() else ():
                shutil.rmtree(child) if child.is_dir() else child.unlink()

        with self._step("remove tree", path, half):
            super().remove_tree(path)

    @contextmanager
    def _step(self, name: str, path: Path, half: Callable[[], None] | None = None) -> Iterator[None]:
        self._moment(name, "before", path)
        if half is not None:
            self._moment(name, "within", path, half)
        yield
        self._moment(name, "after", path)

    def _moment(self, step: str, phase: str, path: Path, half: Callable[[], None] | None = None) -> None:
        # Held to the end where it is: nothing comes between the last line of the log and the kill.
        with self._lock:
            self._count += 1
            if self._log is not None:
                os.write(self._log, f"{step}\t{phase}\t{path}\n".encode())
            if self._count == self._kill_at:
                if half is not None:
                    half()
                os.kill(os.getpid(), signal.SIGKILL)
