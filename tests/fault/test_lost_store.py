"""A store, or its lock, that is removed or renamed while it is written: an error, and never half a store."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from actions import NAMES, Action, LosingDisk, make_actions
from faults import assert_alone, assert_same
from twopass_store.errors import StoreError
from twopass_store.journal import Writer


@pytest.fixture(scope="module")
def actions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Action]:
    return make_actions(tmp_path_factory.mktemp("actions"))


def rename_store(store: Path) -> None:
    store.rename(store.with_name("elsewhere"))


def put_back(store: Path) -> None:
    """Nothing came up where the store was; put it there again."""
    assert not store.exists()
    store.with_name("elsewhere").rename(store)


def remove_lock(store: Path) -> None:
    shutil.rmtree(store.with_name("s.zarr.lock"))


def see_no_lock(store: Path) -> None:
    assert not store.with_name("s.zarr.lock").exists()


@pytest.mark.parametrize("n_points", [2, pytest.param(None, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("lose", "mend", "says"),
    [
        pytest.param(rename_store, put_back, "removed or renamed|no store at", id="renamed store"),
        pytest.param(remove_lock, see_no_lock, "lock of this process is gone", id="removed lock"),
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_loss_in_the_middle__is_an_error_and_goes_on_once_put_back(
    name: str,
    lose: Callable[[Path], object],
    mend: Callable[[Path], object],
    says: str,
    n_points: int | None,
    actions: dict[str, Action],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Something is lost before steps of an action, before each or before so many."""
    action = actions[name]
    every = 1 if n_points is None else (action.n_steps // n_points) | 1
    # The first step of an ingest makes the folder.
    first = 2 if n_points is None else 2 + every // 2
    for at in range(first, action.n_steps + 1, every):
        store = action.found_by(tmp_path / "lost" / "s.zarr")
        monkeypatch.setattr(Writer, "disk", LosingDisk(at, lambda: lose(store)))  # noqa: B023
        with pytest.raises(StoreError, match=says):
            action.act(store)
        monkeypatch.setattr(Writer, "disk", LosingDisk(0, lambda: None))
        mend(store)
        assert not store.exists() or not assert_alone(store)
        action.act(store)
        assert_same(store, action.after)
        shutil.rmtree(store.parent)
