"""One unit of the second pass: a file of the per-frame arrays, read, compared with the leaders, written."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..journal import Writer
from ..metric import read_metric
from ..partition import FrameRange
from ..rmsd import Nearest, PreparedLeaders, nearest_leaders, nearest_other_leaders, prepare_leaders
from ..schema import ASSIGNMENT, LABEL_STATUS, MARGIN
from ..store import Store, leader_positions, read_leaders
from ..units import Receipt, Unit
from .left import frames_of
from .rule import Rule

__all__ = ["AssignUnit"]

Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class AssignUnit(Unit):
    """The work on files of a second pass.

    The `fingerprint` is that of the labels' plan, and tells clusterings of one name apart in a process that
    has seen both. `covered` frames at the beginning have values already: the rest of their last file is
    added. At the frames `appended` others were appended: those before are compared with no leader from behind
    them, so that they keep their values.
    """

    name: str
    fingerprint: str
    noise_cutoff: float | None = None  # nm
    margin: bool = False  # of frames that have a label already
    covered: int = 0
    appended: tuple[int, ...] = ()

    def __call__(self, chunks: FrameRange) -> Receipt:
        """Do the frames of chunks and write these."""
        of_unit = self.path, self.staging, self.name, self.fingerprint
        store = _read_inputs(*of_unit, None).store
        group = f"clusterings/{self.name}"
        specs, find = (MARGIN, self._margins) if self.margin else (ASSIGNMENT, self._labels)
        records, count = [], 0
        for chunk in range(chunks.start, chunks.stop):
            frames, first = frames_of(store, chunk, self.covered)
            kept = FrameRange(frames.start, first)
            parts = [{spec.name: store.read(f"{group}/{spec.name}", kept) for spec in specs}]
            count += frames.stop - first
            for stop in (*self.appended, None):
                end = min(stop or frames.stop, frames.stop)
                if first < end:
                    parts.append(find(_read_inputs(*of_unit, stop), FrameRange(first, end)))
                    first = end
            for spec in specs:
                values = np.concatenate([each[spec.name] for each in parts])
                records.append(store.write_chunk(f"{group}/{spec.name}", chunk, values))
        return Receipt(chunks, tuple(records), count)

    def _labels(self, inputs: "_Inputs", frames: FrameRange) -> Columns:
        within = inputs.rule.within_nm
        found = self._each_block(
            inputs, frames, lambda _, xyz: nearest_leaders(xyz, inputs.leaders, first_within=within)
        )
        status = np.full(len(found.index), LABEL_STATUS["assigned"], np.int8)
        if self.noise_cutoff is not None:
            # In float32, as whoever compares the stored distances with the cutoff does.
            status[found.rmsd > np.float32(self.noise_cutoff)] = LABEL_STATUS["beyond_noise_cutoff"]
        status[found.index < 0] = LABEL_STATUS["not_finite"]
        is_assigned = status == LABEL_STATUS["assigned"]
        label = np.where(is_assigned, inputs.leader_label[found.index], np.int32(-1))
        inside = slice(*np.searchsorted(inputs.kept_frame, [frames.start, frames.stop]))
        kept = inputs.kept_frame[inside] - frames.start
        label[kept], status[kept] = inputs.kept_label[inside], LABEL_STATUS["kept_from_first_pass"]
        return {
            "label": label,
            "label_status": status,
            "leader_index": found.index,
            "rmsd_to_leader": found.rmsd,
        }

    def _margins(self, inputs: "_Inputs", frames: FrameRange) -> Columns:
        label = inputs.store.read(f"clusterings/{self.name}/label", frames)

        def nearest(block: FrameRange, xyz: NDArray[np.float32]) -> Nearest:
            own = label[block.start - frames.start : block.stop - frames.start]
            return nearest_other_leaders(xyz, inputs.leaders, inputs.leader_label, own)

        found = self._each_block(inputs, frames, nearest)
        return {
            "second_label": np.where(found.index >= 0, inputs.leader_label[found.index], np.int32(-1)),
            "rmsd_to_second": found.rmsd,
        }

    def _each_block(
        self,
        inputs: "_Inputs",
        frames: FrameRange,
        nearest: Callable[[FrameRange, NDArray[np.float32]], Nearest],
    ) -> Nearest:
        """Compare the frames block by block, a chunk of positions each."""
        store = inputs.store
        step = store.chunk_length("position")
        blocks = [
            FrameRange(at, min(at + step, frames.stop)) for at in range(frames.start, frames.stop, step)
        ]

        def compare(block: FrameRange) -> Nearest:
            return nearest(block, store.read_positions(block, inputs.atoms))

        with ThreadPoolExecutor(self.threads, thread_name_prefix="twopass-block") as pool:
            found = list(pool.map(compare, blocks))
        return Nearest(
            np.concatenate([part.index for part in found]), np.concatenate([part.rmsd for part in found])
        )


@dataclass(frozen=True, slots=True)
class _Inputs:
    store: Store
    atoms: NDArray[np.int64] | None
    leaders: PreparedLeaders
    leader_label: NDArray[np.int32]
    rule: Rule
    kept_frame: NDArray[np.int64]
    kept_label: NDArray[np.int32]


_preparing = threading.Lock()


def _read_inputs(*key: Any) -> _Inputs:
    with _preparing:  # threads would all prepare them at once
        return _prepared(*key)


@lru_cache(maxsize=2)
def _prepared(path: Path, staging: Path, name: str, fingerprint: str, stop: int | None) -> _Inputs:
    """Open the store and prepare the leaders before the frame `stop`, once for all units of a process."""
    store = Store.open(path, writer=Writer(staging))
    metric, leaders = read_metric(store, f"clusterings/{name}"), read_leaders(store, name, stop=stop)
    atoms = metric.read_atoms
    prepared = prepare_leaders(leader_positions(store, name, leaders, atoms=atoms), metric.for_kernels())
    is_all = np.array_equal(atoms, np.arange(store.shape("position")[1]))
    group = f"clusterings/{name}"
    attrs = store.attrs(group)
    rule = Rule.of(attrs)
    kept = np.empty(0, np.int64), np.empty(0, np.int32)
    if rule.keeps_subset:
        kept = store.read(f"subsets/{attrs['subset']}/subset_frame"), store.read(f"{group}/subset_label")
    return _Inputs(store, None if is_all else atoms, prepared, leaders.label, rule, *kept)
