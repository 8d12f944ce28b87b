"""A disk that refuses at any step of any write: one error, nothing lost, the same bytes once it is mended."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from actions import NAMES, Action, make_actions
from faults import assert_same, recorded_units, stamps
from twopass_store.errors import StoreWriteError
from twopass_store.journal import Disk, Writer

CODES = errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO


class RefusingDisk(Disk):
    """Refuses from one step on, before it or in its middle, until it is mended.

    A disk that is full or over quota still renames and removes; one that is read-only, or out of reach, does
    nothing any more.
    """

    def __init__(self, at: int = 0, *, code: int = errno.ENOSPC, halfway: bool = False) -> None:
        self.n_steps = 0
        self._at, self._code, self._halfway = at, code, halfway

    def _refuses(self, *, needs_space: bool) -> bool:
        self.n_steps += 1
        if not self._at or self.n_steps < self._at:
            return False
        if self.n_steps > self._at and self._code in (errno.ENOSPC, errno.EDQUOT):
            return needs_space
        return True

    def _error(self) -> OSError:
        return OSError(self._code, os.strerror(self._code))

    def make_folder(self, path: Path) -> None:
        if self._refuses(needs_space=True):
            raise self._error()
        super().make_folder(path)

    def write(self, file: BinaryIO, data: bytes | bytearray | memoryview) -> None:
        if self._refuses(needs_space=True):
            if self._halfway:
                super().write(file, memoryview(data)[: len(data) // 2])
            raise self._error()
        super().write(file, data)

    def sync(self, file: BinaryIO) -> None:
        if self._refuses(needs_space=True):
            raise self._error()
        # Nothing is pulled out here, and real ones take longer than all the rest.

    def rename(self, source: Path, target: Path) -> None:
        if self._refuses(needs_space=False):
            if self._halfway:
                super().rename(source, target)
            raise self._error()
        super().rename(source, target)

    def sync_folder(self, path: Path) -> None:
        if self._refuses(needs_space=False):
            raise self._error()

    def remove_tree(self, path: Path) -> None:
        if self._refuses(needs_space=False):
            if self._halfway:
                super().remove_tree(next(path.iterdir()) if path.is_dir() and any(path.iterdir()) else path)
            raise self._error()
        super().remove_tree(path)


@pytest.fixture(scope="module")
def actions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Action]:
    return make_actions(tmp_path_factory.mktemp("actions"))


@pytest.fixture
def refuses_until_mended(
    actions: dict[str, Action], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """Lets the disk refuse at steps of an action, at all of them or at so many points."""

    def sweep(name: str, *, code: int, halfway: bool, n_points: int | None = None) -> None:
        action = actions[name]
        # Not always the same step of a write.
        at_once = 1 if n_points is None else (action.n_steps // n_points) | 1
        for at in range(1 if n_points is None else 1 + at_once // 2, action.n_steps + 1, at_once):
            store = action.found_by(tmp_path / "refused" / "s.zarr")
            monkeypatch.setattr(Writer, "disk", RefusingDisk(at, code=code, halfway=halfway))
            with pytest.raises(StoreWriteError, match=os.strerror(code)):
                action.act(store)
            monkeypatch.setattr(Writer, "disk", RefusingDisk())
            # No lock, and no temporary file.
            left = [path for path in store.parent.iterdir() if path != store]
            assert not left, (at, left)
            # Those that replace units that are recorded aside.
            before = {} if name == "append" or name.endswith("anew") else recorded_units(store)
            action.act(store)
            assert stamps(list(before)) == before, at
            assert_same(store, action.after)
            shutil.rmtree(store.parent)

    return sweep


@pytest.mark.parametrize("name", NAMES)
def test_disk_that_refuses__is_one_error_and_resumes_once_mended(
    name: str, refuses_until_mended: Callable[..., None]
) -> None:
    code = CODES[NAMES.index(name) % len(CODES)]
    refuses_until_mended(name, code=code, halfway=True, n_points=2)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("halfway", [False, True])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("name", NAMES)
def test_disk_that_refuses_at_every_step__is_one_error_and_resumes_once_mended(
    name: str, code: int, halfway: bool, refuses_until_mended: Callable[..., None]
) -> None:
    refuses_until_mended(name, code=code, halfway=halfway)
