"""What an ingest will do: its files, the frames kept of each, the atoms, and the memory that it needs."""

from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from ..config import IngestConfig, expand_paths
from ..errors import ConfigError, SelectionError, TopologyMismatchError
from ..executors import PROCESS_BYTES
from ..journal import Plan
from ..partition import FRAME_CHUNK, kept_frames, position_chunk_frames
from ..schema import ATOM, FRAME, TRAJECTORY_FILE, UNITCELL, ArraySpec
from ..store import Store
from ..trajectory import (
    TrajectoryInfo,
    describe_selection,
    format_of,
    guessed_elements,
    load_topology,
    probe,
    reading_bytes,
    select_atoms,
    solvent_fraction,
    topology_to_json,
)
from .request import requested

__all__ = ["CHUNKS_IN_MEMORY", "IngestPlan", "Source", "plan_ingest"]

CHUNKS_IN_MEMORY = 4
"""Chunks of positions at once: one being read, one queued, one being encoded, and its encoded copy."""

TOPOLOGY_BYTES_PER_ATOM = 4000
"""Of mdtraj's objects, their JSON text and the tables made from it (measured: about 2500)."""

MOSTLY_SOLVENT = 0.5


@dataclass(frozen=True, slots=True)
class Source:
    """One trajectory file, and the frames of it that are kept."""

    info: TrajectoryInfo
    kept: range


@dataclass(frozen=True, slots=True)
class IngestPlan:
    """All that an ingest does, fixed before its first frame is read.

    Attributes
    ----------
    sources
        The files in the order of their frames in the store.
    topology
        That of the files, all atoms.
    stored_topology
        That of the atoms kept.
    atom_indices
        Atoms kept, indices into `topology`; None for all, in order.
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
    topology: md.Topology
    stored_topology: md.Topology
    atom_indices: NDArray[np.int64] | None
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
    paths = expand_paths(config.trajectories)
    top_path = expand_paths([config.top])[0] if config.top is not None else _own_topology(paths)
    topology = load_topology(top_path)
    sources = tuple(_source(path, topology, top_path, config) for path in paths)
    for source in sources:
        _require_same_atoms(source.info.path, topology, top_path)

    atom_indices = _selected(topology, config.select)
    kept = np.arange(topology.n_atoms) if atom_indices is None else atom_indices
    stored_topology = topology if atom_indices is None else topology.subset(atom_indices)
    n_frames = sum(len(source.kept) for source in sources)
    time_source = "file" if all(source.info.has_time for source in sources) else "index"
    has_unitcell = any(source.info.has_unitcell for source in sources)
    sizes = {"frame": n_frames, "atom": len(kept), "xyz": 3, "trajectory_file": len(sources)}
    specs = (*FRAME, *(UNITCELL if has_unitcell else ()), *TRAJECTORY_FILE, *ATOM)
    arrays = tuple((spec, tuple(sizes[dim] for dim in spec.dims)) for spec in specs)
    parameters = {
        "select": f"{len(kept)} of {topology.n_atoms} atoms ({_hash(kept.tobytes())})",
        "stride": config.stride,
        "discard_first": config.discard_first,
        "topology": _hash(topology_to_json(stored_topology).encode()),
        "trajectories": [
            f"{Path(source.info.path).name}, {source.info.n_frames} frames ({source.info.digest[:12]})"
            for source in sources
        ],
    }
    return IngestPlan(
        sources=sources,
        topology=topology,
        stored_topology=stored_topology,
        atom_indices=atom_indices,
        guessed=np.flatnonzero(guessed_elements(top_path, topology)[kept]),
        n_frames=n_frames,
        time_source=time_source,
        arrays=arrays,
        journal=Plan(
            stage="ingest",
            parameters=parameters,
            products=tuple(Store.product("", spec, shape) for spec, shape in arrays),
            request=request,
        ),
        projected_bytes=_projected(sources, topology.n_atoms, len(kept)),
        messages=_messages(config, sources, topology, kept, time_source),
    )


def _source(path: Path, topology: md.Topology, top_path: Path, config: IngestConfig) -> Source:
    info = probe(path, topology, topology_path=top_path)
    kept = kept_frames(info.n_frames, discard_first=config.discard_first, stride=config.stride)
    left = info.n_frames - config.discard_first
    if left <= 0:
        raise ConfigError(
            f"{path} has {info.n_frames} frames, and --discard-first {config.discard_first} leaves none. "
            "Discard fewer, or leave the file out."
        )
    if config.stride > left:
        raise ConfigError(
            f"{path} has {left} frames{' after those discarded' if config.discard_first else ''}, "
            f"fewer than --stride {config.stride}. Use a stride of at most {left}, or leave the file out."
        )
    return Source(info, kept)


def _own_topology(paths: list[Path]) -> Path:
    if not format_of(paths[0]).has_topology:
        raise ConfigError(
            f"{paths[0].name} has no topology of its own. Give one with --top FILE (pdb, gro, prmtop, …)."
        )
    return paths[0]


def _require_same_atoms(path: str, topology: md.Topology, top_path: Path) -> None:
    if not format_of(path).has_topology or Path(path) == top_path:
        return
    own = load_topology(Path(path))
    for index, (atom, expected) in enumerate(zip(own.atoms, topology.atoms, strict=False)):
        if (atom.name, atom.residue.name) != (expected.name, expected.residue.name):
            raise TopologyMismatchError(
                f"The atoms of {path} and {top_path} differ: atom {index} is {atom} and {expected}. "
                "Ingest them into separate stores, or give trajectories of the same atoms."
            )


def _selected(topology: md.Topology, selection: str | None) -> NDArray[np.int64] | None:
    if selection is None:
        share = solvent_fraction(topology)
        if share > MOSTLY_SOLVENT:
            has_protein = any(residue.is_protein for residue in topology.residues)
            suggested = "protein" if has_protein else "not water"
            raise SelectionError(
                f"{share:.0%} of the {topology.n_atoms} atoms are solvent, and clustering by RMSD needs few "
                f'atoms. Use --select "{suggested}" (or another selection), or --select all if that is meant.'
            )
        return None
    indices = select_atoms(topology, selection)
    return None if len(indices) == topology.n_atoms else indices


def _projected(sources: tuple[Source, ...], n_atoms: int, n_kept: int) -> int:
    chunk = position_chunk_frames(n_kept)
    # Times, unit cells and provenance of the per-frame chunks that are being filled, with their codecs.
    columns = 3 * FRAME_CHUNK * (8 + 48 + 4 + 8)
    return (
        PROCESS_BYTES
        + max(reading_bytes(source.info, n_selected=n_kept) for source in sources)
        + CHUNKS_IN_MEMORY * chunk * n_kept * 12
        + columns
        + TOPOLOGY_BYTES_PER_ATOM * n_atoms
    )


def _messages(
    config: IngestConfig,
    sources: tuple[Source, ...],
    topology: md.Topology,
    kept: NDArray[np.int64],
    time_source: str,
) -> tuple[str, ...]:
    asked = "all atoms" if config.select is None else f'--select "{config.select}"'
    messages = [f"{asked}: {describe_selection(topology, kept)} of {topology.n_atoms} atoms"]
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
