"""What an ingest will do: its files, the frames kept of each, the atoms, and the memory that it needs."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from ..config import IngestConfig, InputFile
from ..journal import Plan, Product
from ..partition import FRAME_CHUNK, chunks_per_file, chunks_per_shard, n_chunks, position_chunk_frames
from ..schema import FRAME, INGESTED, UNITCELL, ArraySpec, chunk_shape
from ..store import Store
from ..trajectory import (
    READER_BYTES,
    TOPOLOGY_BYTES_PER_ATOM,
    describe_selection,
    reading_bytes,
    topology_to_json,
)
from .columns import BYTES, COLUMNS_PER_WORKER
from .look import look_at_frames
from .origins import Origin, Origins, file_columns
from .request import JUMPS, requested
from .runs import Run, Source
from .sources import Inputs, find_inputs
from .systems import SystemTable, listed, short_hash

__all__ = ["IngestPlan", "atom_columns", "describe_file", "memory_of", "origin_of", "plan_ingest"]

# Chunks of positions at once: one being read, one queued, two being encoded, and their encoded copies.
CHUNKS_IN_MEMORY = 6
# The process that reads nothing and compares nothing (measured: 85 to 110 MiB), and what else it imports.
DRIVER_BYTES = 200 << 20
TIME_BYTES = 8  # of a frame of uneven times; even ones take nothing
# A stretch of evenly spaced frames that are kept, and how the journal has it (measured: about 150).
STRETCH_BYTES = 250


@dataclass(frozen=True, slots=True, eq=False)
class IngestPlan:
    """All that an ingest does, fixed before its first frame is read."""

    sources: tuple[Source, ...]  # to read, in the order of their frames in the store
    trajectories: tuple[int, ...]  # their indices in its table of files
    stored_topology: md.Topology  # the atoms kept, as the first file names them
    guessed: NDArray[np.int64]  # those of them whose elements it doesn't have
    n_stored: int  # frames at the store's beginning that are there already: 0 unless more are appended
    tables: Mapping[str, NDArray[Any]]  # columns of the tables of files, atoms and runs by name
    names: frozenset[str]  # of the root's arrays that are written
    time_source: str  # see the schema
    journal: Plan  # as the journal keeps it
    shard_chunks: int  # chunks of positions in one file
    column_chunks: int  # chunks of the other arrays along frame in one file
    memory: tuple[int, int]  # upper bounds, in bytes: of the driver, and of each worker beside it
    messages: tuple[str, ...]  # what the user should see

    @property
    def n_frames(self) -> int:
        """Frames in the store."""
        return self.n_stored + sum(len(source.kept) for source in self.sources)

    @property
    def n_atoms(self) -> int:
        """Atoms in the store."""
        return int(self.stored_topology.n_atoms)

    @property
    def along_frame(self) -> list[ArraySpec]:
        """The arrays along ``frame``."""
        return [spec for spec in INGESTED if spec.dims[0] == "frame" and spec.name in self.names]

    @property
    def arrays(self) -> list[tuple[ArraySpec, tuple[int, ...]]]:
        """The arrays that are written, with their shapes."""
        sizes = {"frame": self.n_frames, "atom": self.n_atoms, "xyz": 3}
        sizes["trajectory_file"] = len(self.tables["trajectory_path"])
        sizes["simulation_run"] = len(self.tables.get("run_label", ()))
        return [
            (spec, tuple(sizes[dim] for dim in spec.dims)) for spec in INGESTED if spec.name in self.names
        ]

    @property
    def products(self) -> tuple[Product, ...]:
        """The same for the journal."""
        return tuple(
            Product(spec.name, n_chunks(shape[0], self.chunks_per_file(spec) * chunk_shape(spec, shape)[0]))
            for spec, shape in self.arrays
        )

    def chunks_per_file(self, spec: ArraySpec) -> int:
        """Chunks of an array in one file."""
        if spec.name == "position":
            return self.shard_chunks
        return self.column_chunks if spec.dims[0] == "frame" else 1


def plan_ingest(config: IngestConfig, files: Sequence[InputFile], *, to: Store | None = None) -> IngestPlan:
    """Probe the files that the config stands for and fix what will be done, whatever a store has of them."""
    request = requested(config, files)
    systems = SystemTable(config)
    inputs = find_inputs(config, files, systems)
    sources, reference = inputs.sources, systems.reference
    stored_topology = reference.load_kept_topology()
    n_frames = sum(len(source.kept) for source in sources)
    if to is None:
        shard_chunks = chunks_per_shard(n_frames, reference.n_kept, shard=config.shard or "auto")
        column_chunks = chunks_per_file(n_frames)
    else:
        shard_chunks, column_chunks = map(to.chunks_per_file, ("position", "time"))
    origins = Origins(
        tuple(map(origin_of, sources)),
        tuple((index, len(source.kept)) for index, source in enumerate(sources) if len(source.kept)),
        inputs.time_source,
    )
    tables = file_columns(origins.files) | atom_columns(stored_topology) | _run_columns(inputs.runs)
    if not any(source.label for source in sources):
        del tables["trajectory_label"]
    names = {spec.name for spec in FRAME} | tables.keys()
    if any(source.info.has_unitcell for source in sources):
        names |= {spec.name for spec in UNITCELL}
    if inputs.runs is not None:
        names.add("run")
    shard_frames = shard_chunks * position_chunk_frames(reference.n_kept)
    unit = min(shard_frames, n_frames + (0 if to is None else to.shape("position")[0]))
    memory = memory_of(config, sources, systems, unit=unit, column_chunks=column_chunks)
    guessed = reference.guessed_atoms()
    jumps, remarks = look_at_frames(sources, stored_topology, guessed, for_jumps=config.image == "none")
    request |= {JUMPS: jumps} if jumps else {}
    plan = IngestPlan(
        sources=sources,
        trajectories=tuple(range(len(sources))),
        stored_topology=stored_topology,
        guessed=guessed,
        n_stored=0,
        tables=tables,
        names=frozenset(names),
        time_source=inputs.time_source,
        journal=Plan("ingest", _parameters(config, inputs, systems, stored_topology), (), request),
        shard_chunks=shard_chunks,
        column_chunks=column_chunks,
        memory=memory,
        messages=(*_messages(config, inputs, systems), *remarks),
    )
    return replace(plan, journal=origins.put_into(replace(plan.journal, products=plan.products)))


def _parameters(
    config: IngestConfig, inputs: Inputs, systems: SystemTable, stored_topology: md.Topology
) -> dict[str, Any]:
    """Return what determines the frames in the store."""
    reference, sources = systems.reference.fingerprint(), inputs.sources
    parameters = {
        "select": reference,
        "stride": config.stride,
        "discard_first": config.discard_first,
        "topology": short_hash([topology_to_json(stored_topology).encode()]),
        "trajectories": [describe_file(source, reference) for source in sources],
    }
    # Integers on the files' own grid and float32 are the same values: only rounding makes others.
    if not isinstance(config.precision, str):
        parameters["precision"] = f"rounded to {config.precision:g} nm"
    if config.reader != "mdtraj":
        parameters["reader"] = config.reader
    if config.format is not None:
        parameters["format"] = sources[0].info.format.mdanalysis or sources[0].info.format.name
    if any(source.label for source in sources):
        parameters["labels"] = [source.label for source in sources]
    if config.image != "none":
        parameters["image"] = config.image
    # An unused `dt` groups no files into runs.
    if any(source.run >= 0 for source in sources):
        parameters["times"] = [_timing(source) for source in sources]
    if inputs.runs is not None:
        columns = _run_columns(inputs.runs).values()
        parameters["runs"] = [[str(value) for value in column] for column in columns]
    return parameters


def origin_of(source: Source) -> Origin:
    """Return what a plan keeps of a file."""
    info = {each.name: getattr(source.info, each.name) for each in fields(source.info)}
    entry = source.info.format
    info["format"] = entry.extensions[0][1:] if entry.mdanalysis is None else entry.mdanalysis
    topology = source.system.topology_path
    return Origin(info, topology, source.label, source.run, source.user_time, source.kept)


def describe_file(source: Source, reference: str) -> str:
    """Describe a file for a plan; `reference` is the fingerprint of the first file's atoms."""
    info, atoms = source.info, source.system.fingerprint()
    # Without its name: a file that was renamed is the same file.
    text = f"{info.n_frames} frames ({info.digest[:12]})"
    return text if atoms == reference else f"{text}, {atoms}"


