"""The metric of a clustering, as it is measured and kept in the store.

It is whole there: masses, atoms and reference are arrays of the clustering, and no file is read again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from hashlib import blake2b
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .partition import format_ranges
from .rmsd import Alignment, Metric
from .schema import METRIC, ArraySpec, metric_text
from .store import Store

__all__ = ["ClusterMetric", "named_after", "read_metric"]


@dataclass(frozen=True, slots=True, eq=False)
class ClusterMetric:
    """How the frames of a store are compared; indices are along ``atom``.

    `permutations` are a group on the atoms of the RMSD, the identity first: the atom that each puts in the
    place of each of `symmetry_atoms`, shape (n_permutations, n_symmetry_atoms).
    """

    atoms: NDArray[np.int64]  # of the RMSD, ascending
    fit: str = "pairs"  # ``pairs``, ``none`` or ``reference``
    masses: NDArray[np.float64] | None = None  # of the atoms, Da; None if all count alike
    align_atoms: NDArray[np.int64] | None = None  # by which every frame is superposed
    align_masses: NDArray[np.float64] | None = None
    reference: NDArray[np.float32] | None = None  # their positions, nm
    align_text: str = ""  # the reference and its atoms in words
    symmetry_atoms: NDArray[np.int64] | None = None
    permutations: NDArray[np.int64] | None = None
    symmetry_text: str = ""  # how many, and of what

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
        return metric_text(
            self.fit, weighted=self.masses is not None, symmetric=self.permutations is not None
        )

    @property
    def is_default(self) -> bool:
        """Whether it is the minimal RMSD of atoms of equal weight."""
        return self.fit == "pairs" and self.masses is None and self.permutations is None

    @property
    def n_permutations(self) -> int:
        """Number of permutations, 1 if there is none but the identity."""
        return 1 if self.permutations is None else len(self.permutations)

    @property
    def orders(self) -> NDArray[np.int64] | None:
        """The permutations of the atoms of the RMSD, indices into these, shape (n_permutations, n_atoms)."""
        if self.permutations is None or self.symmetry_atoms is None:
            return None
        orders = np.tile(np.arange(len(self.atoms)), (len(self.permutations), 1))
        chosen = np.isin(self.symmetry_atoms, self.atoms)
        places = np.searchsorted(self.atoms, self.symmetry_atoms[chosen])
        orders[:, places] = np.searchsorted(self.atoms, self.permutations[:, chosen])
        return orders

    def for_kernels(self) -> Metric:
        """The metric of frames that consist of `read_atoms`."""
        alignment = None
        if self.align_atoms is not None and self.reference is not None:
            fitted, measured = (np.searchsorted(self.read_atoms, a) for a in (self.align_atoms, self.atoms))
            reference = self.reference.astype(np.float64)
            alignment = Alignment(fitted, measured, reference, weights=self.align_masses)
        return Metric(self.fit == "pairs", self.masses, alignment, self.orders)

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
        if (orders := self.orders) is not None:
            found |= {"n_permutations": len(orders), "symmetry": _digest(orders)}
        return found

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {key: value.tolist() if hasattr(value, "tolist") else value for key, value in values.items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Make it from what `to_json` gave."""
        kinds = {"reference": np.float32}
        found = {
            key: np.asarray(value, kinds.get(key)) if isinstance(value, list) else value
            for key, value in values.items()
        }
        return cls(**found)  # type: ignore[arg-type]

    def attrs(self) -> dict[str, Any]:
        """Attributes of the clustering's group."""
        told = {"alignment": self.align_text, "symmetry": self.symmetry_text}
        return {"metric": self.text, "fit": self.fit, **{key: text for key, text in told.items() if text}}

    def arrays(self) -> list[tuple[ArraySpec, NDArray[Any]]]:
        """Arrays that it adds to the clustering's group, none for the default."""
        values = {
            "selected_atom_mass": self.masses,
            "align_atom_index": self.align_atoms,
            "align_atom_mass": self.align_masses,
            "reference_position": self.reference,
            "symmetry_atom_index": self.symmetry_atoms,
            "symmetry_permutation": self.permutations,
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
        symmetry_atoms=found.get("symmetry_atom_index"),
        permutations=found.get("symmetry_permutation"),
        symmetry_text=str(attrs.get("symmetry", "")),
    )


def named_after(metric: str, spec: ArraySpec) -> dict[str, str]:
    """Return the attributes of an array of distances that name a metric other than the schema's default."""
    named = spec.long_name.replace("minimal RMSD", metric)
    return {} if named == spec.long_name else {"long_name": named}


def _digest(values: NDArray[Any]) -> str:
    return blake2b(np.ascontiguousarray(values).tobytes(), digest_size=8).hexdigest()
