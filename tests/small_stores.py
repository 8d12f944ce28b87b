"""A store of a few atoms and frames whose arrays have several chunks all the same, and ways to damage it."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import numpy as np

import twopass_store
from trajectory_files import make_trajectory

N_FRAMES = 70
SIZES = {"FRAME_CHUNK": 32, "PAIR_CHUNK": 64, "ROWS_PER_CHUNK": 12, "POSITION_CHUNK_BYTES": 16 * 12 * 7}
"""Frames in per-frame chunks, pairs, rows; positions of 7 atoms lie in chunks of 16 frames."""

LATE = (
    "assign.margin",
    "assign.unit",
    "cluster.judge",
    "cluster.plan",
    "ingest.append",
    "ingest.columns",
    "ingest.growth",
    "report.convergence",
)
"""Modules that have sizes from `partition` and are imported when they are needed."""


@contextmanager
def small_chunks() -> Iterator[None]:
    """Make chunks so small, in this process, while the block runs."""
    for name in twopass_store.__all__:
        getattr(twopass_store, name)  # loads its room
    for name in LATE:
        # Imported for the first time while sizes are small, they would keep them.
        import_module(f"twopass_store.{name}")
    changed = []
    for module in [module for name, module in sys.modules.items() if name.startswith("twopass_store")]:
        for name in SIZES.keys() & vars(module).keys():
            changed.append((module, name, getattr(module, name)))
            setattr(module, name, SIZES[name])
    try:
        yield
    finally:
        for module, name, value in changed:
            setattr(module, name, value)


def make_small(folder: Path, *, files: int = 1, shard: str | int = "none") -> Path:
    """Make a store with all stages done, margins and a scan too, beside the files that it was made from."""
    folder.mkdir(parents=True, exist_ok=True)
    # On XTC's grid, so that positions are stored as integers with a scale_factor.
    trajectory = make_trajectory(N_FRAMES, n_residues=1)
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


def replace(file: Path, content: bytes) -> None:
    """Put another content in the place of a file's."""
    file.unlink(missing_ok=True)
    file.write_bytes(content)