def atom_columns(topology: md.Topology) -> dict[str, NDArray[Any]]:
    """Return the columns of the table of atoms by name."""
    atoms = list(topology.atoms)
    chains = [atom.residue.chain for atom in atoms]
    return {
        "atom_name": np.array([atom.name for atom in atoms], object),
        "element": np.array(["" if atom.element is None else atom.element.symbol for atom in atoms], object),
        "residue_name": np.array([atom.residue.name for atom in atoms], object),
        "residue_id": np.array([atom.residue.resSeq for atom in atoms], np.int64),
        # Many topology files name no chains.
        "chain_id": np.array([str(getattr(c, "chain_id", None) or c.index) for c in chains], object),
    }


def _timing(source: Source) -> str:
    """Describe which frames times have chosen, and what times the user gave."""
    frames, given = short_hash(piece.tobytes() for piece in source.kept.pieces()), ""
    if source.user_time is not None:
        a_step = " a step" if source.info.format.has_steps else ""
        given = ", from {} every {} ps{}".format(*source.user_time, a_step)
    return f"run {source.run}, {len(source.kept)} frames ({frames}){given}"


def _run_columns(runs: Sequence[Run] | None) -> dict[str, NDArray[Any]]:
    """Return the columns of the table of runs by name; none if there are no runs."""
    if runs is None:
        return {}
    columns: dict[str, NDArray[Any]] = {"run_label": np.array([run.label for run in runs], object)}
    if any(run.replica for run in runs):
        columns["run_replica"] = np.array([run.replica for run in runs], object)
    if any(run.temperature is not None for run in runs):
        columns["run_temperature"] = np.array([run.temperature for run in runs], np.float64)
    return columns


