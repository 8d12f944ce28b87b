"""Stores as older versions wrote them: journals with no copies of metadata, and without later arrays."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from twopass_store.journal import METADATA, Lock, Record, StageJournal, digest, hold
from twopass_store.store import Store, lock_folder

__all__ = ["forget_metadata"]


def forget_metadata(path: Path, *, absent: Sequence[str] = (), altered: Sequence[str] = ()) -> None:
    """Make the journals of a store those of an older version.

    Parameters
    ----------
    path
        The store.
    absent
        Arrays that it didn't have: no plan speaks of them.
    altered
        Arrays whose metadata are recorded as they are now.
    """
    for copies in path.glob("journal/*/metadata"):
        shutil.rmtree(copies)
    with hold(lock_folder(path), [Lock("ingest")]) as writer:
        store = Store.open(path, writer=writer)
        for stage in store.members("journal"):
            journal = store.journal(stage)
            assert journal is not None
            products = tuple(each for each in journal.plan.products if each.path not in absent)
            plan = replace(journal.plan, products=products)
            entries = journal.extended(plan)
            if plan != journal.plan:
                store.remove(f"journal/{stage}/ledger")
                store.replace_plan(stage, plan.to_json())
            found = StageJournal(store, plan, entries)
            found.commit(
                Record(each.path, METADATA, digest((path / each.path / "zarr.json").read_bytes()))
                for each in products
                if each.path in altered
            )
