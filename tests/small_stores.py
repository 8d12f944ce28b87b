"""A store of a few atoms and frames whose arrays have several chunks all the same, and ways to damage it."""

import shutil
from pathlib import Path

import numpy as np

import twopass_store
from trajectory_files import make_trajectory
from twopass_store.journal import Lock, hold
from twopass_store.store import Store, lock_folder

N_FRAMES = 70
SMALL = {"frames": 32, "pairs": 64, "rows": 12, "position_bytes": 16 * 12 * 14}
"""For `small_chunks`: positions of 14 atoms then lie in chunks of 16 frames."""


def make_small(folder: Path, *, files: int = 1, shard: str | int = "none") -> Path:
    """Make a store with all stages done, margins and a scan too, beside the files that it was made from."""
    folder.mkdir(parents=True, exist_ok=True)
    # On XTC's grid, so that positions are stored as integers with a scale_factor.
    trajectory = make_trajectory(N_FRAMES, n_residues=2)
    trajectory[0].save_pdb(str(folder / "top.pdb"))
    for number, part in enumerate(np.array_split(np.arange(N_FRAMES), files)):
        trajectory[part].save_xtc(str(folder / f"md{number}.xtc"))
    store = folder / "s.zarr"
    run_small(store, shard=shard)
    return store


def run_small(store: Path, *, shard: str | int = "none") -> None:
    """Run all stages, or what is missing of them."""
    files = sorted(store.parent.glob("md*.xtc"))
    top = store.parent / "top.pdb"
    twopass_store.ingest_trajectories(store, files, top=top, workers=1, shard=shard)
    twopass_store.cluster_subset(store, select="all", stride=4, n_clusters=3, workers=1)
    twopass_store.assign_frames(store, workers=1, margin=True)
    twopass_store.scan_cuts(store, select="all", stride=4, n_clusters="2:4", workers=1)


def copied(store: Path, folder: Path) -> Path:
    """Return a copy of a store, beside copies of its source files."""
    shutil.copytree(store.parent, folder)
    return folder / store.name


def files_of(store: Path) -> dict[str, bytes]:
    """Return the content of all files of a store by their paths in it."""
    return {str(file.relative_to(store)): file.read_bytes() for file in store.rglob("*") if file.is_file()}


def flip(file: Path, offset: int, mask: int = 0xFF) -> None:
    """Change one byte of a file, as a new file in its place: a copy may share the old one by a link."""
    content = bytearray(file.read_bytes())
    content[offset] ^= mask
    replace(file, bytes(content))


def forget(store: Path, stage: str) -> None:
    """Empty the ledger of a stage, as if it had only been begun."""
    with hold(lock_folder(store), [Lock("ingest")]) as writer:
        journal = Store.open(store, writer=writer).journal(stage)
        assert journal is not None
        journal.reset()


def replace(file: Path, content: bytes) -> None:
    """Put another content in the place of a file's."""
    file.unlink(missing_ok=True)
    file.write_bytes(content)
