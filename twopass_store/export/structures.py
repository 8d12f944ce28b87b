"""Structures that stand for clusters, superposed, for other programs."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import numpy as np
from numpy.typing import NDArray

from ..config import StructuresConfig, StructuresOptions, validated
from ..errors import ConfigError
from ..executors import PROCESS_BYTES, memory_budget, require_within
from ..metric import ClusterMetric, read_metric
from ..partition import chunk_range, n_chunks
from ..progress import Progress, Silent
from ..report import Runs, finished_assign, short_names
from ..store import (
    Store,
    leader_positions,
    medoids_path,
    read_leaders,
    require_ingest,
    store_path,
    take,
)
from .choice import Chosen, choose_structures, shares
from .coordinates import TOGETHER, ExportResult, named_clustering, stored_topology, write_frames
from .scripts import SCRIPTS, script
from .target import checked_target, replacing

if TYPE_CHECKING:
    import mdtraj as md

__all__ = ["export_structures", "has_current_medoids", "superposed"]

PDB_NM = -99.999, 999.999  # coordinates that fit into PDB's eight columns in Å
SUPERPOSED_BYTES = 8 << 20  # bound on structures that are superposed at once, in float64
REMARK_COLUMNS = 80


def export_structures(
    store: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    **options: Unpack[StructuresOptions],
) -> ExportResult:
    """Write structures that stand for the clusters, superposed as the metric says, by cluster.

    By default they lie on the first by the atoms of the RMSD; if frames are superposed on a reference, on
    that; if frames are compared as they are, as they are. They have no unit cell, since it wouldn't fit
    positions that were turned; `export_coordinates` and the accessor of `open_results` give positions as
    they are stored. Remarks of each model of a PDB file say which cluster it is, its share of the frames, and
    the file, frame and time that it comes from.

    Parameters
    ----------
    store
        Path of the store.
    path
        The file; its extension gives the format, see `export_coordinates`.
    format
        ``pml``, ``vmd`` or ``cxc``: write a script for PyMOL, VMD or ChimeraX too, which loads each structure
        as an object and colours it by its cluster; it stands beside the PDB file of the same name. ``pdb``
        writes that file alone. By default what the extension of `path` says.
    overwrite
        Whether files that exist are replaced.
    progress
        Progress reporter.
    **options
        See `StructuresConfig`.

    Raises
    ------
    ConfigError
        If there is no such format, clustering or structure, or the file exists.
    StageIncompleteError
        If the clustering has not finished or, for averages, assign.
    MemoryBudgetError
        If the structures, or the distances that representatives are chosen by, don't fit into memory.
    TrajectoryError
        If the format has no room for a structure, or a source file isn't what it was.
    StoreWriteError
        If the disk refuses.
    """
    from ..trajectory import Block, output_format

    config = validated(StructuresConfig, options)
    opened = Store.open(store_path(store, reads=True))
    require_ingest(opened)
    kind = format or Path(path).suffix.lower().removeprefix(".")
    if kind in SCRIPTS or format == "pdb":
        path = Path(path).with_suffix(".pdb")
    elif format is not None:
        raise ConfigError(f"Structures can't be written as {format}: `format` is pdb, {', '.join(SCRIPTS)}.")
    entry = output_format(path)
    paths = (path, Path(path).with_suffix(f".{kind}")) if kind in SCRIPTS else (path,)
    targets = [checked_target(opened, each, overwrite=overwrite) for each in paths]
    name = named_clustering(opened, config.name)
    group = f"clusterings/{name}"
    metric, runs = read_metric(opened, group), Runs.of(opened)
    chosen = choose_structures(opened, name, config, runs)
    if config.of == "leaders":
        xyz = leader_positions(opened, name, read_leaders(opened, name))
        if not np.isfinite(xyz).all():
            raise ConfigError(
                f"Some leaders of {opened.path} come from outside and lack atoms, which no format can leave "
                "out. Take their known atoms from `open_results(…).twopass.leaders()`."
            )
    else:
        xyz = take(opened, "position", chosen.frame)
    topology = stored_topology(opened)
    if config.from_source:
        xyz, topology, metric = _from_source(opened, chosen, metric, config.image)
    xyz, n_averaged = superposed(xyz, metric), None
    if config.of == "averages":
        xyz, n_averaged = _averages(opened, name, chosen, xyz, metric, runs)
    has_time = bool((chosen.frame >= 0).all()) and opened.attrs("time")["time_source"] != "index"
    time: NDArray[np.float64] | None = None
    if has_time or entry.needs_time:
        column = take(opened, "time" if has_time else "source_frame", np.maximum(chosen.frame, 0))
        time = np.where(chosen.frame < 0, 0, column)
    blocks = [(TOGETHER, Block(_shifted(xyz), time))]
    remarks = list(_remarks(opened, name, config, chosen, runs, n_averaged))
    files = {TOGETHER: (targets[0], len(xyz))}
    write_frames(blocks, topology, files, progress or Silent(), opened.unchanged(name), remarks=remarks)
    for target in targets[1:]:
        with replacing(target) as temporary:
            text = script(kind, targets[0].name, chosen.label)
            temporary.write_text(text, encoding="utf-8")
    return ExportResult(targets[0], entry.name, len(xyz), xyz.shape[1], None, name, *targets[1:])


def has_current_medoids(store: str | os.PathLike[str], name: str) -> bool:
    """Tell whether the file of the medoids is there and of this very clustering."""
    path = store_path(store)
    fingerprint = finished_assign(Store.open(path), name).plan.fingerprint
    try:
        with medoids_path(path, name).open(encoding="utf-8") as file:
            return _title("medoids", name, fingerprint) in (next(file, ""), next(file, ""))
    except (OSError, UnicodeDecodeError):
        return False


def superposed(
    xyz: NDArray[np.float32], metric: ClusterMetric, onto: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Superpose structures as they are compared, shape (n_structures, n_atoms, 3), nm.

    Where each pair is superposed, that is on `onto`, shape (n_atoms, 3), by default on the first.
    """
    if metric.fit == "pairs":
        # Around the origin, since PDB has no room for coordinates far out.
        reference = xyz[0] - xyz[0].mean(axis=0, dtype=np.float64) if onto is None else onto
        if metric.permutations is None or metric.symmetry_atoms is None:
            return _moved(xyz, reference, metric.atoms, metric.masses)
        to, renumbered = _renumbered(xyz, metric, reference)
        moved = _moved(renumbered, reference, metric.atoms, metric.masses)
        # Each atom is to have its own position.
        moved[:, metric.symmetry_atoms] = np.take_along_axis(moved, to[:, :, np.newaxis], axis=1)
        return moved
    if metric.align_atoms is not None and metric.reference is not None:
        reference = np.full(xyz.shape[1:], np.nan)
        reference[metric.align_atoms] = metric.reference
        return _moved(xyz, reference, metric.align_atoms, metric.align_masses)
    return xyz


