"""Leaders from structure files: states that are known already, without a first pass."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from ..config import LeadersConfig, LeadersOptions, Search, expand_paths, validated
from ..errors import ConfigError
from ..journal import Lock, Plan, Writer
from ..metric import ClusterMetric
from ..partition import format_ranges
from ..progress import Progress, Silent
from ..schema import CLUSTERING, OUTSIDE, ArraySpec
from ..store import (
    Stage,
    Step,
    Store,
    clustering_stages,
    provenance,
    require_ingest,
    run_stage,
    store_path,
)

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
        Discard a clustering of that name with its labels, and make it again.
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
    config = validated(LeadersConfig, options)
    given = [structures] if isinstance(structures, str | os.PathLike) else structures
    if not given:
        raise ConfigError("There is no structure to lead: name at least one file.")
    progress = progress or Silent()
    files = expand_paths([os.fspath(each) for each in given], search=Search(progress.note))
    stage = _Adopt(files, config, progress)
    done = run_stage(path, stage, restart=restart, break_lock=break_lock, progress=stage.progress)
    return AdoptResult(
        store=path,
        name=config.name,
        n_leaders=len(stage.values["leader_label"]),
        n_clusters=stage.attrs["n_clusters_found"],
        n_missing_atoms=int(np.isnan(stage.values["leader_position"]).any(axis=(0, 2)).sum()),
        was_complete=done is None,
    )


class _Adopt(Stage[bool]):
    """The stage, whose work is one step."""

    hint = HINT

    def __init__(self, files: list[Path], config: LeadersConfig, progress: Progress) -> None:
        self.files = files
        self.config = config
        self.progress = progress
        self.values: dict[str, NDArray[Any]] = {}
        self.attrs: dict[str, Any] = {}
        self.remarks: list[str] = []
        self.of_metric: list[tuple[ArraySpec, NDArray[Any]]] = []
        self.group = f"clusterings/{config.name}"

    def locks(self) -> Sequence[Lock]:
        return [Lock(f"clustering-{self.config.name}")]

    def plan(self, store: Store) -> Sequence[Step]:
        require_ingest(store)
        name, parameters = self.config.name, self._read(store)
        plan = Plan(
            stage=f"clustering-{name}",
            parameters=parameters,
            products=tuple(store.product(self.group, spec, values.shape) for spec, values in self.arrays),
            request={
                "structures": parameters["structures"],
                "select": self.config.select,
                "labels_by": self.config.leader_labels,
                **({} if self.config.symmetry is None else {"symmetry": self.config.symmetry}),
            },
        )
        return [Step(plan, clustering_stages(name)[:0:-1])]

    def work(self, store: Store, steps: Sequence[Step], writer: Writer) -> bool:
        attrs, n_leaders = self.attrs, len(self.values["leader_label"])
        self.progress.note(
            f"{n_leaders} structures lead {attrs['n_clusters_found']} clusters, RMSD over {attrs['atoms']}"
        )
        for remark in self.remarks:
            self.progress.note(remark)
        store.write_group(steps[0].plan, self.group, attrs, self.arrays, hint=HINT)
        return True

    @property
    def arrays(self) -> list[tuple[ArraySpec, NDArray[Any]]]:
        specs = (*OUTSIDE, *CLUSTERING)
        found = [(spec, self.values[spec.name]) for spec in specs if spec.name in self.values]
        return [*self.of_metric, *found]

    def _read(self, store: Store) -> dict[str, Any]:
        """Read the structures and match their atoms to the store's; returns the parameters."""
        # mdtraj takes a second to import.
        from ..trajectory import place_atoms
        from .metric import choose_atoms, load_within, remarks_on, with_symmetry

        topology, atoms, text = choose_atoms(store, self.config.select)
        select, symmetry = self.config.select, self.config.symmetry
        metric, self.remarks = with_symmetry(store, topology, ClusterMetric(atoms), symmetry, select)
        self.remarks += remarks_on(store, topology, select)
        self.of_metric = metric.arrays()
        placed: list[NDArray[np.float32]] = []
        for file in self.files:
            structure, xyz = load_within(file, self.config.memory)
            placed.append(place_atoms(xyz, structure, topology, required=atoms, name=str(file)))
        positions, n_models = np.concatenate(placed), [len(models) for models in placed]
        of_file = np.repeat(np.arange(len(placed)), n_models)
        labels = 1 + (of_file if self.config.leader_labels == "file" else np.arange(len(positions)))
        self.values = {
            "selected_atom_index": atoms,
            "leader_frame": np.full(len(labels), -1, np.int64),
            "leader_label": labels.astype(np.int32),
            "leader_position": positions,
            "leader_path": np.array([str(file) for file in self.files], dtype=object)[of_file],
            "leader_model": np.concatenate([np.arange(n) for n in n_models]),
        }
        self.attrs = {
            "subset": None,
            "method": "structures",
            "linkage": None,
            "linkage_method": None,
            "linkage_input": None,
            "select": select,
            "atoms": text,
            **metric.attrs(),
            "n_clusters_asked": None,
            "cutoff_nm": None,
            "n_clusters_found": int(labels[-1]),
            "leader_method": "structures",
            "labels_by": self.config.leader_labels,
            "provenance": provenance(),
        }
        return {
            "method": "structures",
            "structures": [file.name for file in self.files],
            "positions": blake2b(positions.tobytes(), digest_size=8).hexdigest(),
            "labels_by": self.config.leader_labels,
            "atoms": format_ranges(atoms.tolist()),
            **metric.parameters(),
        }
