"""What a stage tells whoever is watching; the library itself never prints."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

__all__ = ["Progress", "Silent", "counting"]


class Progress(Protocol):
    """Receives a stage's messages and counts. All calls come from the driver's thread."""

    def note(self, message: str) -> None:
        """Take one line that the user should see."""

    def start(self, stage: str, *, total: int, done: int, unit: str) -> None:
        """Begin counting `unit` (such as "frames") of `stage`, of which `done` are there already."""

    def advance(self, amount: int) -> None:
        """Count `amount` more."""

    def finish(self) -> None:
        """End the count that was begun last, complete or not."""


class Silent:
    """A `Progress` that drops everything."""

    def note(self, message: str) -> None:
        """Drop the message."""

    def start(self, stage: str, *, total: int, done: int, unit: str) -> None:
        """Drop the count."""

    def advance(self, amount: int) -> None:
        """Drop the count."""

    def finish(self) -> None:
        """Drop the count."""


@contextmanager
def counting(progress: Progress, stage: str, *, total: int, done: int = 0, unit: str) -> Iterator[None]:
    """Count while the block runs, complete or not."""
    progress.start(stage, total=total, done=done, unit=unit)
    try:
        yield
    finally:
        progress.finish()