def _renumbered(
    xyz: NDArray[np.float32], metric: ClusterMetric, reference: NDArray[np.floating]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Exchange equivalent atoms for the least RMSD to a reference; returns where each goes, and positions."""
    from ..rmsd import best_permutations

    assert metric.permutations is not None
    read = metric.read_atoms
    best = best_permutations(xyz[:, read], reference[read], metric.for_kernels())
    to, found = metric.permutations[np.maximum(best, 0)], xyz.copy()
    np.put_along_axis(found, to[:, :, np.newaxis], xyz[:, metric.symmetry_atoms], axis=1)
    return to, found


def _moved(
    xyz: NDArray[np.float32],
    reference: NDArray[np.floating],
    atoms: NDArray[np.int64],
    weights: NDArray[np.float64] | None,
) -> NDArray[np.float32]:
    """Superpose structures a few at a time, since that works in float64."""
    from ..rmsd import superpose

    moved, n_rows = np.empty_like(xyz), max(1, SUPERPOSED_BYTES // (24 * xyz.shape[1]))
    for start in range(0, len(xyz), n_rows):
        rows = slice(start, start + n_rows)
        moved[rows] = superpose(xyz[rows], reference, atom_indices=atoms, weights=weights)
    return moved


def _shifted(xyz: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bring structures to where PDB has room for them."""
    if xyz.min() > PDB_NM[0] and xyz.max() < PDB_NM[1]:
        return xyz
    # One shift of all keeps how they lie to each other.
    shifted: NDArray[np.float32] = (xyz - np.round(xyz[0].mean(axis=0, dtype=np.float64))).astype(np.float32)
    return shifted


def _from_source(
    store: Store, chosen: Chosen, metric: ClusterMetric, image: str | None
) -> tuple[NDArray[np.float32], "md.Topology", ClusterMetric]:
    """Read structures with all atoms from their files, and return the metric for these atoms."""
    # mdtraj takes half a second to import, not for a run that finds all done.
    from ..ingest.resume import SourceFrames

    if (chosen.frame < 0).any():
        raise ConfigError("`from_source`: leaders from outside are no frames of the store. Leave it out.")
    file, source_frame = (take(store, name, chosen.frame) for name in ("trajectory", "source_frame"))
    files = SourceFrames(store, set(file.tolist()), image=image)
    n_atoms = files.topology.n_atoms
    require_within(
        memory_budget(None),
        PROCESS_BYTES + 3 * 12 * len(file) * n_atoms + 600 * n_atoms,
        stage=f"export of {len(file)} structures of {n_atoms:,} atoms",
        mend="Or write fewer structures at once.",
    )
    # In the order of the files, so that each is read once.
    order, start = np.lexsort((source_frame, file)), 0
    xyz = np.empty((len(file), n_atoms, 3), np.float32)
    for part in files.read(file[order], source_frame[order]):
        xyz[order[start : start + len(part)]] = part
        start += len(part)
    kept, fitted = files.kept_atoms, metric.align_atoms
    fitted = None if fitted is None else kept[fitted]
    metric = replace(metric, atoms=kept[metric.atoms], align_atoms=fitted)
    if metric.permutations is not None:
        moved, permutations = kept[metric.symmetry_atoms], kept[metric.permutations]
        metric = replace(metric, symmetry_atoms=moved, permutations=permutations)
    return xyz, files.topology, metric


def _averages(
    store: Store,
    name: str,
    chosen: Chosen,
    medoids: NDArray[np.float32],
    metric: ClusterMetric,
    runs: Runs,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Average all frames of each medoid's cluster, and run, superposed on it; and count them."""
    finished_assign(store, name)
    as_numbered = replace(metric, symmetry_atoms=None, permutations=None)
    sums, counts = np.zeros(medoids.shape), np.zeros(len(medoids), np.int64)
    n_frames, chunk = store.shape("position")[0], store.chunk_length("position")
    for index in range(n_chunks(n_frames, chunk)):
        frames = chunk_range(index, chunk=chunk, length=n_frames)
        label, xyz = store.read(f"clusterings/{name}/label", frames), store.read("position", frames)
        run = store.read(runs.column, frames)
        for place in range(len(medoids)):
            here = label == chosen.label[place]
            if chosen.run is not None:
                here &= run == chosen.run[place]
            if here.any():
                frames_of = xyz[here]
                if metric.permutations is not None:
                    _, frames_of = _renumbered(frames_of, metric, medoids[place])
                moved = superposed(frames_of, as_numbered, medoids[place])
                sums[place] += moved.sum(axis=0, dtype=np.float64)
                counts[place] += len(moved)
    if not counts.all():
        raise ConfigError(f"Cluster {chosen.label[counts.argmin()]} has no frames to average.")
    averages: NDArray[np.float32] = (sums / counts[:, None, None]).astype(np.float32)
    return averages, counts


def _remarks(
    store: Store,
    name: str,
    config: StructuresConfig,
    chosen: Chosen,
    runs: Runs,
    n_averaged: NDArray[np.int64] | None,
) -> Iterator[str]:
    """Yield what stands in front of the atoms of each model of a PDB file."""
    share, of_what = shares(store, name, chosen, runs)
    files = short_names([str(path) for path in store.read("trajectory_path")])
    names = short_names(runs.names)
    inside = np.maximum(chosen.frame, 0)
    file, source_frame, time = (take(store, key, inside) for key in ("trajectory", "source_frame", "time"))
    has_times = store.attrs("time")["time_source"] != "index"
    kind = config.of if config.representatives is None else "representatives"
    title = _title(kind, name, _fingerprint(store, name))
    for row, label in enumerate(chosen.label):
        lines = [f"CLUSTER {label}"]
        if np.isfinite(share[row]):
            lines.append(f"SHARE {share[row]:.4f} of {of_what}")
        if chosen.run is not None:
            lines.append(f"RUN {names[chosen.run[row]]}")
        if n_averaged is not None:
            lines.append(f"AVERAGE of {n_averaged[row]} frames, superposed on the medoid:")
        if chosen.frame[row] >= 0:
            lines += [f"FILE {files[file[row]]}", f"FRAME {source_frame[row]}"]
            # Many files have times in float32, whose further digits mean nothing.
            lines += [f"TIME {f'{time[row]:.3f}'.rstrip('0').rstrip('.')} ps"] if has_times else []
        yield title + "".join(map(_remark, lines))


def _title(kind: str, name: str, fingerprint: str) -> str:
    return _remark(f"{kind.upper()} OF {name}, {fingerprint}")


def _remark(text: str) -> str:
    """Return lines of the columns that PDB has; a break in a name would be one of the file."""
    shown = "".join(each if each.isprintable() else "?" for each in text)
    width = REMARK_COLUMNS - len("REMARK   6 ")
    return "".join(f"REMARK   6 {shown[start : start + width]}\n" for start in range(0, len(shown), width))


def _fingerprint(store: Store, name: str) -> str:
    """Return the fingerprint of a clustering's last finished stage."""
    journals = (store.journal(f"{stage}-{name}") for stage in ("assign", "clustering"))
    return next(each.plan.fingerprint for each in journals if each is not None and each.complete)
