"""The cover: frames far from every leader become leaders themselves, in the order of the frames."""

import math
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from ..config import HEIGHT_IS_RMSD, AssignConfig, format_length
from ..errors import ConfigError
from ..journal import Plan
from ..linkage import Joining
from ..metric import ClusterMetric, read_metric
from ..partition import FrameRange, n_chunks
from ..progress import Progress, counting
from ..rmsd import PreparedLeaders, nearest_leaders, prepare_leaders
from ..schema import COVER
from ..store import Store, discard, leader_positions, led_frames, read_leaders, take
from .left import covered_before, frames_left, frames_of
from .rule import Rule
from .stage import HINT

__all__ = ["BLOCKS_AHEAD", "make_cover", "require_joinable"]

BLOCKS_AHEAD = 8
"""Blocks for each thread that are compared with the same leaders."""

LEAST_RAISE, MOST_RAISE = 1.1, 2.0
"""Factors by which a radius is raised that needs too many leaders."""

Positions = NDArray[np.float32]


class _TooManyLeaders(Exception):  # noqa: N818  # never leaves the stage
    """A cover needs more leaders than there may be, as was seen when the frame `stop` was reached."""

    def __init__(self, stop: int) -> None:
        self.stop = stop


class _GreedyNet:
    """Leaders, to which frames are added that are farther than a radius from all of them, one by one.

    What is added depends on the frames and their order alone.
    """

    def __init__(self, positions: Positions, metric: ClusterMetric, radius_nm: float) -> None:
        self._metric = metric.for_kernels()
        self._radius = radius_nm
        self._positions = positions
        self._settled = self._prepare(positions)

    def __len__(self) -> int:
        return len(self._positions)

    def extend(self, xyz: Positions) -> None:
        """Add leaders."""
        self._positions = np.concatenate([self._positions, xyz])

    def settle(self) -> None:
        """Have `far` compare frames with all leaders."""
        if self._settled.n_leaders < len(self):
            self._settled = self._prepare(self._positions)

    def far(self, xyz: Positions, leaders: PreparedLeaders | None = None) -> NDArray[np.int64]:
        """Return which frames are farther than the radius from all leaders, those settled if none are given.

        Threads may call it.
        """
        # In float64, or rounding the radius could let a stored distance exceed it. NaN isn't far.
        rmsd = nearest_leaders(xyz, leaders or self._settled).rmsd.astype(np.float64)
        return np.flatnonzero(rmsd > self._radius)

    def add_far(self, xyz: Positions) -> list[int]:
        """Add leaders from frames that are `far`, in their order; returns which."""
        left = np.arange(len(xyz))
        if len(left) and self._settled.n_leaders < len(self):
            left = self.far(xyz, self._prepare(self._positions[self._settled.n_leaders :]))
        added: list[int] = []
        while len(left):
            added.append(int(left[0]))
            left = left[1:]
            left = left[self.far(xyz[left], self._prepare(xyz[added[-1:]]))]
        self.extend(xyz[added])
        return added

    def _prepare(self, xyz: Positions) -> PreparedLeaders:
        return prepare_leaders(xyz, self._metric)


