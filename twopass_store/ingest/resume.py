"""Frames read from the files that a store's plan names, as they were then: the rest, or any again."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from ..config import IngestConfig, validated
from ..errors import ConfigError, FingerprintMismatchError, StageIncompleteError
from ..executors import PROCESS_BYTES
from ..journal import StageJournal
from ..partition import FRAME_CHUNK, FrameList, FrameRange, n_chunks, next_power_of_two, position_chunk_frames
from ..schema import INGESTED, RUN, ArraySpec
from ..store import Store
from ..trajectory import TrajectoryInfo, check_unchanged, format_of, read_blocks, topology_from_json
from .origins import Origin, Origins, file_columns, recorded_origins
from .plan import IngestPlan, atom_columns, describe_file, memory_of
from .request import as_before
from .runs import Source
from .systems import System, SystemTable

__all__ = ["SourceFrames", "plan_rest"]


def _recorded_files(store: Store, **given: Any) -> tuple[StageJournal, Origins, IngestConfig]:
    """Return the journal of a store's ingest, its files, and its options, with those `given` in place."""
    journal, origins = store.journal("ingest"), recorded_origins(store)
    if journal is None or origins is None:
        raise StageIncompleteError(
            f"{store.path}: ingest has not finished. Run the same `twopass ingest` again; it goes on where "
            "it was stopped."
        )
    paths = [file.info["path"] for file in origins.files]
    asked = as_before(validated(IngestConfig, {**given, "trajectories": paths}), journal.plan.request)
    return journal, origins, asked


def plan_rest(
    store: Store, config: IngestConfig | None = None, *, within: FrameRange | None = None
) -> tuple[IngestPlan, IngestConfig]:
    """Plan to finish an ingest or append that was begun, or of which a repair has discarded something.

    Only files whose frames are missing (`within` these chunks of positions) are needed; they may have grown
    since, but must hold what they held. Of `config` only what doesn't change the result counts; the config
    that is returned is the store's.
    """
    kept = {"memory", "workers", "scheduler"}
    given = {} if config is None else config.model_dump(include=kept, exclude_none=True)
    journal, origins, asked = _recorded_files(store, **given)
    recorded = journal.plan.parameters
    products = {product.path: product.n_chunks for product in journal.plan.products}
    specs = [spec for spec in INGESTED if spec.name in products]
    topology = topology_from_json(store.attrs()["topology"])
    n_frames, n_stored = sum(n for _, n in origins.order), _n_stored(store, journal, specs)
    is_whole = all(store.has(spec.name) for spec in specs)
    chunks = {"position": position_chunk_frames(topology.n_atoms), "time": FRAME_CHUNK}
    shard_chunks, column_chunks = (
        store.chunks_per_file(path)
        if store.has(path)
        else next_power_of_two(n_chunks(n_frames, products[path] * chunk))
        for path, chunk in chunks.items()
    )
    unit = shard_chunks * chunks["position"]

    missing = np.flatnonzero(~journal.done("position"))
    if within is not None:
        missing = missing[(missing >= within.start) & (missing < within.stop)]
    ranges = [FrameRange(max(n_stored, int(each) * unit), (int(each) + 1) * unit) for each in missing]
    needed = {index for frames in ranges for index in origins.files_of(frames)}
    # An array that is made anew needs to know its atoms.
    needed |= set() if is_whole else {0}
    systems = SystemTable(asked)
    files = [
        _recorded_source(file, index, recorded, systems if index in needed else None, asked.reader)
        for index, file in enumerate(origins.files)
    ]
    parts = list(origins.parts(n_stored))
    memory = PROCESS_BYTES, 1
    if needed:
        used = [files[index] for index in sorted(needed)]
        memory = memory_of(asked, used, systems, unit=min(unit, n_frames), column_chunks=column_chunks)
    runs = _run_columns(recorded, products)
    plan = IngestPlan(
        sources=tuple(replace(files[index], kept=kept) for index, _, kept in parts),
        trajectories=tuple(index for index, _, _ in parts),
        stored_topology=topology,
        guessed=np.empty(0, np.int64) if is_whole else systems.reference.guessed_atoms(),
        n_stored=n_stored,
        tables=file_columns(origins.files) | atom_columns(topology) | runs,
        names=frozenset(products),
        time_source=origins.time_source,
        journal=journal.plan,
        shard_chunks=shard_chunks,
        column_chunks=column_chunks,
        memory=memory,
        messages=(f"going on with what was begun: {len(needed)} of {len(files)} files are read",),
    )
    return plan, asked


