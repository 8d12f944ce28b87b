"""The tables of a store beside its frames: source files, atoms, runs."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..journal import Record
from ..store import Store
from .plan import IngestPlan

__all__ = ["write_tables"]


def write_tables(store: Store, plan: IngestPlan) -> list[Record]:
    """Write the tables of files, atoms and runs; returns the ledger's entries."""
    atoms = list(plan.stored_topology.atoms)
    tables: dict[str, NDArray[Any]] = {
        **plan.tables,
        "atom_name": np.array([atom.name for atom in atoms]),
        "element": np.array([atom.element.symbol if atom.element is not None else "" for atom in atoms]),
        "residue_name": np.array([atom.residue.name for atom in atoms]),
        "residue_id": np.array([atom.residue.resSeq for atom in atoms]),
        "chain_id": np.array([_chain_id(atom.residue.chain) for atom in atoms]),
    }
    records = []
    for spec in (spec for spec, _ in plan.arrays if spec.name in tables):
        values = tables[spec.name]
        kind = object if spec.dtype == "str" else spec.dtype
        records += store.write_all(spec.name, values.astype(kind))
    return records


def _chain_id(chain: Any) -> str:
    # Many topology files name no chains.
    return str(getattr(chain, "chain_id", None) or chain.index)
