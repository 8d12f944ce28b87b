"""From the options of a metric to what is measured, resolved once, in the first pass."""

from dataclasses import replace
from pathlib import Path

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from ..config import ClusterConfig, expand_paths
from ..errors import ConfigError, NonFiniteError, TopologyMismatchError
from ..executors import PROCESS_BYTES, memory_budget, require_room
from ..metric import ClusterMetric
from ..partition import FrameRange, parse_ranges
from ..store import Store, require_ingest
from ..trajectory import (
    TOPOLOGY_BYTES_PER_ATOM,
    count_atoms,
    default_rmsd_atoms,
    describe_selection,
    element_masses,
    find_symmetry,
    load_structures,
    match_atoms,
    read_masses,
    select_atoms,
    selection_remarks,
    topology_from_json,
)

__all__ = ["choose_atoms", "load_within", "remarks_on", "resolve_metric", "with_symmetry"]


def resolve_metric(
    store: Store, topology: md.Topology, config: ClusterConfig, atoms: NDArray[np.int64]
) -> tuple[ClusterMetric, list[str]]:
    """Find out what a config's metric means for the atoms of a store, and what the user should know of it.

    `atoms` are those of the RMSD, ascending indices along ``atom``. Raises a `ConfigError` if masses are
    wanted that aren't known, the atoms to superpose by leave a rotation open, or there are too many
    permutations; a `TrajectoryError` if a file isn't there or can't be read, its atoms don't match, or a
    position isn't finite.
    """
    metric = _without_symmetry(store, topology, config, atoms)
    return with_symmetry(store, topology, metric, config.symmetry, config.select)


def with_symmetry(
    store: Store, topology: md.Topology, metric: ClusterMetric, symmetry: str | None, select: str | None
) -> tuple[ClusterMetric, list[str]]:
    """Add the permutations of equivalent atoms to a metric whose atoms a selection chose."""
    if symmetry is None:
        return metric, []
    chains, guessed = symmetry == "auto,chains", _guessed(store) or ()
    found, remarks = find_symmetry(topology, metric.atoms, chains=chains, guessed=guessed, select=select)
    if found is None:
        remarks.append("symmetry: none of the selected atoms are equivalent, so --symmetry changes nothing")
        return metric, remarks
    cost = f"each RMSD is the least of {len(found.permutations)} and takes so many times as long"
    remarks.append(f"symmetry: {found.text}; {cost}")
    symmetric = replace(
        metric, symmetry_atoms=found.atoms, permutations=found.permutations, symmetry_text=found.text
    )
    if (masses := metric.masses) is not None and (orders := symmetric.orders) is not None:
        unlike = np.argwhere(~np.isclose(masses[orders], masses, rtol=1e-6))
        if len(unlike):
            pair = [unlike[0, 1], orders[tuple(unlike[0])]]
            one, other = (f"{topology.atom(int(metric.atoms[row]))} ({masses[row]:g} Da)" for row in pair)
            raise ConfigError(
                f"--symmetry: {one} and {other} are equivalent and can't have different --masses. Give them "
                "the same mass, or leave --symmetry out."
            )
    return symmetric, remarks


def _without_symmetry(
    store: Store, topology: md.Topology, config: ClusterConfig, atoms: NDArray[np.int64]
) -> ClusterMetric:
    align_atoms = None if config.align_select is None else select_atoms(topology, config.align_select)
    fit = "none" if config.no_fit else "pairs" if align_atoms is None else "reference"
    masses = align_masses = None
    if config.mass_weighted:
        wanted = atoms if align_atoms is None else np.concatenate([atoms, align_atoms])
        found = _masses(store, topology, config, wanted)
        masses = found[: len(atoms)]
        align_masses = None if align_atoms is None else found[len(atoms) :]
    if align_atoms is None or config.align_to is None:
        return ClusterMetric(atoms, fit, masses)
    if isinstance(config.align_to, int):
        reference, name = _of_frame(store, config.align_to, align_atoms), f"frame {config.align_to}"
    else:
        reference, name = _of_file(config, topology, align_atoms)
    described = describe_selection(topology, align_atoms)
    text = f'on {name} by "{config.align_select}": {described}'
    metric = ClusterMetric(atoms, fit, masses, align_atoms, align_masses, reference, text)
    try:
        metric.for_kernels()
    except (ConfigError, NonFiniteError) as error:
        raise type(error)(f"--align-select {config.align_select!r} on {name}: {error}") from error
    return metric


