"""The metric of a clustering, as it is measured and kept in the store.

It is whole there: masses, atoms and reference are arrays of the clustering, and no file is read again.
"""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .partition import format_ranges
from .rmsd import Alignment, Metric
from .schema import METRIC, ArraySpec, metric_text
from .store import Store

__all__ = ["ClusterMetric", "named_after", "read_metric"]


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
        Of the atoms, Da; None if all count alike.
    align_atoms, align_masses, reference
        Atoms by which every frame is superposed, their masses, and their positions in the reference, nm;
        None if there is none.
    align_text
        The reference and its atoms in words.
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
        """Their number if frames are superposed on a reference, else None."""
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
        fit=attrs["fit"],
        masses=found.get("selected_atom_mass"),
        align_atoms=found.get("align_atom_index"),
        align_masses=found.get("align_atom_mass"),
        reference=found.get("reference_position"),
        align_text=str(attrs.get("alignment", "")),
    )


def named_after(metric: str, spec: ArraySpec) -> dict[str, str]:
    """Return the attributes of an array of distances that name a metric other than the schema's default."""
    named = spec.long_name.replace("minimal RMSD", metric)
    return {} if named == spec.long_name else {"long_name": named}


def _digest(values: NDArray[Any]) -> str:
    return blake2b(np.ascontiguousarray(values).tobytes(), digest_size=8).hexdigest()