def make_cover(
    store: Store,
    name: str,
    plan: Plan,
    config: AssignConfig,
    *,
    most: int,
    threads: int,
    progress: Progress,
) -> None:
    """Add the leaders that the frames of a store need, the step `plan` of a second pass.

    Raises
    ------
    ConfigError
        If they are more than `most`; names a radius that needs no more.
    """
    assert config.cover is not None
    radius, path = config.cover, plan.products[0].path
    n_frames = store.shape("position")[0]
    cover = _Cover(store, name, config, most=most, threads=threads, progress=progress)
    try:
        with store.step(plan, hint=HINT) as journal:
            attrs = {"cover_nm": radius, "cover_link": config.cover_link}
            store.ensure_array(path.rpartition("/")[0], COVER[0], [n_frames], attrs)
            kept, left = covered_before(store, journal), frames_left(store, journal)
            done = n_frames - sum(left.values())
            counted = counting(progress, "assign: cover", total=n_frames, done=done, unit="frames")
            with counted, journal.batches() as finished:
                for chunk, values in cover.chunks(left, kept):
                    finished(store.write_chunk(path, chunk, values))
    except _TooManyLeaders as error:
        # A plan that can't be carried out would stand in the way of another, unless labels rest on it.
        anew = "" if store.journal(f"assign-{name}") is None else " --restart"
        if not anew:
            discard(store, plan.stage)
        reached = f"the first {error.stop:,} of {n_frames:,} frames need more than {most:,} leaders"
        progress.note(f"within {format_length(radius)}, {reached}; looking for a length that needs fewer")
        fitting, n_leaders = cover.fitting(error.stop)
        raise ConfigError(
            f"Within {format_length(radius)} of a leader, {reached}. Use --cover {fitting:g}nm{anew}, which "
            f"needs {n_leaders:,} for all, or allow more with --max-leaders."
        ) from None
    found = read_leaders(store, name).cover
    added, opened = found["n_cover_leaders"], found["n_cover_clusters"]
    progress.note(f"cover: leaders added: {added:,}; clusters that these opened: {opened:,}")


class _Cover:
    """The leaders that frames need: `most` with those of the clustering; compared on so many `threads`."""

    def __init__(
        self, store: Store, name: str, config: AssignConfig, *, most: int, threads: int, progress: Progress
    ) -> None:
        self._store, self._name = store, name
        self._radius, self._link = config.cover or 0.0, config.cover_link
        self._most, self._threads, self._progress = most, threads, progress
        self._metric = read_metric(store, f"clusterings/{name}")
        self._n_frames = store.shape("position")[0]

    def chunks(self, left: Mapping[int, int], kept: int) -> Iterator[tuple[int, NDArray[np.int32]]]:
        """Yield the files that are `left` with their values; so many frames at the start are `kept`."""
        net, clusters = self._net(self._radius), _Clusters(self._store, self._name, self._metric, self._link)
        for chunk in range(n_chunks(self._n_frames, self._store.frames_per_file)):
            frames, first = frames_of(self._store, chunk, kept)
            known = FrameRange(frames.start, first if chunk in left else frames.stop)
            found, labels = led_frames(self._store, self._name, known)
            if len(found):
                xyz = take(self._store, "position", found, self._metric.read_atoms)
                net.extend(xyz)
                for frame, of_frame, label in zip(found.tolist(), xyz, labels.tolist(), strict=True):
                    clusters.add(frame, of_frame, label)
            if chunk not in left:
                continue
            values = np.full(len(frames), -1, np.int32)
            values[found - frames.start] = labels
            for block, added, xyz in self._added(net, FrameRange(first, frames.stop)):
                for frame, of_frame in zip(added.tolist(), xyz, strict=True):
                    values[frame - frames.start] = clusters.label_of(frame, of_frame)
                self._progress.advance(len(block))
            yield chunk, values

    def fitting(self, stop: int) -> tuple[float, int]:
        """Return a larger radius, nm, and how many leaders that needs, which are no more than allowed.

        It is tried on all frames, so that it is sure. The earlier a radius needs too many, the more it is
        raised; `stop` is the frame at which the one asked for did.
        """
        radius = self._radius
        while True:
            factor = min(max((self._n_frames / stop) ** 0.25, LEAST_RAISE), MOST_RAISE)
            radius = _rounded_up(radius * factor)
            net, title = self._net(radius), f"cover: trying {radius:g} nm"
            try:
                with counting(self._progress, title, total=self._n_frames, unit="frames"):
                    for block, *_ in self._added(net, FrameRange(0, self._n_frames)):
                        self._progress.advance(len(block))
                return radius, len(net)
            except _TooManyLeaders as found:
                stop = found.stop

    def _net(self, radius_nm: float) -> _GreedyNet:
        chosen = read_leaders(self._store, self._name, stop=0)
        xyz = leader_positions(self._store, self._name, chosen, atoms=self._metric.read_atoms)
        return _GreedyNet(xyz, self._metric, radius_nm)

    def _added(
        self, net: _GreedyNet, frames: FrameRange
    ) -> Iterator[tuple[FrameRange, NDArray[np.int64], Positions]]:
        """Add leaders for all frames of a range, block by block; yields a block, its leaders, positions."""
        step, atoms = self._store.chunk_length("position"), self._metric.read_atoms
        starts = range(frames.start, frames.stop, step)
        blocks = [FrameRange(at, min(at + step, frames.stop)) for at in starts]

        def far(block: FrameRange) -> tuple[NDArray[np.int64], Positions]:
            xyz = self._store.read_positions(block, atoms)
            left = net.far(xyz)
            return left + block.start, xyz[left]

        at_once = BLOCKS_AHEAD * self._threads
        with ThreadPoolExecutor(self._threads, thread_name_prefix="twopass-cover") as pool:
            for first in range(0, len(blocks), at_once):
                net.settle()
                some = blocks[first : first + at_once]
                for block, (frame, xyz) in zip(some, pool.map(far, some), strict=True):
                    added = net.add_far(xyz)
                    if len(net) > self._most:
                        raise _TooManyLeaders(block.stop)
                    yield block, frame[added], xyz[added]


