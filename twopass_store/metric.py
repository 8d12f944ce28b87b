"""The metric of a clustering, as it is measured and kept in the store.

It is whole there: masses, atoms and reference are arrays of the clustering, and no file is read again.
"""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import CorruptChunkError
from .partition import format_ranges
from .rmsd import Alignment, Metric
from .schema import METRIC, ArraySpec, metric_text
from .store import Store

__all__ = ["ClusterMetric", "read_metric"]


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
    """Read the metric of a finished clustering, whose group's path is given.

    Raises
    ------
    CorruptChunkError
        If what is stored is no metric of the store's atoms.
    """
    found = {
        spec.name: store.read(f"{group}/{spec.name}") for spec in METRIC if store.has(f"{group}/{spec.name}")
    }
    attrs = store.attrs(group)
    metric = ClusterMetric(
        atoms=store.read(f"{group}/selected_atom_index"),
        # Clusterings of before there was a choice don't say.
        fit=attrs.get("fit", "pairs"),
        masses=found.get("selected_atom_mass"),
        align_atoms=found.get("align_atom_index"),
        align_masses=found.get("align_atom_mass"),
        reference=found.get("reference_position"),
        align_text=str(attrs.get("alignment", "")),
    )
    if not _is_sound(metric, store.shape("position")[1]):
        raise CorruptChunkError(
            f"{store.path / group}: its metric isn't one of the store's atoms. The store was damaged, or "
            "made to mislead: make the clustering anew."
        )
    return metric


def _is_sound(metric: ClusterMetric, n_atoms: int) -> bool:
    """Tell whether kernels may be given what is stored: they check no index."""
    atoms, aligned = metric.atoms, metric.align_atoms
    if not _are_indices(atoms, n_atoms) or not _fits(metric.masses, (len(atoms),)):
        return False
    if metric.fit != "reference":
        return metric.fit in ("pairs", "none") and aligned is None
    return (
        aligned is not None
        and metric.reference is not None
        and _are_indices(aligned, n_atoms)
        and _fits(metric.align_masses, (len(aligned),))
        and _fits(metric.reference, (len(aligned), 3))
    )


def _are_indices(indices: NDArray[np.int64], n_atoms: int) -> bool:
    is_ascending = bool((np.diff(indices) > 0).all())
    return len(indices) > 0 and is_ascending and bool(indices[0] >= 0 and indices[-1] < n_atoms)


def _fits(values: NDArray[np.floating[Any]] | None, shape: tuple[int, ...]) -> bool:
    return values is None or (values.shape == shape and bool(np.isfinite(values).all()))


def _digest(values: NDArray[Any]) -> str:
    return blake2b(np.ascontiguousarray(values).tobytes(), digest_size=8).hexdigest()
