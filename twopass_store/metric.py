"""The metric of a clustering: from its options to what is measured, and into the store and back.

The first pass resolves it once. The second pass takes it from the store, where it is whole: masses, atoms
and reference are there as arrays, and no file is read again.
"""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from .config import ClusterConfig, expand_paths
from .errors import ConfigError, NonFiniteError, TopologyMismatchError
from .partition import FrameRange, format_ranges, parse_ranges
from .rmsd import Alignment, Metric
from .schema import METRIC, ArraySpec, metric_text
from .store import Store
from .trajectory import (
    describe_selection,
    element_masses,
    load_structure,
    match_atoms,
    read_masses,
    select_atoms,
)

__all__ = ["ClusterMetric", "read_metric", "resolve_metric"]


@dataclass(frozen=True, slots=True, eq=False)
class ClusterMetric:
    """How the frames of a store are compared.

    Attributes
    ----------
    atoms
        Atoms of the RMSD, ascending indices along ``atom``.
    fit
        ``pairs``, ``none`` or ``reference``, see `metric_text`.
    masses
        Of the atoms, Da; None where they weigh alike.
    align_atoms, align_masses, reference
        Atoms by which every frame is superposed, their masses, and their positions in the reference, nm;
        None where there is none.
    align_text
        Which reference and atoms they are, for people.
    """

    atoms: NDArray[np.int64]
    fit: str = "pairs"
    masses: NDArray[np.float64] | None = None
    align_atoms: NDArray[np.int64] | None = None
    align_masses: NDArray[np.float64] | None = None
    reference: NDArray[np.float32] | None = None
    align_text: str = ""

    @property
    def read_atoms(self) -> NDArray[np.int64]:
        """Atoms whose positions are needed, ascending indices along ``atom``."""
        return self.atoms if self.align_atoms is None else np.union1d(self.atoms, self.align_atoms)

    @property
    def n_frame_atoms(self) -> int | None:
        """How many those are where frames are superposed on a reference, None elsewhere."""
        return None if self.align_atoms is None else len(self.read_atoms)

    @property
    def text(self) -> str:
        """What the attribute ``metric`` says."""
        return metric_text(self.fit, weighted=self.masses is not None)

    @property
    def is_default(self) -> bool:
        """Whether it is the minimal RMSD of atoms of equal weight."""
        return self.fit == "pairs" and self.masses is None

    def for_kernels(self) -> Metric:
        """The metric of frames that consist of `read_atoms`."""
        alignment = None
        if self.align_atoms is not None and self.reference is not None:
            fitted, measured = (np.searchsorted(self.read_atoms, a) for a in (self.align_atoms, self.atoms))
            reference = self.reference.astype(np.float64)
            alignment = Alignment(fitted, measured, reference, weights=self.align_masses)
        return Metric(fit=self.fit == "pairs", weights=self.masses, alignment=alignment)

    def parameters(self) -> dict[str, Any]:
        """All that determines distances beside the atoms of the RMSD, for keys and fingerprints."""
        found: dict[str, Any] = {"metric": self.text}
        if self.masses is not None:
            found["masses"] = _digest(self.masses)
        if self.align_atoms is not None and self.reference is not None:
            found["align_atoms"] = format_ranges(self.align_atoms.tolist())
            found["reference"] = _digest(self.reference)
            if self.align_masses is not None:
                found["align_masses"] = _digest(self.align_masses)
        return found

    def attrs(self) -> dict[str, Any]:
        """Attributes of the clustering's group."""
        found = {"metric": self.text, "fit": self.fit}
        return {**found, "alignment": self.align_text} if self.align_text else found

    def arrays(self) -> list[tuple[ArraySpec, NDArray[Any]]]:
        """Arrays that it adds to the clustering's group, none for the default."""
        values = {
            "selected_atom_mass": self.masses,
            "align_atom_index": self.align_atoms,
            "align_atom_mass": self.align_masses,
            "reference_position": self.reference,
        }
        return [(spec, value) for spec in METRIC if (value := values[spec.name]) is not None]


def read_metric(store: Store, group: str) -> ClusterMetric:
    """Read the metric of a finished clustering, whose group's path is given."""
    found = {
        spec.name: store.read(f"{group}/{spec.name}") for spec in METRIC if store.has(f"{group}/{spec.name}")
    }
    attrs = store.attrs(group)
    return ClusterMetric(
        atoms=store.read(f"{group}/selected_atom_index"),
        # Clusterings of before there was a choice don't say.
        fit=attrs.get("fit", "pairs"),
        masses=found.get("selected_atom_mass"),
        align_atoms=found.get("align_atom_index"),
        align_masses=found.get("align_atom_mass"),
        reference=found.get("reference_position"),
        align_text=attrs.get("alignment", ""),
    )


def resolve_metric(
    store: Store, topology: md.Topology, config: ClusterConfig, atoms: NDArray[np.int64]
) -> ClusterMetric:
    """Find out what a config's metric means for the atoms of a store.

    Parameters
    ----------
    store, topology
        The store and its atoms.
    config
        What is asked for.
    atoms
        Atoms of the RMSD, ascending indices along ``atom``.

    Raises
    ------
    ConfigError
        If masses are wanted that aren't known, or the atoms to superpose by leave a rotation open.
    TrajectoryError
        If a file isn't there or can't be read, its atoms don't match, or a position isn't finite.
    """
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
        reference, name = _of_file(config.align_to, topology, align_atoms, str(config.align_select))
    described = describe_selection(topology, align_atoms)
    text = f'on {name} by "{config.align_select}": {described}'
    metric = ClusterMetric(atoms, fit, masses, align_atoms, align_masses, reference, text)
    try:
        metric.for_kernels()
    except (ConfigError, NonFiniteError) as error:
        raise type(error)(f"--align-select {config.align_select!r} on {name}: {error}") from error
    return metric


def _masses(
    store: Store, topology: md.Topology, config: ClusterConfig, wanted: NDArray[np.int64]
) -> NDArray[np.float64]:
    if config.masses is not None:
        # With atoms to superpose by there are two selections, and a list could be of either.
        n_selected = len(wanted) if config.align_select is None else None
        return read_masses(expand_paths([config.masses])[0], topology, wanted, n_selected=n_selected)
    guessed = store.attrs("element").get("guessed_atoms")
    if guessed is None:
        raise ConfigError(
            f"{store.path} was made before stores recorded whether elements were written in the topology "
            "file or guessed from names, so masses can't be taken from them. Give them with --masses FILE, "
            "or ingest again."
        )
    return element_masses(topology, wanted, parse_ranges(guessed))


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
    path: str, topology: md.Topology, atoms: NDArray[np.int64], selection: str
) -> tuple[NDArray[np.float32], str]:
    file = expand_paths([path])[0]
    structure, positions = load_structure(file)
    chosen = select_atoms(structure, selection)
    match = match_atoms(structure, chosen, topology, atoms)
    if match.difference is not None:
        raise TopologyMismatchError(
            f'The atoms that "{selection}" selects in {file} and in the store differ: {match.difference}. '
            "Select atoms that both have, in the same order."
        )
    return positions[chosen], file.name


def _digest(values: NDArray[Any]) -> str:
    return blake2b(np.ascontiguousarray(values).tobytes(), digest_size=8).hexdigest()
