"""From patterns on the command line or in a config to trajectory files in order."""

import glob
import os
import re
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path

from ..errors import TrajectoryError, TrajectoryNotFoundError
from .texts import expanded, shown

__all__ = ["EXAMPLE_PREFIX", "expand_paths"]

EXAMPLE_PREFIX = "example:"
"""A path that begins so names a file of the example that comes with the package."""


def expand_paths(patterns: Sequence[str | Path], *, relative_to: Path | None = None) -> list[Path]:
    """Files that paths and glob patterns stand for.

    The order of the patterns is kept; the files of one pattern come in natural order (run2 before run10).
    A path that exists is taken literally, even if its name holds ``*``, ``?`` or ``[``.

    Parameters
    ----------
    patterns
        Paths, or patterns with ``*``, ``?``, ``[...]`` and ``**``; ``~`` stands for the home directory.
    relative_to
        Directory from which relative patterns start, by default the current one.

    Returns
    -------
    Absolute paths, each once.

    Raises
    ------
    TrajectoryNotFoundError
        If a path doesn't exist, or a pattern matches no file.
    TrajectoryError
        If a file comes up twice, or there are no patterns.
    """
    if isinstance(patterns, (str, Path)):
        patterns = [patterns]
    if not patterns:
        raise TrajectoryError("No trajectory was given. Name at least one file or pattern.")
    base = Path.cwd() if relative_to is None else relative_to.absolute()
    found: list[Path] = []
    given_by: dict[str, str | Path] = {}
    for pattern in patterns:
        for path in _expand(pattern, base):
            _check_name(path)
            # Two names of one file (through a link, or ..) would count its frames twice just the same.
            identity = os.path.realpath(path)
            if identity in given_by:
                raise TrajectoryError(
                    f"{path} is given twice, by {str(given_by[identity])!r} and by {str(pattern)!r}: its "
                    "frames would count double. Name each file once."
                )
            given_by[identity] = pattern
            found.append(path)
    return found


def _check_name(path: Path) -> None:
    """Refuse a name that can't be recorded: the system takes any bytes, a store has text."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise TrajectoryError(
            f"The name of {str(path)!r} isn't in UTF-8, so it can't be recorded in a store. Rename it."
        ) from error


def _expand(pattern: str | Path, base: Path) -> list[Path]:
    text = str(pattern)
    if not text or "\0" in text:
        raise TrajectoryNotFoundError(f"{shown(text)} is no path. Check the list of trajectories.")
    if text.startswith(EXAMPLE_PREFIX):
        literal = Path(str(files("twopass_store"))) / "data" / text.removeprefix(EXAMPLE_PREFIX)
    else:
        literal = base / expanded(text)
    try:
        exists = literal.exists()
    except PermissionError as error:
        raise TrajectoryError(
            f"May not look at {literal}: {error.strerror}. Ask for access to it."
        ) from error
    except (OSError, ValueError) as error:  # a name that is too long, or holds what no name may
        reason = error.strerror if isinstance(error, OSError) else error
        raise TrajectoryNotFoundError(f"{shown(text)} is no path: {reason}. Check it.") from error
    if exists:
        return [Path(os.path.normpath(literal))]
    if not glob.has_magic(text):
        raise TrajectoryNotFoundError(f"There is no file {literal}. Check the path.")
    # The base may itself hold magic characters; only the pattern's own count.
    where = "" if expanded(text).is_absolute() else glob.escape(str(base)) + os.sep
    hits = _hits(where + str(expanded(text)), set())
    found = {Path(os.path.normpath(hit)) for hit in hits if Path(hit).is_file()}
    if not found:
        raise TrajectoryNotFoundError(f"The pattern {text!r} matches no file in {base}. Check it.")
    return sorted(found, key=_natural)


def _hits(pattern: str, seen: set[tuple[str, int]]) -> Iterator[str]:
    """Yield what a pattern matches; ``**`` stands for any folders.

    glob's own ``**`` follows links round and round: two that lead to their own folder cost it 2⁴⁰ steps.
    `seen` holds the folders entered, each with the length of the pattern that was left there.
    """
    parts = Path(pattern).parts
    if "**" not in parts:
        yield from glob.iglob(pattern)  # noqa: PTH207 (Path.glob skips links)
        return
    place = parts.index("**")
    rest = str(Path(*parts[place + 1 :])) if place + 1 < len(parts) else "*"
    for top in glob.iglob(f"{Path(*parts[:place])}{os.sep}"):  # noqa: PTH207
        for folder, below, _ in os.walk(top, followlinks=True):
            identity = os.path.realpath(folder), len(parts) - place
            if identity in seen:
                below.clear()
                continue
            seen.add(identity)
            below[:] = sorted(name for name in below if not name.startswith("."))
            yield from _hits(glob.escape(folder) + os.sep + rest, seen)


def _natural(path: Path) -> tuple[list[int | str], str]:
    # split() alternates text and digits, so the same place always holds the same type.
    parts: list[int | str] = list(re.split(r"([0-9]+)", str(path)))
    parts[1::2] = [int(part) for part in parts[1::2]]
    return parts, str(path)
