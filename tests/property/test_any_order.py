"""Ingest, append, cluster, recut, assign, kill, corrupt and repair in any order, against a model in memory.

The model holds coordinates as MDTraj reads them, works out distances by float64 Kabsch, trees by scipy and
labels by the nearest leader. Every command runs in a process forked for it, so that a kill is a kill; what is
read is read here, after every step: it must be what the model has, or an error that says why not.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mdtraj as md
import numpy as np
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)
from scipy.cluster.hierarchy import fcluster
from scipy.cluster.hierarchy import linkage as scipy_linkage
from scipy.spatial.distance import squareform

from forked import KILLED, Forked
from kabsch import kabsch_condensed, kabsch_matrix
from trajectory_files import make_trajectory
from twopass_store import open_results, verify_store
from twopass_store.errors import StoreError
from twopass_store.store import Store, reading

NAMES = ("default", "other", "third")
CHUNKS = {"frames": 64, "pairs": 256, "position_bytes": 8192}
# A command has some 150 to 500 moments.
KILLS = st.none() | st.integers(1, 400)
CLUSTERS = st.integers(2, 6)
DAMAGES = st.sampled_from(["flipped", "cut", "removed"])
ANY = st.integers(0, 9_999)
PLACES = st.floats(0, 1, exclude_max=True)
BY_DAMAGE = ("CorruptChunkError", "StageIncompleteError", "StoreNotFoundError")


@pytest.fixture(scope="module", autouse=True)
def warm() -> Iterator[None]:
    # Nothing is read while a command runs: a store that is half grown stays so.
    with pytest.MonkeyPatch.context() as patch, Forked(CHUNKS) as _PROCESS[0]:
        patch.setattr(reading, "PATIENCE_SECONDS", 0.0)
        yield


_PROCESS: list[Any] = [None]


def one_of(choices: list[str], which: int) -> str:
    return choices[which % len(choices)]


def process() -> Forked:
    return _PROCESS[0]


@dataclass
class _Clustering:
    """What a clustering was asked for, and how many frames of it have labels."""

    n_clusters: int
    stride: int
    n_frames: int | None
    made_by: "_Command | None" = None
    labelled_by: "_Command | None" = None
    n_labelled: int = 0


@dataclass
class _Command:
    """A call of the library that may have been killed, and what it does to the model."""

    function: str
    options: dict[str, Any]
    apply: Callable[[], None]
    n_frames: int


def when(condition: Callable[["AnyOrder"], object]) -> Callable[..., Any]:
    """Let a rule do what a user would do next, unless the condition holds.

    Not hypothesis's own preconditions: they would have it draw otherwise where a kill came a step later.
    """

    def decorate(method: Callable[..., None]) -> Callable[..., None]:
        @wraps(method)
        def conditional(self: "AnyOrder", **drawn: Any) -> None:
            if condition(self):
                method(self, **drawn)
            else:
                self.go_on(drawn.get("kill_at"))

        return conditional

    return decorate


class AnyOrder(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.folder = Path(self.stack.enter_context(TemporaryDirectory()))
        self.store = self.folder / "run.zarr"
        whole = make_trajectory(400, n_residues=2)
        self.top = self.folder / "top.pdb"
        whole[0].save_pdb(str(self.top))
        self.files, self.positions = [], []
        for number, part in enumerate(np.split(np.arange(400), [130, 200, 310])):
            path = self.folder / f"part{number}.xtc"
            whole[part].save_xtc(str(path))
            self.files.append(path)
            self.positions.append(md.load_xtc(str(path), top=str(self.top)).xyz)
        self.n_files = 0
        self.clusterings: dict[str, _Clustering] = {}
        self.killed: dict[str, _Command] = {}
        self.is_damaged = False

    def teardown(self) -> None:
        self.stack.close()

    # What is done

    def run(self, key: str, command: _Command, kill_at: int | None) -> None:
        """Call it, to its end or to a kill; `key` tells whose result it makes."""
        outcome = process().call(command.function, self.store, kill_at=kill_at, **command.options)
        if outcome == KILLED or (self.is_damaged and str(outcome).startswith(BY_DAMAGE)):
            self.killed[key] = command
            return
        assert outcome is None, outcome
        self.killed.pop(key, None)
        command.apply()

    def resume(self, key: str, kill_at: int | None) -> None:
        self.run(key, self.killed[key], kill_at)

    @property
    def is_growing(self) -> bool:
        return "ingest" in self.killed

    @rule(n_files=st.integers(1, 2), kill_at=KILLS)
    @when(lambda self: self.n_files == 0)
    def ingest(self, n_files: int, kill_at: int | None) -> None:
        if self.is_growing:
            self.resume("ingest", kill_at)
            return
        options = {"trajectories": [str(file) for file in self.files[:n_files]], "top": str(self.top)}
        self.run("ingest", self.ingesting(n_files, options), kill_at)

    @rule(kill_at=KILLS)
    @when(lambda self: 0 < self.n_files < len(self.files))
    def append(self, kill_at: int | None) -> None:
        if self.is_growing:
            self.resume("ingest", kill_at)
            return
        options = {"trajectories": [str(self.files[self.n_files])], "append": True}
        self.run("ingest", self.ingesting(self.n_files + 1, options), kill_at)

    def go_on(self, kill_at: int | None) -> None:
        """Do what comes next where nothing else is asked for."""
        if self.is_damaged:
            self.repair(kill_at=kill_at)
        elif self.killed:
            self.resume("ingest" if self.is_growing else min(self.killed), kill_at)
        elif self.n_files == 0:
            self.ingest(n_files=2, kill_at=kill_at)
        elif not self.clusterings:
            self.cluster(name="default", n_clusters=4, stride=5, kill_at=kill_at)
        else:
            self.assign(which=0, margin=True, kill_at=kill_at)

    def ingesting(self, n_files: int, options: dict[str, Any]) -> _Command:
        def apply() -> None:
            self.n_files = n_files

        return _Command("ingest_trajectories", {**options, "workers": 1}, apply, self.n_frames)

    @rule(name=st.sampled_from(NAMES[:2]), n_clusters=CLUSTERS, stride=st.integers(3, 9), kill_at=KILLS)
    @when(lambda self: self.n_files and not self.is_growing)
    def cluster(self, name: str, n_clusters: int, stride: int, kill_at: int | None) -> None:
        options = {"name": name, "stride": stride, "select": "all", "leader_method": "medoid"}
        wanted = _Clustering(n_clusters, stride, n_frames=None)
        self.make(name, wanted, "cluster_subset", options, kill_at)

    @rule(n_clusters=CLUSTERS, kill_at=KILLS)
    @when(lambda self: "default" in self.clusterings and not self.is_growing)
    def recut(self, n_clusters: int, kill_at: int | None) -> None:
        base = self.clusterings["default"]
        wanted = _Clustering(n_clusters, base.stride, base.n_frames)
        options = {"name": "default", "new_name": NAMES[2]}
        self.make(NAMES[2], wanted, "recut_clustering", options, kill_at)

    def make(
        self, name: str, wanted: _Clustering, function: str, options: dict[str, Any], kill_at: int | None
    ) -> None:
        if name in self.killed:
            self.resume(name, kill_at)
            return

        def apply() -> None:
            # One that was begun before frames were appended goes on with those of then.
            store = Store.open(self.store)
            subset = store.attrs(f"clusterings/{name}")["subset"]
            n_frames = store.attrs(f"subsets/{subset}")["frame_stop"]
            assert n_frames in {wanted.n_frames or self.n_frames, command.n_frames}
            self.clusterings.setdefault(name, replace(wanted, n_frames=n_frames, made_by=command))

        options |= {"n_clusters": wanted.n_clusters, "workers": 1}
        present = self.clusterings.get(name)
        command = _Command(function, options, apply, self.n_frames)
        if present is None:
            self.run(name, command, kill_at)
        else:
            outcome = process().call(function, self.store, **options) or ""
            is_same = (present.n_clusters, present.stride) == (wanted.n_clusters, wanted.stride)
            expected = "" if is_same else "FingerprintMismatchError"
            assert outcome.startswith((expected, *BY_DAMAGE) if self.is_damaged else expected), outcome
            assert bool(outcome) != is_same or self.is_damaged, outcome

    @rule(which=ANY, margin=st.booleans(), kill_at=KILLS)
    @when(lambda self: self.clusterings and not self.is_growing)
    def assign(self, which: int, margin: bool, kill_at: int | None) -> None:
        name = one_of(sorted(self.clusterings), which)

        def apply() -> None:
            clustering = self.clusterings[name]
            clustering.n_labelled = self.n_frames
            if margin or clustering.labelled_by is None:
                clustering.labelled_by = command

        options = {"name": name, "margin": margin, "workers": 1}
        command = _Command("assign_frames", options, apply, self.n_frames)
        self.run(f"labels of {name}", command, kill_at)

    @rule(which=ANY, kill_at=KILLS)
    @when(lambda self: self.killed)
    def resume_any(self, which: int, kill_at: int | None) -> None:
        keys = ["ingest"] if self.is_growing else sorted(self.killed)
        self.resume(one_of(keys, which), kill_at)

    @rule(which=ANY, how=DAMAGES, at=PLACES, undo=st.sampled_from([False, False, True]))
    @when(lambda self: self.n_files and not self.is_damaged)
    def damage(self, which: int, how: str, at: float, undo: bool) -> None:
        """Damage a file, look whether that is found, and perhaps put it back."""
        files = sorted(str(file.relative_to(self.store)) for file in self.store.rglob("*") if file.is_file())
        name = one_of(files, which)
        file = self.store / name
        content = file.read_bytes()
        place = int(at * len(content))
        file.unlink()
        if how == "flipped":
            file.write_bytes(content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :])
        elif how == "cut":
            file.write_bytes(content[:place])
        self.is_damaged = True
        found = verify_store(self.store, workers=1)
        # A run that was killed leaves files that no ledger speaks of: they are written again.
        assert name in {damage.file for damage in found.damage} or self.killed, (
            f"damage of {name} isn't found"
        )
        # A plan can't be made again: only a copy of the store has it.
        is_plan = file.parent.parent.name == "journal" and file.name == "zarr.json"
        if undo or self.killed or is_plan:
            self.results_are_right()
            file.unlink(missing_ok=True)
            file.write_bytes(content)
            self.is_damaged = False

    @rule(kill_at=KILLS)
    @when(lambda self: self.is_damaged)
    def repair(self, kill_at: int | None) -> None:
        outcome = process().call("repair_store", self.store, kill_at=kill_at)
        if outcome == KILLED:
            return
        assert outcome is None, outcome
        for command in self.again():
            outcome = process().call(command.function, self.store, **command.options)
            assert outcome is None, (command, outcome)
        self.is_damaged = False

    def again(self) -> Iterator[_Command]:
        """All that the model has, and what damage stopped, once more."""
        if not self.is_growing:
            options = {
                "trajectories": [str(file) for file in self.files[: self.n_files]],
                "top": str(self.top),
            }
            yield self.ingesting(self.n_files, options)
        for clustering in self.clusterings.values():
            yield clustering.made_by
            if clustering.labelled_by is not None and clustering.n_labelled == self.n_frames:
                yield clustering.labelled_by

    # What is there

    @invariant()
    def nothing_is_damaged(self) -> None:
        if self.store.is_dir() and any(self.store.iterdir()):
            found = verify_store(self.store, workers=1)
            assert self.is_damaged or not found.damage, found.damage

    @property
    def n_frames(self) -> int:
        return sum(len(xyz) for xyz in self.positions[: self.n_files])

    @invariant()
    def results_are_right(self) -> None:
        for name, wanted in self.clusterings.items():
            try:
                found = open_results(self.store, name).load()
            except StoreError:
                assert self.is_growing or self.is_damaged, f"{name} was finished, and can't be opened"
                continue
            self.check(found, name, wanted)

    def check(self, found, name: str, wanted: _Clustering) -> None:
        n_frames = found.sizes["frame"]
        xyz = np.concatenate(self.positions)[:n_frames]
        assert n_frames == self.n_frames or self.is_growing or self.killed
        np.testing.assert_array_equal(found.position, xyz)
        frames = np.arange(0, wanted.n_frames, wanted.stride)
        np.testing.assert_array_equal(found.subset_frame, frames)
        distances = kabsch_condensed(xyz[frames].astype(float))
        np.testing.assert_allclose(found.rmsd, distances, atol=1e-6)
        labels = fcluster(scipy_linkage(distances, "average"), wanted.n_clusters, "maxclust")
        square = squareform(distances)
        clusters = []
        for label in range(1, labels.max() + 1):
            members = np.flatnonzero(labels == label)
            medoid = frames[members[square[np.ix_(members, members)].sum(axis=1).argmin()]]
            clusters.append((-len(members), medoid, label))
        _, medoids, by_scipy = map(np.array, zip(*sorted(clusters), strict=True))
        np.testing.assert_array_equal(by_scipy[found.subset_label.to_numpy() - 1], labels)
        np.testing.assert_array_equal(found.leader_frame, medoids)
        if "label" not in found:
            assert wanted.n_labelled < n_frames
            return
        to_leaders = kabsch_matrix(xyz.astype(float), xyz[medoids].astype(float))
        known = found.label.to_numpy() != -1
        assert known[: min(wanted.n_labelled, n_frames)].all()
        np.testing.assert_array_equal(found.label, np.where(known, to_leaders.argmin(axis=1) + 1, -1))
        np.testing.assert_allclose(found.rmsd_to_leader[known], to_leaders.min(axis=1)[known], atol=1e-6)
        if "rmsd_to_second" in found:
            second = np.sort(to_leaders, axis=1)[:, 1]
            there = ~np.isnan(found.rmsd_to_second.to_numpy())
            np.testing.assert_allclose(found.rmsd_to_second[there], second[there], atol=1e-6)


def explore(*, examples: int, steps: int) -> None:
    # A command takes too long for making a failure's steps fewer; what is printed can be run again.
    run_state_machine_as_test(
        AnyOrder,
        settings=settings(max_examples=examples, stateful_step_count=steps, phases=[Phase.generate]),
    )


def test_any_order() -> None:
    explore(examples=2, steps=12)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_any_order__for_long() -> None:
    explore(examples=300, steps=25)
