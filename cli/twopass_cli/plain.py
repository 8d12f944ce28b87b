"""Text as a terminal can show it."""

import codecs
import io
import json
import re
import shutil
import sys
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["encodable", "encode_all", "plain", "plain_console", "plain_lines", "say", "with_flags", "wrapped"]

ASCII = {"±": "+-", "–": "-", "−": "-", "…": "...", "×": "x", "Å": "A", "µ": "u", "²": "^2", "Σ": "sum"}
"""What is printed for characters that the terminal's encoding lacks; "?" for others."""


def plain(text: object) -> str:
    """Return a text on one line, with what isn't printable as escapes such as ``\\u001b``."""
    line = str(text)
    return line if line.isprintable() else "".join(map(_shown, line))


def plain_lines(text: str) -> str:
    """Return a text with its line breaks, and what else isn't printable as escapes."""
    return "\n".join(map(plain, text.split("\n")))


def with_flags(text: str, flags: Mapping[str, str]) -> str:
    """Return a text in which options in backticks are the flags that they are on the command line."""
    return re.sub("`([a-z_]+)`", lambda found: flags.get(found[1], found[0]), text)


def wrapped(text: str, stream: TextIO) -> str:
    """Break lines between words for a terminal, which breaks them anywhere.

    What stands in backticks stays whole, to be copied.
    """
    if not stream.isatty():
        return text
    width = shutil.get_terminal_size().columns
    whole = re.sub("`[^`\n]*`", lambda found: found[0].replace(" ", "\0"), text)
    lines = (
        textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False)
        for line in whole.split("\n")
    )
    return "\n".join(lines).replace("\0", " ")


def say(text: str) -> None:
    """Print a text on stdout, on a terminal with lines broken between words."""
    print(wrapped(plain_lines(text), sys.stdout))


def plain_console(*, stderr: bool = False, width: int | None = None) -> "Console":
    """Return a console that takes no markup."""
    # rich takes a while to import: not for help.
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, markup=False, emoji=False, width=width)


def encode_all() -> None:
    """Replace what the encoding of the standard streams lacks, instead of failing on it."""
    codecs.register_error("twopass", _replaced)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="twopass")


def encodable(text: str) -> str:
    """Return a text with what stands for characters that the encoding of stdout lacks."""
    encode_all()
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, "twopass").decode(encoding)


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(ASCII.get(one, "?") for one in error.object[error.start : error.end]), error.end


def _shown(character: str) -> str:
    # As in JSON, so that JSON stays valid.
    return character if character.isprintable() else json.dumps(character)[1:-1]