def _n_stored(store: Store, journal: StageJournal, specs: Sequence[ArraySpec]) -> int:
    """Count the frames before the last append, if none of them must be read again; else 0."""
    n_before = int(journal.plan.request.get("append", {}).get("n_frames", 0))
    along_frame = [spec.name for spec in specs if spec.dims[0] == "frame"]
    if not n_before or not all(map(store.has, along_frame)):
        return 0
    unit = store.unit_length("position")
    # A chunk that both share is written again whole, from what is there.
    are_there = all(store.has_chunk(path, (n_before - 1) // store.unit_length(path)) for path in along_frame)
    return n_before if are_there and journal.done("position")[: n_before // unit].all() else 0


def _recorded_source(
    file: Origin, index: int, parameters: Mapping[str, Any], systems: SystemTable | None, reader: str
) -> Source:
    """Return a file to read, which must hold what it held; without `systems` one that isn't read.

    `index` is its place among the files, `parameters` are those of the plan.
    """
    path = file.info["path"]
    entry = format_of(path, file.info["format"], reader=reader)
    info = TrajectoryInfo(**{**file.info, "format": entry})
    if systems is None:
        system = System(file.topology, info.n_atoms, None)
        return Source(info, system, file.kept, file.label, file.run, file.user_time)
    check_unchanged(info)
    system = systems.of(Path(path), Path(file.topology))
    source = Source(info, system, file.kept, file.label, file.run, file.user_time)
    if describe_file(source, parameters["select"]) != parameters["trajectories"][index]:
        raise FingerprintMismatchError(
            f"Other atoms of {path} would be read than before: {system.topology_path}, or the index file, "
            "has changed. Restore it."
        )
    return source


def _run_columns(parameters: Mapping[str, Any], products: Collection[str]) -> dict[str, NDArray[Any]]:
    """Return the columns of the table of runs, which the parameters have as text."""
    names = [spec.name for spec in RUN if spec.dims[0] == "simulation_run" and spec.name in products]
    columns = zip(names, parameters.get("runs", ()), strict=False)
    return {
        name: np.array(column, np.float64 if name == "run_temperature" else object)
        for name, column in columns
    }


class SourceFrames:
    """Source files of a store, which must hold what was ingested, with all atoms.

    `files` are the indices of those that are read; `image` says how periodic images are undone; None as at
    ingest.
    """

    def __init__(self, store: Store, files: Collection[int], *, image: str | None) -> None:
        journal, origins, asked = _recorded_files(store)
        asked = asked if image is None else asked.model_copy(update={"image": image})
        systems = SystemTable(asked)
        self._sources: dict[int, Source] = {
            file: _recorded_source(origins.files[file], file, journal.plan.parameters, systems, asked.reader)
            for file in sorted(files)
        }
        first, *others = self._sources.values()
        for other in others:
            if other.system is not first.system:
                raise ConfigError(
                    f"{first.info.path} and {other.info.path} have different atoms outside the store, "
                    "and one file can't hold both. Choose frames of one of them, or leave out `from_source`."
                )
        self._system = first.system

    @property
    def topology(self) -> md.Topology:
        """All atoms; not to be modified."""
        return self._system.load_topology()

    @property
    def kept_atoms(self) -> NDArray[np.int64]:
        """Those in the store, in its order, as indices among all, shape (n_kept,)."""
        return self._system.kept_atoms()

    def read(
        self, file: NDArray[np.integer], source_frame: NDArray[np.int64]
    ) -> Iterator[NDArray[np.float32]]:
        """Yield positions of frames, given by file and index in it, in this order and a few at a time.

        Each has shape (n_frames, n_atoms, 3), nm.
        """
        edges = np.flatnonzero((np.diff(file) != 0) | (np.diff(source_frame) <= 0)) + 1
        for rows in np.split(np.arange(len(file)), edges):
            info = self._sources[int(file[rows[0]])].info
            frames = FrameList.from_indices(source_frame[rows])
            with closing(read_blocks(info, frames=frames, images=self._system.images)) as blocks:
                for block in blocks:
                    yield block.xyz
