"""Stores as a stranger might send them: a finished one, and ways to change it that keep its digests right."""

import json
import shutil
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

import google_crc32c
import mdtraj as md
import numcodecs

import twopass_store
from twopass_store.journal import METADATA, digest
from twopass_store.store import JournalFiles
from twopass_store.store.places import stages_of

N_FRAMES = 120


def make_finished(folder: Path, example_xtc: Path, example_top: Path) -> Path:
    """Make a store with all stages done, a scan and margins too, beside the files that it was made from."""
    frames = md.load(str(example_xtc), top=str(example_top))[:N_FRAMES]
    frames.save(str(folder / "md.xtc"))
    frames[0].save(str(folder / "md.pdb"))
    store = folder / "s.zarr"
    twopass_store.ingest_trajectories(store, str(folder / "md.xtc"), top=str(folder / "md.pdb"))
    twopass_store.cluster_subset(store, n_clusters=3, stride=4, select="element != H")
    twopass_store.assign_frames(store, margin=True)
    twopass_store.scan_cuts(store, n_clusters="2:4", name="default")
    return store


def copied(store: Path, folder: Path) -> Path:
    """Return a copy of a store with its source files, to be changed."""
    shutil.copytree(store.parent, folder, dirs_exist_ok=True)
    return folder / store.name


def change_metadata(store: Path, path: str, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the metadata of a group or array, and let what the journal has of them fit."""
    file = store / path / "zarr.json"
    metadata = json.loads(file.read_text())
    change(metadata)
    file.write_text(json.dumps(metadata))
    for stage in stages_of(path):
        journal = JournalFiles(store).journal(stage)
        if journal is not None and path in (kept := journal.plan.metadata):
            plan = journal.plan.with_metadata({**kept, path: file.read_text()})
            change_metadata(
                store,
                f"journal/{stage}",
                lambda metadata: metadata["attributes"].update(plan=plan.to_json()),  # noqa: B023
            )
        if journal is not None and journal.has(path):
            entries = journal.extended(journal.plan, {(path, METADATA)})
            n_before = 0
            for product in journal.plan.products:
                if product.path == path:
                    entries[n_before + product.n_chunks] = digest(file.read_bytes())
                n_before += product.n_chunks + 1
            packed = numcodecs.Blosc("lz4", 5, numcodecs.Blosc.SHUFFLE).encode(entries)
            checksum = google_crc32c.value(packed).to_bytes(4, "little")
            (store / "journal" / stage / "ledger" / "c.0").write_bytes(packed + checksum)


def change_plan(store: Path, stage: str, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a stage's plan, and let its digest fit."""

    def within(metadata: dict[str, Any]) -> None:
        plan = json.loads(json.loads(metadata["attributes"]["plan"])["plan"])
        change(plan)
        metadata["attributes"]["plan"] = sealed(plan)

    change_metadata(store, f"journal/{stage}", within)


def sealed(plan: dict[str, Any]) -> str:
    """Encode a plan with the digest that fits."""
    text = json.dumps(plan)
    return json.dumps({"plan": text, "digest": blake2b(text.encode(), digest_size=16).hexdigest()})
