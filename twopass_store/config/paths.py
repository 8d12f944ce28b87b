"""From patterns on the command line or in a config to trajectory files in order."""

import glob
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path

from ..errors import ConfigError, TrajectoryError, TrajectoryNotFoundError

__all__ = ["EXAMPLE_PREFIX", "Search", "expand_paths", "expanded"]

EXAMPLE_PREFIX = "example:"
"""A path that begins so names a file of the example that comes with the package."""

PATIENCE_SECONDS = 2.0
"""Time after which a search says how far it is; each further one takes twice as long."""


class Search:
    """Says from time to time how far a search for files is."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note
        self._n_folders = self._n_files = 0
        self._patience, self._begin = PATIENCE_SECONDS, time.monotonic()

    def count(self, pattern: str, *, folders: int = 0, files: int = 0) -> None:
        """Count what was looked through for a pattern."""
        self._n_folders += folders
        self._n_files += files
        if time.monotonic() - self._begin > self._patience:
            self._patience *= 2
            seen = f"{self._n_folders:,} folders seen, {self._n_files:,} files found"
            self._note(f"looking for {pattern!r:.200}: {seen}")


def expand_paths(
    patterns: Sequence[str | Path], *, relative_to: Path | None = None, search: Search | None = None
) -> list[Path]:
    """Return the absolute paths of the files that paths and glob patterns stand for.

    Relative ones start from `relative_to`, by default the current folder, and ``~`` is a home directory. The
    order of the patterns is kept; the files of one pattern come in natural order (run2 before run10). A path
    that exists is taken literally, even if its name holds ``*``, ``?`` or ``[``. ``**`` enters no folder
    twice, whatever links lead to it. `search` says how far it is.

    Raises
    ------
    TrajectoryNotFoundError
        If a path doesn't exist, or a pattern matches no file.
    TrajectoryError
        If a file comes up twice, or its name isn't in UTF-8.
    """
    base = Path.cwd() if relative_to is None else relative_to.absolute()
    search = search or Search(lambda _: None)
    found: dict[str, Path] = {}
    for pattern in patterns:
        for path in _expand(str(pattern), base, search):
            # Two names of one file (through a link, or ..) would count its frames twice just the same.
            identity = os.path.realpath(path)
            if identity in found:
                raise TrajectoryError(
                    f"{path} is given twice, by {str(pattern)!r} too: its frames would count double. Name "
                    "each file once."
                )
            found[identity] = path
    return list(found.values())


def _expand(text: str, base: Path, search: Search) -> list[Path]:
    if text.startswith(EXAMPLE_PREFIX):
        literal = Path(str(files("twopass_store"))) / "data" / text.removeprefix(EXAMPLE_PREFIX)
    else:
        literal = base / expanded(text)
    if os.path.exists(literal):  # noqa: PTH110 (for names that no file may have)
        found = [Path(os.path.normpath(literal))]
    elif not glob.has_magic(text):
        raise TrajectoryNotFoundError(f"There is no file {str(literal)[-500:]}. Check the path.")
    else:
        # The base may itself hold magic characters; only the pattern's own count.
        where = "" if expanded(text).is_absolute() else glob.escape(str(base)) + os.sep
        # `**/**/` stands for the same files as `**/`, and would walk all folders once more for each.
        pattern = re.sub(r"(\*\*/)+", "**/", str(expanded(text)))
        hits = _matches(where + pattern, lambda: search.count(text, folders=1))
        paths = set()
        for hit in hits:
            if Path(hit).is_file():
                paths.add(Path(os.path.normpath(hit)))
                search.count(text, files=1)
        found = sorted(paths, key=_natural)
        if not found:
            raise TrajectoryNotFoundError(f"The pattern {text!r:.500} matches no file in {base}. Check it.")
    for path in found:
        try:
            str(path).encode()
        except UnicodeEncodeError as error:
            raise TrajectoryError(
                f"The name of {str(path)!r} isn't in UTF-8, so it can't be recorded in a store. Rename it."
            ) from error
    return found


def _matches(pattern: str, entered: Callable[[], None]) -> Iterator[str]:
    """Do what ``glob.iglob`` does, but for ``**`` enter each folder once: links in /proc lead in circles."""
    head, *tail = re.split(r"(?<=/)\*\*(?:/|$)", pattern, maxsplit=1)
    if not tail:
        yield from glob.iglob(pattern)  # noqa: PTH207 (Path.glob skips links)
        return
    seen = set()
    for root in glob.iglob(head):  # noqa: PTH207
        for folder, names, _ in os.walk(root, followlinks=True):
            entered()
            identity = os.path.realpath(folder)
            if identity in seen:
                names.clear()
                continue
            seen.add(identity)
            names[:] = sorted(name for name in names if not name.startswith("."))
            yield from _matches(os.path.join(glob.escape(folder), tail[0] or "*"), entered)  # noqa: PTH118


def _natural(path: Path) -> tuple[list[int | str], str]:
    # split() alternates text and digits, so the same place always holds the same type.
    parts: list[int | str] = list(re.split(r"([0-9]+)", str(path)))
    parts[1::2] = [int(part) for part in parts[1::2]]
    return parts, str(path)


def expanded(path: str | os.PathLike[str]) -> Path:
    """Return a path with ``~`` replaced by a home directory."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"{str(path)!r} begins in the home directory of nobody: {error}") from None