def load_within(
    file: Path, memory: int | None, *, only_first: bool = False
) -> tuple[md.Topology, NDArray[np.float32]]:
    """Load structures as `load_structures` does, unless their topology needs more than the memory."""
    n_atoms = count_atoms(file)
    require_room(
        memory_budget(memory),
        PROCESS_BYTES + TOPOLOGY_BYTES_PER_ATOM * n_atoms,
        stage=f"reading {n_atoms:,} atoms ({file.name})",
        mend="Their positions come on top. Give a file of fewer atoms, as without the water.",
    )
    return load_structures(file, only_first=only_first)


def choose_atoms(store: Store, select: str | None) -> tuple[md.Topology, NDArray[np.int64], str]:
    """Return the store's topology, and the atoms of the RMSD: ascending indices, and in words."""
    topology = topology_from_json(store.attrs()["topology"], n_atoms=store.shape("position")[1])
    if select is None:
        return topology, *default_rmsd_atoms(topology, _guessed(store) or ())
    atoms = select_atoms(topology, select)
    return topology, atoms, f'"{select}": {describe_selection(topology, atoms)}'


def remarks_on(store: Store, topology: md.Topology, *selections: str | None) -> list[str]:
    """Return what a user should know about the stored positions, and selections of their atoms."""
    given = [each for each in dict.fromkeys(selections) if each is not None]
    remarks = [
        text for each in given for text in selection_remarks(topology, each, lambda: _guessed(store) or ())
    ]
    if jumps := require_ingest(store).plan.request.get("jumps"):
        remarks.append(
            f"warning: at ingest, atoms jumped across the box in {jumps} frames looked at, and RMSDs measure "
            "the jump: ingest into another store, with --image whole or anchor=SELECTION"
        )
    return remarks


def _guessed(store: Store) -> tuple[int, ...] | None:
    """Return the atoms whose elements weren't in the topology file; None in stores that don't know."""
    guessed = store.attrs("element").get("guessed_atoms")
    return None if guessed is None else tuple(parse_ranges(guessed))


def _masses(
    store: Store, topology: md.Topology, config: ClusterConfig, wanted: NDArray[np.int64]
) -> NDArray[np.float64]:
    if config.masses is not None:
        # With atoms to superpose by there are two selections, and a list could be of either.
        n_selected = len(wanted) if config.align_select is None else None
        return read_masses(expand_paths([config.masses])[0], topology, wanted, n_selected=n_selected)
    guessed = _guessed(store)
    if guessed is None:
        raise ConfigError(
            f"{store.path} was made before stores recorded whether elements were written in the topology "
            "file or guessed from names, so masses can't be taken from them. Give them with --masses FILE, "
            "or ingest again."
        )
    return element_masses(topology, wanted, guessed)


def _of_frame(store: Store, frame: int, atoms: NDArray[np.int64]) -> NDArray[np.float32]:
    n_frames = store.shape("position")[0]
    if frame >= n_frames:
        raise ConfigError(
            f"--align-to {frame}: the store has {n_frames} frames, 0 to {n_frames - 1}. Choose one of them "
            "(or, where a file is called so, write its path as ./NAME)."
        )
    positions: NDArray[np.float32] = store.read_positions(FrameRange(frame, frame + 1), atoms)[0]
    return positions


def _of_file(
    config: ClusterConfig, topology: md.Topology, atoms: NDArray[np.int64]
) -> tuple[NDArray[np.float32], str]:
    file, selection = expand_paths([str(config.align_to)])[0], str(config.align_select)
    structure, positions = load_within(file, config.memory, only_first=True)
    chosen = select_atoms(structure, selection)
    match = match_atoms(structure, chosen, topology, atoms)
    if match.difference is not None:
        raise TopologyMismatchError(
            f'The atoms that "{selection}" selects in {file} and in the store differ: {match.difference}. '
            "Select atoms that both have, in the same order."
        )
    return positions[0, chosen], file.name
