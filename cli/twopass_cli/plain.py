"""Text as it may go to a terminal: what a store says comes from whoever made it.

An escape sequence in a name or an attribute could rewrite what stands on the screen, the clipboard or the
window's title, and a line break could make a line that nobody printed.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderableType, RenderHook
from rich.segment import Segment

__all__ = ["plain", "plain_console", "plain_lines", "plain_streams"]


def plain(text: object) -> str:
    """Return a text on one line, all that isn't printable as escapes such as ``\\u001b``."""
    line = str(text)
    return line if line.isprintable() else "".join(map(_shown, line))


def plain_console(*, stderr: bool = False, width: int | None = None) -> Console:
    """Return a console that takes no markup and lets no control character through but its own."""
    stream = sys.stderr if stderr else sys.stdout
    # The console's own sequences, such as those of colours, pass by the filter of the streams.
    file = stream.unfiltered if isinstance(stream, _Plain) and stream.isatty() else stream
    console = Console(file=file, highlight=False, markup=False, emoji=False, width=width)
    console.push_render_hook(_Hook())
    return console


@contextmanager
def plain_streams() -> Iterator[None]:
    """Let no control character but line breaks through to the standard streams while the block runs."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _Plain(before[0]), _Plain(before[1])
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


class _Plain:
    """A stream of text in whose place it stands."""

    def __init__(self, stream: Any) -> None:
        self.unfiltered = stream

    def write(self, text: str) -> int:
        self.unfiltered.write(plain_lines(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unfiltered, name)


class _Hook(RenderHook):
    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Filtered(each) for each in renderables]


class _Filtered:
    def __init__(self, content: RenderableType) -> None:
        self._content = content

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for text, style, control in console.render(self._content, options):
            yield Segment(text if control else plain_lines(text), style, control)


def plain_lines(text: str) -> str:
    """Return a text with its line breaks, all else that isn't printable as escapes."""
    return text if text.isprintable() else "".join(each if each == "\n" else _shown(each) for each in text)


def _shown(character: str) -> str:
    # As JSON has it, so that what is printed as JSON stays so.
    return character if character.isprintable() else json.dumps(character)[1:-1]
