"""Where the frames of a store come from, as its plan keeps it: enough to read any of them again."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import groupby
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..journal import Plan, pack_json, unpack_json
from ..partition import FrameList, FrameRange
from ..schema import TRAJECTORY_FILE, TRAJECTORY_RECORD
from ..store import Store

__all__ = ["ORIGINS", "Origin", "Origins", "file_columns", "recorded_origins"]

ORIGINS = "origins"  # where a plan's request has them


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """One source file."""

    info: Mapping[str, Any]  # of its `TrajectoryInfo` when its last frames were taken; format by extension
    topology: str  # the file that names its atoms
    label: str  # this and the others as in `Source`
    run: int
    user_time: tuple[float, float] | None
    kept: FrameList


@dataclass(frozen=True, slots=True, eq=False)
class Origins:
    """All source files of a store."""

    files: tuple[Origin, ...]  # in the order of the store's table of files
    order: tuple[tuple[int, int], ...]  # files and how many frames follow of each, as frames lie in the store
    time_source: str  # see the schema

    @classmethod
    def of(cls, plan: Plan) -> Self | None:
        """Return those of a plan; None if it has none."""
        text = plan.request.get(ORIGINS)
        if text is None:
            return None
        found, files = unpack_json(text), []
        for file in found["files"]:
            info = {**file["info"], "positions_at": _frames(file["info"]["positions_at"])}
            user_time = file["user_time"] and tuple(file["user_time"])
            known = {"info": info, "kept": _frames(file["kept"]), "user_time": user_time}
            files.append(Origin(**{**file, **known}))
        return cls(tuple(files), tuple((file, n) for file, n in found["order"]), found["time_source"])

    def put_into(self, plan: Plan) -> Plan:
        """Return the plan with these."""
        files = []
        for file in self.files:
            info = {**file.info, "positions_at": _runs(file.info["positions_at"])}
            known = {each.name: getattr(file, each.name) for each in fields(file)}
            files.append({**known, "info": info, "kept": _runs(file.kept)})
        text = pack_json({"files": files, "order": self.order, "time_source": self.time_source})
        return replace(plan, request={**plan.request, ORIGINS: text})

    def followed_by(self, files: Mapping[int, Origin], added: Mapping[int, int]) -> Self:
        """Return them with files that are new or have grown, and the frames that each adds, by index."""
        longer = list(self.files)
        for index in sorted(files):  # new ones come after the last
            longer[index : index + 1] = [files[index]]
        order = []
        for index, parts in groupby((*self.order, *added.items()), lambda part: part[0]):
            order.append((index, sum(n for _, n in parts)))
        return replace(self, files=tuple(longer), order=tuple(order))

    def parts(self, start: int = 0) -> Iterator[tuple[int, FrameRange, FrameList]]:
        """Yield, from a frame of the store on, the files in order: index, frames in the store, and in it."""
        place, taken = 0, dict.fromkeys(range(len(self.files)), 0)
        for index, n_frames in self.order:
            first = taken[index]
            taken[index] += n_frames
            skipped = min(max(start - place, 0), n_frames)
            if skipped < n_frames:
                kept = self.files[index].kept.part(first + skipped, first + n_frames)
                yield index, FrameRange(place + skipped, place + n_frames), kept
            place += n_frames

    def files_of(self, frames: FrameRange) -> set[int]:
        """Return the indices of the files that some frames of the store come from."""
        return {index for index, rows, _ in self.parts(frames.start) if rows.start < frames.stop}


def recorded_origins(store: Store) -> Origins | None:
    """Return the source files of a store; None if nothing was planned yet."""
    journal = store.journal("ingest")
    return None if journal is None else Origins.of(journal.plan)


def file_columns(files: Sequence[Origin]) -> dict[str, NDArray[Any]]:
    """Return the columns of the table of files by name."""
    keys = {"size": "size_bytes", "modified": "modified_ns"}
    columns = {}
    for spec in (*TRAJECTORY_FILE, *TRAJECTORY_RECORD):
        name = spec.name.removeprefix("trajectory_")
        values = [file.label if name == "label" else file.info[keys.get(name, name)] for file in files]
        columns[spec.name] = np.array(values, object if spec.dtype == "str" else spec.dtype)
    return columns


def _runs(frames: FrameList | None) -> list[list[int]] | None:
    return None if frames is None else [frames.starts.tolist(), frames.steps.tolist(), frames.ends.tolist()]


def _frames(runs: list[list[int]] | None) -> FrameList | None:
    return None if runs is None else FrameList(*(np.array(values, np.int64) for values in runs))
