import errno
import inspect

from twopass_store import errors

TREE = {
    "TwopassError": "Exception",
    "ConfigError": "TwopassError ValueError",
    "SelectionError": "ConfigError",
    "TrajectoryError": "TwopassError",
    "TrajectoryNotFoundError": "TrajectoryError FileNotFoundError",
    "TruncatedTrajectoryError": "TrajectoryError EOFError",
    "TopologyMismatchError": "TrajectoryError ValueError",
    "UnreadableError": "TrajectoryError",
    "NonFiniteError": "TrajectoryError ArithmeticError",
    "PrecisionError": "TrajectoryError ValueError",
    "StoreError": "TwopassError",
    "StoreNotFoundError": "StoreError FileNotFoundError",
    "StoreExistsError": "StoreError FileExistsError",
    "StoreWriteError": "StoreError OSError",
    "FormatVersionError": "StoreError",
    "StageIncompleteError": "StoreError",
    "FingerprintMismatchError": "StoreError ValueError",
    "CorruptChunkError": "StoreError",
    "StoreLockedError": "StoreError",
    "MemoryBudgetError": "TwopassError MemoryError",
    "WorkerError": "TwopassError RuntimeError",
}


def test_tree__is_as_users_handle_it():
    found = {
        name: " ".join(base.__name__ for base in kind.__bases__)
        for name, kind in inspect.getmembers(errors, inspect.isclass)
    }
    assert found == TREE
    assert sorted(errors.__all__) == sorted([*TREE, "limit_of_the_machine"])


def test_limit_of_the_machine__is_found_behind_other_errors_and_in_circles():
    error, cause = ValueError("damaged"), RuntimeError("why")
    error.__cause__, cause.__context__ = cause, error
    assert errors.limit_of_the_machine(error) is None
    cause.__cause__ = OSError(errno.EMFILE, "Too many open files")
    assert "ulimit -n" in str(errors.limit_of_the_machine(error))
