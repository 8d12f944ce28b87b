"""Small text files that users write, and paths in them: configs, lists of trajectories."""

import os
import tomllib
from pathlib import Path
from stat import S_ISREG
from typing import Any

from ..errors import ConfigError

__all__ = ["expanded", "parse_toml", "read_text", "shown"]

MAX_BYTES = 64 << 20
"""Of a config or a list: a line for each of half a million files."""


def read_text(path: Path) -> str:
    """Read a text file that fits in memory, and never wait for one.

    Raises
    ------
    OSError, ValueError
        If it can't be read, is no plain file, is too large, or isn't in UTF-8.
    """
    status = path.stat()
    # A pipe would be waited for, a device may never end.
    if not S_ISREG(status.st_mode):
        raise ValueError("it is no regular file")
    if status.st_size > MAX_BYTES:
        raise ValueError(f"it has {status.st_size >> 20} MiB, and at most {MAX_BYTES >> 20} are read")
    with path.open("rb") as file:
        # No more than that of a file such as those in /proc, which have no size.
        return file.read(MAX_BYTES).decode("utf-8-sig")


def parse_toml(text: str) -> dict[str, Any]:
    """Parse TOML.

    Raises
    ------
    ValueError
        If it isn't TOML (`tomllib.TOMLDecodeError` is one), is nested too deeply, or holds an integer of
        more than the 64 bits that TOML has.
    """
    try:
        table = tomllib.loads(text)
        _check_integers(table)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return table


def _check_integers(value: Any) -> None:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            _check_integers(inner)
    elif isinstance(value, int) and value.bit_length() > 63:
        # Python can't even write those of thousands of digits, which errors would have to.
        raise ValueError("an integer has more than 64 bits")


def expanded(path: str | os.PathLike[str]) -> Path:
    """Path with ``~`` replaced by a home directory.

    Raises
    ------
    ConfigError
        If there is no such user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"{str(path)!r} begins in the home directory of nobody: {error}") from None


def shown(value: object) -> str:
    """Write what was found for a message, however large it is."""
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:119]}…"
