"""From exceptions and signals to one line and an exit code."""

import os
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from twopass_store import errors

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


@contextmanager
def guarded(*, debug: bool) -> Iterator[None]:
    """Turn errors into one line on stderr and an exit code; show a traceback only with `debug`.

    The first Ctrl-C (or SIGTERM) drops the units in hand and leaves in good order, a second ends at once.
    """
    # mdtraj warns of its own doings, with lines of its code.
    warnings.filterwarnings("ignore", module="mdtraj")
    with _interruptible():
        try:
            yield
        except KeyboardInterrupt:
            print(
                "Interrupted. What was committed stays: run the same command again to resume.",
                file=sys.stderr,
            )
            raise SystemExit(INTERRUPTED) from None
        except errors.TwopassError as error:
            if debug:
                traceback.print_exc()
            print(f"Error: {error}", file=sys.stderr)
            kind = next(kind for kind in type(error).__mro__ if kind in EXIT_CODES)
            raise SystemExit(EXIT_CODES[kind]) from None
        except BrokenPipeError:
            # The reader of our output left (`twopass status | head`). Python would complain at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(1) from None
        except OSError as error:
            if debug:
                traceback.print_exc()
            where = "" if error.filename is None else f" {error.filename}"
            print(f"Error: Cannot use{where}: {error.strerror or error}.", file=sys.stderr)
            raise SystemExit(1) from None
        except Exception as error:
            if debug:
                traceback.print_exc()
            hint = "" if debug else " Run it again with --debug to see where."
            print(f"Unexpected error: {type(error).__name__}: {error}.{hint}", file=sys.stderr)
            raise SystemExit(1) from None


@contextmanager
def _interruptible() -> Iterator[None]:
    received = 0

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        nonlocal received
        received += 1
        if received > 1:
            os._exit(INTERRUPTED)
        print("Stopping after the units in hand; once more ends at once.", file=sys.stderr)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