class _Clusters:
    """The clusters, and which of them each leader stands for that is added: the next, or one of the tree."""

    def __init__(self, store: Store, name: str, metric: ClusterMetric, link: bool) -> None:
        group = f"clusterings/{name}"
        attrs = store.attrs(group)
        self._metric = metric.for_kernels()
        self._n_clusters = int(attrs["n_clusters_found"])
        self._joining: Joining | None = None
        self._in_subset: dict[int, int] = {}
        subset = f"subsets/{attrs['subset']}"
        if link or Rule.of(attrs).keeps_subset:
            frames, labels = store.read(f"{subset}/subset_frame"), store.read(f"{group}/subset_label")
            self._in_subset = dict(zip(frames[labels > 0].tolist(), labels[labels > 0].tolist(), strict=True))
        if link:
            tree = store.read(f"{subset}/{attrs['linkage']}")
            method, cutoff = attrs["linkage_method"], attrs["cutoff_nm"]
            self._joining = Joining(tree, labels, method=method, cutoff=cutoff)
            self._members = take(store, "position", frames, metric.read_atoms)
            self._n_members = len(frames)

    def label_of(self, frame: int, xyz: Positions) -> int:
        """Return the label of a leader that is added, at its positions, shape (n_atoms, 3)."""
        label = self._in_subset.get(frame, self._n_clusters + 1)
        if self._joining is not None and frame not in self._in_subset:
            one = prepare_leaders(xyz[np.newaxis], self._metric)
            label = self._joining.label_of(nearest_leaders(self._members[: self._n_members], one).rmsd)
        self.add(frame, xyz, label)
        return label

    def add(self, frame: int, xyz: Positions, label: int) -> None:
        """Add a leader whose label is known."""
        self._n_clusters = max(self._n_clusters, label)
        if self._joining is not None and frame not in self._in_subset:
            self._joining.join(label)
            if self._n_members == len(self._members):
                self._members = np.concatenate([self._members, np.empty_like(self._members)])
            self._members[self._n_members] = xyz
            self._n_members += 1


def require_joinable(store: Store, name: str) -> None:
    """Refuse to join frames to clusters that weren't cut from a tree whose heights are RMSDs."""
    attrs = store.attrs(f"clusterings/{name}")
    if attrs.get("linkage_method") not in HEIGHT_IS_RMSD or attrs.get("linkage_input") != "condensed":
        made = attrs.get("linkage_method") or attrs.get("method")
        rows = " of rows" if attrs.get("linkage_input") == "rows" else ""
        raise ConfigError(
            f"`cover_link`: the clusters of {name} are by {made}{rows}, and frames can join only those of a "
            f"tree whose heights are RMSDs ({', '.join(HEIGHT_IS_RMSD)}). Leave it out: then each leader "
            "that is added is a cluster of its own."
        )


def _rounded_up(length_nm: float) -> float:
    """Round up to three digits, as the length is written and read again."""
    unit = 10.0 ** (math.floor(math.log10(length_nm)) - 2)
    return float(f"{math.ceil(length_nm / unit) * unit:.3g}")
