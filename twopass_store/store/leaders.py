"""All leaders of a clustering in one list: those chosen with it, then those that a cover added."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import StageIncompleteError
from ..journal import Plan
from ..partition import FRAME_CHUNK, FrameRange, chunk_range, n_chunks
from .store import Store
from .taking import take

__all__ = ["LeaderList", "frames_kept", "leader_positions", "led_frames", "read_leaders", "require_cover"]


@dataclass(frozen=True, slots=True, eq=False)
class LeaderList:
    """The leaders that ``leader_index`` counts: `n_chosen` of the clustering, then those of a cover."""

    frame: NDArray[np.int64]  # in the store, -1 for a structure from outside; shape (n_leaders,)
    label: NDArray[np.int32]  # shape (n_leaders,)
    n_chosen: int
    n_clusters_found: int  # of the first pass, or of structures from outside
    cover: dict[str, Any]  # attributes that tell of the cover; empty without one

    @property
    def n_clusters(self) -> int:
        """All clusters, those that a cover opened included."""
        return max(self.n_clusters_found, int(self.label[self.n_chosen :].max(initial=0)))

    @property
    def opened(self) -> NDArray[np.int64]:
        """Frames of the leaders that opened a cluster, by label, shape (n_clusters − n_clusters_found,)."""
        frame, label = self.frame[self.n_chosen :], self.label[self.n_chosen :]
        _, first = np.unique(label, return_index=True)
        return frame[first[label[first] > self.n_clusters_found]]


def read_leaders(store: Store, name: str, *, stop: int | None = None) -> LeaderList:
    """Read the leaders of a finished clustering, of a cover only those before the frame `stop` if given.

    Of a cover that hasn't finished, they are those of the frames at the beginning that it had come to before
    others were appended.
    """
    group = f"clusterings/{name}"
    frame, label = store.read(f"{group}/leader_frame"), store.read(f"{group}/leader_label")
    n_chosen, n_found = len(frame), int(store.attrs(group)["n_clusters_found"])
    covered = _frames_done(store, f"cover-{name}")
    stop = covered if stop is None else min(covered, stop)
    if not stop:
        return LeaderList(frame, label, n_chosen, n_found, {})
    found, leads = led_frames(store, name, FrameRange(0, stop))
    leaders = LeaderList(np.append(frame, found), np.append(label, leads), n_chosen, n_found, {})
    attrs = store.attrs(f"{group}/cover_label")
    counts = {"n_cover_leaders": len(found), "n_cover_clusters": leaders.n_clusters - n_found}
    return replace(leaders, cover={name: attrs[name] for name in ("cover_nm", "cover_link")} | counts)


def leader_positions(
    store: Store,
    name: str,
    leaders: LeaderList,
    rows: NDArray[np.int64] | None = None,
    atoms: NDArray[np.int64] | None = None,
) -> NDArray[np.float32]:
    """Read positions of leaders, all or some `rows` and `atoms`, shape (n_rows, n_atoms, 3), nm."""
    rows = np.arange(len(leaders.frame)) if rows is None else rows
    n_atoms = store.shape("position")[1] if atoms is None else len(atoms)
    xyz = np.empty((len(rows), n_atoms, 3), np.float32)
    is_added = rows >= leaders.n_chosen
    if is_added.any():
        xyz[is_added] = take(store, "position", leaders.frame[rows[is_added]], atoms)
    if not is_added.all():
        chosen = take(store, f"clusterings/{name}/leader_position", rows[~is_added])
        xyz[~is_added] = chosen if atoms is None else chosen[:, atoms]
    return xyz


def require_cover(store: Store, name: str) -> None:
    """Raise a `StageIncompleteError` if labels refer to leaders of which a repair has discarded some."""
    has_cover = store.journal(f"cover-{name}") is not None
    if has_cover and _frames_done(store, f"assign-{name}") > _frames_done(store, f"cover-{name}"):
        raise StageIncompleteError(
            f"{store.path}: leaders that the cover of {name!r} had added are missing. Run the same "
            "`twopass assign` again; it finds them anew."
        )


def _frames_done(store: Store, stage: str) -> int:
    """Count the frames at the beginning of the store that a second pass has finished; 0 while it is new."""
    journal = store.journal(stage)
    if journal is None:
        return 0
    plan = journal.plan
    covered = int(plan.parameters["n_frames"] if journal.complete else plan.request.get("covered", 0))
    lost = np.flatnonzero(~journal.units_done()[: covered // store.frames_per_file])
    return int(lost[0]) * store.frames_per_file if len(lost) else frames_kept(store, plan, covered)


def frames_kept(store: Store, plan: Plan, covered: int) -> int:
    """Return how many of the first `covered` frames have the values of a second pass that it gave them."""
    edge, n_present = divmod(covered, store.frames_per_file)
    # Where a repair has discarded one of its files, the last is begun anew.
    is_there = n_present == 0 or all(store.has_chunk(product.path, edge) for product in plan.products)
    return covered if is_there else covered - n_present


def led_frames(store: Store, name: str, frames: FrameRange) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Read which frames of a range lead by a cover, and their clusters."""
    path = f"clusterings/{name}/cover_label"
    found, labels = [np.empty(0, np.int64)], [np.empty(0, np.int32)]
    for chunk in range(frames.start // FRAME_CHUNK, n_chunks(frames.stop, FRAME_CHUNK)):
        part = chunk_range(chunk, chunk=FRAME_CHUNK, length=frames.stop)
        part = FrameRange(max(part.start, frames.start), part.stop)
        label = store.read(path, part)
        here = np.flatnonzero(label >= 0)
        found.append(here + part.start)
        labels.append(label[here])
    return np.concatenate(found), np.concatenate(labels)
