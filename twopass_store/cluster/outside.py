"""Leaders from structure files: states that are known already, without a first pass."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from ..config import ClusterConfig, LeadersConfig, LeadersOptions, expand_paths, validated
from ..errors import ConfigError, StageIncompleteError
from ..journal import Lock, Plan, clear_dead, hold, naming_writer
from ..partition import format_ranges
from ..progress import Progress, Silent
from ..schema import CLUSTERING, OUTSIDE
from ..store import Store, discard, lock_folder, present_journal, provenance, store_path

__all__ = ["AdoptResult", "adopt_leaders"]

HINT = (
    "Use the same structures and options, another name (--name), or --restart to discard that one with its "
    "labels."
)


@dataclass(frozen=True, slots=True)
class AdoptResult:
    """What was taken from structure files.

    Attributes
    ----------
    store, name
        The store, and the clustering that the structures lead.
    n_leaders, n_clusters
        Structures, and their labels.
    n_missing_atoms
        Stored atoms that at least one structure lacks; none of them is an atom of the RMSD.
    was_complete
        Whether all was there already.
    """

    store: Path
    name: str
    n_leaders: int
    n_clusters: int
    n_missing_atoms: int
    was_complete: bool


def adopt_leaders(
    store: str | os.PathLike[str],
    structures: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    restart: bool = False,
    break_lock: bool = False,
    progress: Progress | None = None,
    **options: Unpack[LeadersOptions],
) -> AdoptResult:
    """Make a clustering whose leaders are structures from files, for `assign_frames` to label all frames by.

    Parameters
    ----------
    store
        Path of the store.
    structures
        PDB, GRO or HDF5 files and glob patterns; every model of a file is a leader. Their atoms are matched
        to the stored ones by residue and name, whatever their order; stored atoms that a structure lacks are
        NaN in ``leader_position``.
    restart
        Discard a clustering of that name with other structures or options.
    break_lock
        Take the store's lock from a process that may still be running, such as one on another host. Only if
        you are sure that it isn't.
    progress
        Progress reporter.
    **options
        See `LeadersConfig`.

    Raises
    ------
    StageIncompleteError
        If ingest has not finished.
    TrajectoryError
        If a file can't be read, or lacks an atom of the RMSD.
    ConfigError
        If a parameter doesn't fit.
    StoreError
        If the store is missing, damaged or locked, can't be written, or has another clustering of that name.
    """
    path = store_path(store)
    asked = validated(LeadersConfig, options)
    config = validated(ClusterConfig, asked.model_dump(exclude={"leader_labels"}))
    given = [structures] if isinstance(structures, str | os.PathLike) else structures
    if not given:
        raise ConfigError("There is no structure to lead: name at least one file.")
    files = expand_paths([os.fspath(each) for each in given])
    progress = progress or Silent()
    with naming_writer(lock_folder(path), Lock(f"clustering-{config.name}"), break_lock=break_lock):
        return _adopt(path, files, config, asked.leader_labels, restart, break_lock, progress)


def _adopt(
    path: Path,
    files: list[Path],
    config: ClusterConfig,
    labels_by: str,
    restart: bool,
    break_lock: bool,
    progress: Progress,
) -> AdoptResult:
    opened = Store.open(path)
    name = config.name
    ingest = opened.journal("ingest")
    if ingest is None or not ingest.complete:
        raise StageIncompleteError(f"{path}: ingest has not finished. Run the same command again.")
    found = _read(opened, files, config, labels_by)

    stage = f"clustering-{name}"
    group = f"clusterings/{name}"
    arrays = [
        (spec, found.values[spec.name]) for spec in (*OUTSIDE, *CLUSTERING) if spec.name in found.values
    ]
    as_planned = Plan(
        stage=stage,
        parameters=found.parameters,
        products=tuple(opened.product(group, spec, array.shape) for spec, array in arrays),
        request={
            "structures": found.parameters["structures"],
            "select": config.select,
            "labels_by": labels_by,
        },
    )
    present = present_journal(opened, stage, restart=restart)
    result = AdoptResult(
        path, name, len(found.values["leader_label"]), found.n_clusters, found.n_missing, was_complete=False
    )
    is_same = present is not None and present.plan.fingerprint == as_planned.fingerprint
    if present is not None and not is_same and not restart:
        present.require(as_planned, hint=HINT)
    if present is not None and is_same and present.complete:
        clear_dead(lock_folder(path))
        return AdoptResult(path, name, result.n_leaders, result.n_clusters, result.n_missing_atoms, True)
    progress.note(
        f"{result.n_leaders} structures lead {result.n_clusters} clusters, RMSD over {found.attrs['atoms']}"
    )
    with hold(lock_folder(path), [Lock(stage)], break_lock=break_lock) as writer:
        before, opened = opened, Store.open(path, writer=writer)
        ingest, present = opened.journal("ingest"), present_journal(opened, stage, restart=restart)
        # Until the lock was there, others could make the store or the clustering anew.
        if ingest is None or not ingest.complete or opened.attrs()["topology"] != before.attrs()["topology"]:
            raise StageIncompleteError(f"{path} was made anew meanwhile. Run the same command again.")
        is_same = present is not None and present.plan.fingerprint == as_planned.fingerprint
        if present is not None and not is_same and not restart:
            present.require(as_planned, hint=HINT)
        if not is_same:
            discard(opened, f"margin-{name}", f"assign-{name}", stage)
        with opened.step(as_planned, hint=HINT) as journal:
            opened.make_group(stage, group, found.attrs)
            for spec, array in arrays:
                opened.ensure_array(group, spec, array.shape)
                journal.commit(opened.write_all(f"{group}/{spec.name}", array))
    return result


@dataclass(frozen=True, slots=True)
class _Found:
    values: dict[str, NDArray[Any]]
    attrs: dict[str, Any]
    parameters: dict[str, Any]
    n_clusters: int
    n_missing: int


def _read(store: Store, files: list[Path], config: ClusterConfig, labels_by: str) -> _Found:
    """Read the structures and match their atoms to the store's."""
    # mdtraj takes a second to import.
    from ..trajectory import (
        default_rmsd_atoms,
        describe_selection,
        load_structures,
        place_atoms,
        select_atoms,
        topology_from_json,
    )
    from .metric import resolve_metric

    topology = topology_from_json(store.attrs()["topology"], n_atoms=store.shape("position")[1])
    if config.select is None:
        atoms, text = default_rmsd_atoms(topology)
    else:
        atoms = select_atoms(topology, config.select)
        text = f'"{config.select}": {describe_selection(topology, atoms)}'
    positions: list[NDArray[np.float32]] = []
    paths: list[str] = []
    models: list[int] = []
    labels: list[int] = []
    for number, file in enumerate(files, start=1):
        structure, xyz = load_structures(file)
        placed = place_atoms(xyz, structure, topology, required=atoms, name=str(file))
        for model, one in enumerate(placed):
            positions.append(one)
            paths.append(str(file))
            models.append(model)
            labels.append(number if labels_by == "file" else len(labels) + 1)
    metric = resolve_metric(store, topology, config, atoms)
    stacked = np.stack(positions)
    digest = blake2b(np.ascontiguousarray(stacked).tobytes(), digest_size=8).hexdigest()
    n_clusters = max(labels)
    values: dict[str, NDArray[Any]] = {
        "selected_atom_index": atoms,
        "leader_frame": np.full(len(labels), -1, np.int64),
        "leader_label": np.array(labels, np.int32),
        "leader_position": stacked,
        "leader_path": np.array(paths, dtype=object),
        "leader_model": np.array(models, np.int64),
    }
    attrs = {
        "subset": None,
        "method": "structures",
        "linkage": None,
        "linkage_method": None,
        "linkage_input": None,
        "select": config.select,
        "atoms": text,
        **metric.attrs(),
        "n_clusters_asked": None,
        "cutoff_nm": None,
        "n_clusters_found": n_clusters,
        "leader_method": "structures",
        "labels_by": labels_by,
        "provenance": provenance(),
    }
    parameters = {
        "method": "structures",
        "structures": [file.name for file in files],
        "positions": digest,
        "labels_by": labels_by,
        "atoms": format_ranges(atoms.tolist()),
        **metric.parameters(),
    }
    n_missing = int(np.isnan(stacked).any(axis=(0, 2)).sum())
    return _Found(values, attrs, parameters, n_clusters, n_missing)
