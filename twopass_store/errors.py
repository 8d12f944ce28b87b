"""The exceptions of twopass-store, grouped by what a handler would do about them.

Every message says what happened, why, and how to mend it. Leaves also subclass the builtin that fits,
so that ``except FileNotFoundError`` means what it says.
"""

import errno

__all__ = [
    "ConfigError",
    "CorruptChunkError",
    "FingerprintMismatchError",
    "FormatVersionError",
    "MemoryBudgetError",
    "NonFiniteError",
    "PrecisionError",
    "SelectionError",
    "StageIncompleteError",
    "StoreError",
    "StoreExistsError",
    "StoreLockedError",
    "StoreNotFoundError",
    "StoreWriteError",
    "TopologyMismatchError",
    "TrajectoryError",
    "TrajectoryNotFoundError",
    "TruncatedTrajectoryError",
    "TwopassError",
    "UnreadableError",
    "WorkerError",
    "limit_of_the_machine",
]


class TwopassError(Exception):
    """Root of all errors that twopass-store raises on purpose."""


class ConfigError(TwopassError, ValueError):
    """A parameter is missing, unknown, contradictory or out of range."""


class SelectionError(ConfigError):
    """An atom selection can't be parsed, or matches nothing usable."""


class TrajectoryError(TwopassError):
    """A trajectory or topology file can't be used."""


class TrajectoryNotFoundError(TrajectoryError, FileNotFoundError):
    """A trajectory or topology file isn't there."""


class TruncatedTrajectoryError(TrajectoryError, EOFError):
    """A trajectory file ends before the frames that it promises."""


class UnreadableError(TrajectoryError):
    """A reader can't make sense of a file; another might."""


class TopologyMismatchError(TrajectoryError, ValueError):
    """Atoms of a topology, a trajectory or a structure don't match those expected."""


class NonFiniteError(TrajectoryError, ArithmeticError):
    """A frame holds coordinates, a time or a unit cell that are not finite numbers."""


class PrecisionError(TrajectoryError, ValueError):
    """A coordinate doesn't fit the integers that the store keeps positions in."""


class StoreError(TwopassError):
    """A store can't be used as asked."""


class StoreNotFoundError(StoreError, FileNotFoundError):
    """There is no store at the path, or what is there is no store."""


class StoreExistsError(StoreError, FileExistsError):
    """Something that is not ours stands where a store should be made."""


class StoreWriteError(StoreError, OSError):
    """The disk refused a write; everything committed before it stays."""


class FormatVersionError(StoreError):
    """The store was written in a format that this version doesn't read."""


class StageIncompleteError(StoreError):
    """A result was asked for that no finished stage has left."""


class FingerprintMismatchError(StoreError, ValueError):
    """A stage exists with parameters other than those asked for."""


class CorruptChunkError(StoreError):
    """Stored bytes are damaged or missing."""


class StoreLockedError(StoreError):
    """Another process is writing to the store."""


class MemoryBudgetError(TwopassError, MemoryError):
    """A plan needs more memory than it may use."""


class WorkerError(TwopassError, RuntimeError):
    """A worker process ended without finishing its work; everything committed before it stays.

    Attributes
    ----------
    task
        The last task that it was given; None if it had none.
    """

    task: object = None


def limit_of_the_machine(error: BaseException | None) -> StoreError | None:
    """Return an error that names the limit that another one, or its cause, ran into; None if none."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:  # an error can be among its own causes
        seen.append(error)
        number = getattr(error, "errno", None)
        if number in (errno.EMFILE, errno.ENFILE):
            return StoreError("Too many files are open at once. Raise the limit (`ulimit -n 1024`).")
        is_memory = number == errno.ENOMEM or (
            isinstance(error, MemoryError) and not isinstance(error, MemoryBudgetError)
        )
        # The system's own words, also in errors of the loader and of threads.
        words = ("can't start new thread", "failed to map segment", "annot allocate memory")
        if is_memory or any(each in str(error) for each in words):
            return StoreError(
                "The system refuses more memory or threads. Raise the limits of this process (`ulimit -v`, "
                "`ulimit -u`), or take fewer workers."
            )
        error = error.__cause__ or error.__context__
    return None
