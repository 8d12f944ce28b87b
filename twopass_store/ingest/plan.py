"""What an ingest will do: its files, the frames kept of each, the atoms, and the memory that it needs."""

from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from ..config import IngestConfig
from ..executors import PROCESS_BYTES
from ..journal import Plan
from ..partition import FRAME_CHUNK, position_chunk_frames
from ..schema import ATOM, FRAME, TRAJECTORY_FILE, UNITCELL, ArraySpec
from ..store import Store
from ..trajectory import describe_selection, guessed_elements, reading_bytes, topology_to_json
from .request import requested
from .sources import Source, find_sources
from .systems import System, SystemTable

__all__ = ["CHUNKS_IN_MEMORY", "IngestPlan", "Source", "plan_ingest"]

CHUNKS_IN_MEMORY = 4
"""Chunks of positions at once: one being read, one queued, one being encoded, and its encoded copy."""

TOPOLOGY_BYTES_PER_ATOM = 4000
"""Of mdtraj's objects, their JSON text and the tables made from it (measured: about 2500)."""


@dataclass(frozen=True, slots=True)
class IngestPlan:
    """All that an ingest does, fixed before its first frame is read.

    Attributes
    ----------
    sources
        The files in the order of their frames in the store.
    stored_topology
        That of the atoms kept, as the first file names them.
    guessed
        Atoms of `stored_topology` whose elements its file doesn't have.
    n_frames
        Frames in the store.
    time_source
        ``file`` or ``index``; see the schema.
    arrays
        Specs and shapes of the root's arrays.
    journal
        The plan as the journal keeps it.
    projected_bytes
        Upper bound of the memory of the whole stage.
    messages
        What the user should see: what was matched.
    """

    sources: tuple[Source, ...]
    stored_topology: md.Topology
    guessed: NDArray[np.int64]
    n_frames: int
    time_source: str
    arrays: tuple[tuple[ArraySpec, tuple[int, ...]], ...]
    journal: Plan
    projected_bytes: int
    messages: tuple[str, ...]


def plan_ingest(config: IngestConfig) -> IngestPlan:
    """Probe the files and fix what will be done.

    Raises
    ------
    TrajectoryError
        If a file can't be used, or the files' atoms differ.
    ConfigError
        If the selection, the stride or the discarded frames leave nothing, or most atoms are solvent and
        no selection says that this is meant.
    """
    request = requested(config)
    systems = SystemTable(config)
    sources = find_sources(config, systems)
    reference = systems.reference
    topology, stored_topology = reference.load_topology(), reference.load_kept_topology()
    n_frames = sum(len(source.kept) for source in sources)
    time_source = "file" if all(source.info.has_time for source in sources) else "index"
    has_unitcell = any(source.info.has_unitcell for source in sources)
    sizes = {"frame": n_frames, "atom": reference.n_kept, "xyz": 3, "trajectory_file": len(sources)}
    specs = (*FRAME, *(UNITCELL if has_unitcell else ()), *TRAJECTORY_FILE, *ATOM)
    arrays = tuple((spec, tuple(sizes[dim] for dim in spec.dims)) for spec in specs)
    parameters = {
        "select": reference.fingerprint(),
        "stride": config.stride,
        "discard_first": config.discard_first,
        "topology": _hash(topology_to_json(stored_topology).encode()),
        "trajectories": [_described(source, reference) for source in sources],
    }
    # Integers on the files' own grid and float32 are the same values: only rounding makes others.
    if not isinstance(config.precision, str):
        parameters["precision"] = f"rounded to {config.precision:g} nm"
    return IngestPlan(
        sources=sources,
        stored_topology=stored_topology,
        guessed=np.flatnonzero(guessed_elements(reference.topology_path, topology)[reference.kept_atoms()]),
        n_frames=n_frames,
        time_source=time_source,
        arrays=arrays,
        journal=Plan(
            stage="ingest",
            parameters=parameters,
            products=tuple(Store.product("", spec, shape) for spec, shape in arrays),
            request=request,
        ),
        projected_bytes=_projected(sources, systems),
        messages=_messages(config, sources, systems, time_source),
    )


def _described(source: Source, reference: System) -> str:
    info, system = source.info, source.system
    text = f"{Path(info.path).name}, {info.n_frames} frames ({info.digest[:12]})"
    return text if system is reference else f"{text}, {system.fingerprint()}"


def _projected(sources: tuple[Source, ...], systems: SystemTable) -> int:
    n_kept = systems.reference.n_kept
    chunk = position_chunk_frames(n_kept)
    # Times, unit cells and provenance of the per-frame chunks that are being filled, with their codecs.
    columns = 3 * FRAME_CHUNK * (8 + 48 + 4 + 8)
    # The reader's cache keeps two topologies.
    topologies = sum(sorted(system.n_atoms for system in systems.systems)[-2:])
    return (
        PROCESS_BYTES
        + max(reading_bytes(source.info, n_selected=n_kept) for source in sources)
        + CHUNKS_IN_MEMORY * chunk * n_kept * 12
        + columns
        + TOPOLOGY_BYTES_PER_ATOM * topologies
    )


def _messages(
    config: IngestConfig, sources: tuple[Source, ...], systems: SystemTable, time_source: str
) -> tuple[str, ...]:
    asked = "all atoms"
    if config.select is not None:
        asked = f'--select "{config.select}"'
    elif config.group is not None:
        asked = f'--group "{config.group}"'
    reference = systems.reference
    topology = reference.load_topology()
    messages = [
        f"{asked}: {describe_selection(topology, reference.kept_atoms())} of {topology.n_atoms} atoms"
    ]
    messages += systems.remarks()
    whole = [Path(source.info.path).name for source in sources if source.info.loads_whole]
    if whole:
        messages.append(
            f"{_listed(whole)}: mdtraj can only read this format whole, so the file is loaded into memory"
        )
    timeless = [Path(source.info.path).name for source in sources if not source.info.has_time]
    if time_source == "index":
        rest = "" if len(timeless) == len(sources) else ", and those of the other files are left out"
        messages.append(f"no times in {_listed(timeless)}: frames are numbered instead{rest}")
    bare = [Path(source.info.path).name for source in sources if not source.info.has_unitcell]
    if 0 < len(bare) < len(sources):
        messages.append(f"no unit cell in {_listed(bare)}: NaN for those frames")
    return tuple(messages)


def _listed(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{names[0]} and {len(names) - 1} more"


def _hash(data: bytes) -> str:
    return blake2b(data, digest_size=6).hexdigest()
