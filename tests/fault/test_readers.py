"""Readers beside a writer: at each of its steps they see a committed state, or one clear error."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from small_chunks import small_chunks
from small_stores import SMALL, make_small
from trajectory_files import make_trajectory, write
from twopass_store import (
    assign_frames,
    cluster_subset,
    export_coordinates,
    ingest_trajectories,
    open_results,
    recut_clustering,
    scan_cuts,
)
from twopass_store.errors import StageIncompleteError, StoreError
from twopass_store.journal import Disk, Writer
from twopass_store.progress import Silent
from twopass_store.store import reading

Values = dict[str, np.ndarray]

MARGINS = {"second_label", "rmsd_to_second"}
LABELS = MARGINS | {"label", "label_status", "leader_index", "rmsd_to_leader"}

STEPS = ("write", "rename", "remove_tree", "make_folder")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store of 70 frames with all stages done, and files to append."""
    with small_chunks(**SMALL):
        store = make_small(tmp_path_factory.mktemp("readers"))
        write(make_trajectory(45, n_residues=2, seed=8), store.with_name("more.xtc"))
        yield store


@pytest.fixture
def store(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(made, tmp_path / "s.zarr")
    # The writer stands still while readers look.
    monkeypatch.setattr(reading, "PATIENCE_SECONDS", 0.0)
    return tmp_path / "s.zarr"


def values_of(dataset: xr.Dataset) -> Values:
    return {str(name): variable.values for name, variable in dataset.variables.items()}


def same(found: Values, expected: Values) -> bool:
    return found.keys() == expected.keys() and all(
        np.array_equal(found[name], expected[name], equal_nan=found[name].dtype.kind == "f") for name in found
    )


def read(path: Path) -> Values | None:
    """What a fresh reader sees; None where it is told that there is nothing (yet)."""
    try:
        with open_results(path, "default") as dataset:
            return values_of(dataset)
    except StageIncompleteError as error:
        told = ("made anew by process", "made longer", "append")
        if not any(words in str(error) for words in told):
            raise
        return None


class Looked:
    """Readers that look at every so many steps of a writer; `seen` are the states, one after the other."""

    def __init__(
        self, path: Path, monkeypatch: pytest.MonkeyPatch, look: Callable[["Looked"], None], *, every: int
    ) -> None:
        self.path = path
        self.steps = 0
        self.seen: list[Values | None] = []
        self._is_looking = False

        def hooked(name: str) -> Callable[..., None]:
            do = getattr(Disk, name)

            def step(disk: Disk, *arguments: Any) -> None:
                do(disk, *arguments)
                if not self._is_looking:
                    self._is_looking, self.steps = True, self.steps + 1
                    if self.steps % every == 0:
                        look(self)
                    self._is_looking = False

            return step

        monkeypatch.setattr(Writer, "disk", type("Watched", (Disk,), {n: hooked(n) for n in STEPS})())

    def note(self, found: Values | None) -> None:
        if not self.seen or not _equal(found, self.seen[-1]):
            self.seen.append(found)


def _equal(one: Values | None, other: Values | None) -> bool:
    return one is other if one is None or other is None else same(one, other)


SCENARIOS: dict[str, list[Callable[[Path, Path], object]]] = {
    "append and assign": [
        lambda path, made: ingest_trajectories(path, [made.with_name("more.xtc")], append=True, workers=1),
        lambda path, _: assign_frames(path, name="default", workers=1),
        lambda path, _: assign_frames(path, name="default", workers=1, margin=True),
    ],
    "cluster anew": [
        lambda path, _: cluster_subset(path, select="all", stride=4, n_clusters=5, restart=True, workers=1),
        lambda path, _: assign_frames(path, workers=1),
    ],
    "assign anew": [lambda path, _: assign_frames(path, noise_cutoff=0.1, restart=True, workers=1)],
    "work on others": [
        lambda path, _: cluster_subset(path, name="b", select="all", stride=3, n_clusters=4, workers=1),
        lambda path, _: recut_clustering(path, name="default", new_name="c", n_clusters=2, workers=1),
        lambda path, _: scan_cuts(path, select="all", stride=4, n_clusters="2:5", workers=1),
        lambda path, _: assign_frames(path, name="b", workers=1),
    ],
}


LOOKS = pytest.mark.parametrize(
    ("scenario", "every"),
    [pytest.param(scenario, 1, marks=pytest.mark.slow) for scenario in SCENARIOS]
    + [(scenario, 11) for scenario in SCENARIOS if scenario != "work on others"],
)


@LOOKS
def test_fresh_reader__sees_one_committed_state_after_the_other(
    store: Path, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scenario: str, every: int
) -> None:
    """Those are what an uninterrupted run has between its commands."""
    other = tmp_path / "other.zarr"
    shutil.copytree(store, other)
    states = [read(other)]
    for act in SCENARIOS[scenario]:
        act(other, made)
        states.append(read(other))

    looked = Looked(store, monkeypatch, lambda self: self.note(read(self.path)), every=every)
    for act in SCENARIOS[scenario]:
        act(store, made)
    looked.note(read(store))
    assert looked.steps > 20

    # Where a clustering is discarded, or arrays become longer, there is nothing to see for a moment.
    found = _changes([state for state in looked.seen if state is not None])
    expected = _changes([state for state in states if state is not None])
    places = [next(at for at, one in enumerate(expected) if same(one, state)) for state in found]
    assert places == sorted(set(places))
    assert places[-1] == len(expected) - 1
    if every == 1:
        assert len(places) == len(expected)
    if scenario == "work on others":
        assert None not in looked.seen


def _changes(states: list[Values]) -> list[Values]:
    return [state for at, state in enumerate(states) if not at or not same(state, states[at - 1])]


@LOOKS
def test_lazy_reader__has_what_it_opened_or_an_error(
    store: Path, made: Path, monkeypatch: pytest.MonkeyPatch, scenario: str, every: int
) -> None:
    """A dataset that was opened before is read on at every step, and so is one opened a moment ago.

    Where the labels are made anew, all of the clustering is to be opened again.
    """
    before = read(store)
    opened = [(open_results(store, "default"), before)]
    refused: set[str] = set()

    def look(self: Looked) -> None:
        for dataset, expected in opened:
            for name, variable in dataset.variables.items():
                try:
                    # As a view of its own: what was read once is kept.
                    found = variable[...].values
                except StoreError as error:
                    if "changed while it was read" not in str(error):
                        raise
                    refused.add(str(name))
                else:
                    assert expected is not None
                    np.testing.assert_array_equal(found, expected[str(name)], err_msg=str(name))
        if self.steps % (9 * every) == 0:
            try:
                dataset = open_results(store, "default")
            except StoreError:
                return
            with open_results(store, "default") as another:
                opened[1:] = [(dataset, values_of(another))]

    looked = Looked(store, monkeypatch, look, every=every)
    for act in SCENARIOS[scenario]:
        act(store, made)
    assert looked.steps > 20
    if scenario in ("assign anew", "cluster anew"):
        assert refused >= LABELS | {"leader_frame", "leader_position"}
        assert not refused & {"position", "time", "rmsd", "linkage", "subset_frame"}
    else:
        assert not refused


@pytest.mark.parametrize("scenario", ["cluster anew", "assign anew"])
def test_export__that_was_begun_before_is_of_one_state_or_leaves_no_file(
    store: Path, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scenario: str
) -> None:
    """The labels are made anew while the frames are written."""
    target = tmp_path / "out.xtc"

    class Slow(Silent):
        def __init__(self) -> None:
            self.is_done = False

        def advance(self, amount: int) -> None:
            if not self.is_done:
                self.is_done = True
                for act in SCENARIOS[scenario]:
                    act(store, made)

    with pytest.raises(StoreError, match=r"was changed while it was read.*made anew"):
        export_coordinates(store, target, cluster=1, progress=Slow())
    assert not target.exists()
    export_coordinates(store, target, cluster=1)
    slow = Slow()
    slow.is_done = True
    export_coordinates(store, target, cluster=1, progress=slow, overwrite=True)