def memory_of(
    config: IngestConfig, sources: Sequence[Source], systems: SystemTable, *, unit: int, column_chunks: int
) -> tuple[int, int]:
    """Return upper bounds of what the driver needs, and each worker beside it.

    `unit` are the frames in a file of positions, `column_chunks` the chunks in one of the others.
    """
    n_kept = systems.reference.n_kept
    # The reader's cache keeps two topologies.
    topologies = sum(sorted(system.n_atoms for system in systems.systems)[-2:])
    # To undo periodic images takes as much again: a topology with bonds, and molecules.
    topologies *= 1 if config.image == "none" else 2
    topology_bytes = TOPOLOGY_BYTES_PER_ATOM * topologies
    reads_topology = config.image != "none" or any(
        source.info.format.name in ("MDTraj HDF5", "GRO") for source in sources
    )
    # The times of a run are looked at together; what is in no run is looked at file by file.
    timed: Counter[int | str] = Counter()
    for source in sources:
        timed[source.run if source.run >= 0 else source.info.path] += source.info.n_frames
    column_bytes = column_chunks * FRAME_CHUNK * sum(BYTES.values())  # one file of each
    shared = DRIVER_BYTES + topology_bytes + column_bytes
    shared += TIME_BYTES * max(timed.values())
    shared += STRETCH_BYTES * sum(len(source.kept.starts) for source in sources)
    reader = READER_BYTES + (topology_bytes if reads_topology else 0)
    reader += max(reading_bytes(source.info, n_selected=n_kept) for source in sources)
    given = [source.info.n_frames for source in sources if source.user_time is not None]
    reader += TIME_BYTES * max(given, default=0)
    return shared, reader + CHUNKS_IN_MEMORY * unit * n_kept * 12 + COLUMNS_PER_WORKER * column_bytes


def _messages(config: IngestConfig, inputs: Inputs, systems: SystemTable) -> Iterator[str]:
    sources, reference = inputs.sources, systems.reference
    asked = "all atoms"
    if config.select is not None:
        asked = f'select "{config.select}"'
    elif config.group is not None:
        asked = f'group "{config.group}"'
    topology = reference.load_topology()
    yield f"{asked}: {describe_selection(topology, reference.kept_atoms())} of {topology.n_atoms} atoms"
    yield from systems.remarks()
    if inputs.runs is not None:
        yield f"{len(inputs.runs)} run{'s' if len(inputs.runs) > 1 else ''} of {len(sources)} files"
    yield from inputs.remarks
    yield from _renamed(sources)
    infos = [(Path(source.info.path).name, source.info) for source in sources]
    unfinished = [f"{name} ({info.unfinished})" for name, info in infos if info.unfinished]
    if unfinished:
        others = f"; and {len(unfinished) - 3} more" if len(unfinished) > 3 else ""
        yield (
            f"warning: unfinished, so only whole frames are taken: {'; '.join(unfinished[:3])}{others}. "
            "`append` adds the rest when it is there"
        )
    if n_without := sum(info.n_without_positions for _, info in infos):
        names = [name for name, info in infos if info.n_without_positions]
        yield f"{n_without:,} frames of velocities or forces alone are left out of {listed(names)}"
    bare = [name for name, info in infos if not info.has_unitcell]
    if 0 < len(bare) < len(sources):
        yield f"no unit cell in {listed(bare)}: NaN for those frames"


def _renamed(sources: Sequence[Source]) -> Iterator[str]:
    """Say what files are read as whose extensions say something else, or nothing."""
    found: dict[str, list[str]] = {}
    for info in (source.info for source in sources):
        file = Path(info.path)
        if not {suffix.lower() for suffix in file.suffixes[-2:]} & set(info.format.extensions):
            found.setdefault(info.format.name, []).append(file.name)
    for name, files in found.items():
        yield f"read as {name}: {listed(files)}"
