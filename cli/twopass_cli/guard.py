"""From exceptions and signals to one line and an exit code."""

import errno
import os
import shlex
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import NoReturn, TextIO

from twopass_store import errors

from .plain import encode_all, plain, plain_lines, with_flags, wrapped

__all__ = ["EXIT_CODES", "guarded"]

EXIT_CODES: dict[type[errors.TwopassError], int] = {
    errors.TwopassError: 1,
    errors.ConfigError: 2,
    errors.TrajectoryError: 3,
    errors.StoreError: 4,
    errors.MemoryBudgetError: 5,
    errors.StoreLockedError: 6,
    errors.FingerprintMismatchError: 7,
    errors.StageIncompleteError: 8,
    errors.CorruptChunkError: 9,
    errors.StoreWriteError: 10,
    errors.StoreNotFoundError: 11,
    errors.FormatVersionError: 12,
    errors.WorkerError: 13,
}
"""Exit codes by kind; a kind that isn't listed has that of its nearest base."""

INTERRUPTED = 130
"""Exit code of an interrupted command."""

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def guarded(*, debug: bool, flags: Mapping[str, str] = MappingProxyType({})) -> Iterator[None]:
    """Turn errors into one line on stderr and an exit code; show a traceback only with `debug`.

    What an error names in backticks and is a key of `flags` is written as that flag.

    Ctrl-C, SIGTERM and SIGHUP end the process at once: the store survives a kill at any moment.
    """
    _open_standard_streams()
    encode_all()
    # mdtraj warns of its own doings, with lines of its code.
    warnings.filterwarnings("ignore", module="mdtraj")
    for number in SIGNALS:
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # `nohup` ignores it
            signal.signal(number, _interrupted)
    try:
        yield
        # Here, where what can't be written is told: at the end of the process it would be a traceback.
        sys.stdout.flush()
    except SystemExit:
        raise
    except BaseException as error:
        if debug:
            _say(traceback.format_exc().rstrip())
        message, code = _explained(error, debug=debug)
        if message:
            _say(with_flags(message, flags))
        raise SystemExit(code) from None
    finally:
        for stream in (sys.stdout, sys.stderr):
            _is_writable(stream)


def _interrupted(_number: int, _frame: FrameType | None) -> NoReturn:
    again = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    message = f"Interrupted; run the same command again to resume: {again}"
    with suppress(OSError):  # the terminal may be gone
        # A bar that is being drawn hides the cursor, and stands on the line.
        start = "\n\x1b[?25h" if sys.stderr.isatty() else ""
        os.write(2, f"{start}{plain_lines(message)}\n".encode(errors="replace"))
    # Not through Python's own end, which waits for threads that are in the middle of their work.
    os._exit(INTERRUPTED)


def _explained(error: BaseException, *, debug: bool) -> tuple[str | None, int]:
    """Return what to tell of an error, None where nobody would read it, and the exit code."""
    limit = errors.limit_of_the_machine(error)
    if limit is not None:
        error = limit
        # Objects that were left half made would complain when the process ends.
        sys.unraisablehook = lambda _: None
    if isinstance(error, errors.TwopassError):
        kind = next(kind for kind in type(error).__mro__ if kind in EXIT_CODES)
        # Of what errors say, only a selection is shown on a line of its own.
        shown = plain_lines if isinstance(error, errors.SelectionError) else plain
        return f"Error: {shown(str(error))}", EXIT_CODES[kind]
    if isinstance(error, OSError):
        if isinstance(error, BrokenPipeError):
            return None, 1  # the reader of our output left (`twopass status | head`)
        # Files of ours are written by who says which; only what is printed has no name.
        is_output = error.filename is None and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        is_output = is_output or not _is_writable(sys.stdout)
        where = "write the output" if is_output else f"use {error.filename or 'a file'}"
        return plain(f"Error: Cannot {where}: {error.strerror or error}."), 1
    hint = "" if debug else " Run it again with --debug to see where."
    return plain(f"Unexpected error: {type(error).__name__}: {error}.{hint}"), 1


def _say(message: str) -> None:
    # The terminal may be gone, or the disk of a log be full.
    with suppress(OSError):
        print(wrapped(plain_lines(message), sys.stderr), file=sys.stderr, flush=True)


def _open_standard_streams() -> None:
    """Put the null device where a standard stream is closed: the next file to be opened would take its place.

    C code that prints would then write into that file, which may be one of the store's.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115


def _is_writable(stream: TextIO) -> bool:
    """Tell whether what was printed could be written; where not, drop it, or Python complains at its end."""
    try:
        stream.flush()
    except OSError:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return False
    return True
