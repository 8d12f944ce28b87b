"""Progress on stderr: bars on a terminal, plain lines elsewhere, nothing with --quiet."""

import sys
import time
from collections.abc import Mapping
from contextlib import suppress

from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from twopass_store.progress import Progress as ProgressProtocol
from twopass_store.progress import Silent

from .plain import plain, plain_console, with_flags

__all__ = ["make_progress"]

PLAIN_SECONDS = 10.0
"""Time between two lines where there is no terminal."""


def make_progress(*, quiet: bool, flags: Mapping[str, str]) -> ProgressProtocol:
    """Return the progress reporter; it goes on if the terminal was closed, or the disk of a log is full.

    What a note names in backticks and is a key of `flags` is written as that flag.
    """
    if quiet:
        return Silent()
    return _Bars(flags) if sys.stderr.isatty() else _Lines(flags)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{_count(speed)} {task.fields['unit']}/s", style="cyan")


class _Bars:
    def __init__(self, flags: Mapping[str, str]) -> None:
        self._flags = flags
        self._console = plain_console(stderr=True)
        self._progress: Progress | None = None
        self._task = TaskID(0)

    def note(self, message: str) -> None:
        with suppress(OSError):
            self._console.print(plain(with_flags(message, self._flags)))

    def start(self, stage: str, *, total: int, done: int, unit: str) -> None:
        if done:
            self.note(f"{stage}: {done:,} of {total:,} {unit} are there already")
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            _Rate(),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=self._console,
        )
        self._task = self._progress.add_task(stage, total=total, completed=done, unit=unit)
        with suppress(OSError):
            self._progress.start()

    def advance(self, amount: int) -> None:
        if self._progress:
            self._progress.advance(self._task, amount)

    def finish(self) -> None:
        if self._progress:
            with suppress(OSError):
                self._progress.stop()
            self._progress = None


class _Lines:
    def __init__(self, flags: Mapping[str, str]) -> None:
        self._flags = flags

    def note(self, message: str) -> None:
        with suppress(OSError):
            print(plain(with_flags(message, self._flags)), file=sys.stderr, flush=True)

    def start(self, stage: str, *, total: int, done: int, unit: str) -> None:
        self._stage, self._total, self._done, self._unit = stage, total, done, unit
        self._begin, self._done_before = time.monotonic(), done
        self._last = self._begin
        if done:
            self.note(f"{stage}: {done:,} of {total:,} {unit} are there already")

    def advance(self, amount: int) -> None:
        self._done += amount
        if time.monotonic() - self._last > PLAIN_SECONDS:
            self._last = time.monotonic()
            self._line()

    def finish(self) -> None:
        self._line()

    def _line(self) -> None:
        elapsed = max(time.monotonic() - self._begin, 1e-9)
        rate = (self._done - self._done_before) / elapsed
        share = self._done / self._total if self._total else 1.0
        line = f"{self._stage}: {self._done:,} of {self._total:,} {self._unit} ({share:.0%}), "
        line += f"{_count(rate)} {self._unit}/s"
        if rate and self._done < self._total:
            line += f", {(self._total - self._done) / rate:.0f} s left"
        self.note(line)


def _count(number: float) -> str:
    for unit in ("", " k", " M"):
        if number < 1000:
            return f"{number:.3g}{unit}"
        number /= 1000
    return f"{number:.3g} G"
