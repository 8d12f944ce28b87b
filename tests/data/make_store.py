"""Make the store that later versions must still open, and what is in it, as text.

``python tests/data/make_store.py`` writes ``format-N.tar.xz`` and ``format-N.json`` beside this file, N the
version of the format. What is there is never made again: only a new version of the format gets a new pair.
"""

import json
import shutil
import sys
import tarfile
import tempfile
from hashlib import blake2b
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import twopass_store
from twopass_store.schema import FORMAT_VERSION

__all__ = ["describe", "describe_store"]

NAMES = ("default", "fine", "states")


def describe(variable: xr.DataArray | xr.Variable) -> str:
    """Describe an array exactly: dimensions, type, first values and a digest of all."""
    values = np.asarray(variable.values)
    if values.dtype.kind in "OUT":
        content = "\0".join(map(str, values.ravel())).encode()
        dtype, first = "str", [str(value) for value in values.ravel()[:3]]
    else:
        content = np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()
        dtype, first = str(values.dtype), [repr(value) for value in values.ravel()[:3].tolist()]
    shape = ", ".join(f"{dim} {size}" for dim, size in zip(variable.dims, values.shape, strict=True))
    digest = blake2b(content, digest_size=8).hexdigest()
    return f"{dtype} ({shape}) {digest}: {', '.join(first)}"


def describe_store(path: Path) -> dict[str, Any]:
    """Describe all that readers have of a store."""
    found: dict[str, Any] = {"results": {}, "summary": {}}
    for name in NAMES:
        with twopass_store.open_results(path, name) as results:
            found["results"][name] = {str(key): describe(value) for key, value in results.variables.items()}
        rows = twopass_store.summarize(path, name, details=False).to_dataframe().itertuples()
        found["summary"][name] = [
            [row.label, row.n_frames, row.medoid_frame, round(row.rmsd_mean_nm, 6)] for row in rows
        ]
    status = twopass_store.store_status(path)
    found["status"] = {
        "format_version": status.format_version,
        "n_frames": status.n_frames,
        "n_atoms": status.n_atoms,
        "time_source": status.time_source,
        "stages": [[each.stage, each.complete, each.units_done, each.units] for each in status.stages],
        "n_frames_without_label": dict(status.n_frames_without_label),
    }
    with xr.open_datatree(path, engine="zarr", consolidated=False) as tree:
        found["tree"] = {
            f"{node.path}/{key}".replace("//", "/"): describe(value)
            for node in tree.subtree
            if not node.path.startswith("/journal")
            for key, value in node.to_dataset(inherit=False).variables.items()
        }
    return found


def make(folder: Path) -> Path:
    """Make the store from the example that comes with the package, by way of a path that says nothing."""
    data = resources.files("twopass_store") / "data"
    for name in ("alanine-dipeptide.xtc", "alanine-dipeptide.pdb"):
        (folder / name).write_bytes((data / name).read_bytes())
    top, path = folder / "alanine-dipeptide.pdb", folder / "s.zarr"
    # Provenance says how it was made.
    sys.argv = ["twopass", "run"]
    twopass_store.ingest_trajectories(path, folder / "alanine-dipeptide.xtc", top=top, stride=50, workers=1)
    twopass_store.cluster_subset(path, stride=2, n_clusters=3, workers=1)
    twopass_store.assign_frames(path, margin=True, noise_cutoff=0.05, workers=1)
    twopass_store.recut_clustering(path, name="default", new_name="fine", n_clusters=5, workers=1)
    twopass_store.assign_frames(path, name="fine", workers=1)
    twopass_store.adopt_leaders(path, top, name="states")
    twopass_store.assign_frames(path, name="states", workers=1)
    twopass_store.scan_cuts(path, stride=2, n_clusters="2:5", workers=1)
    return path


def pack(path: Path, archive: Path) -> None:
    """Put a store into an archive."""
    with tarfile.open(archive, "w:xz") as packed:
        for file in sorted(path.rglob("*")):
            if file.is_file():
                entry = tarfile.TarInfo(str(file.relative_to(path)))
                entry.size = file.stat().st_size
                with file.open("rb") as content:
                    packed.addfile(entry, content)


def main() -> None:
    """Write both files, unless they are there."""
    archive = Path(__file__).with_name(f"format-{FORMAT_VERSION}.tar.xz")
    if archive.exists():
        raise SystemExit(f"{archive.name} is there. Stores like it exist: it stays as it is.")
    folder = Path(tempfile.gettempdir()) / "twopass-example"
    folder.mkdir()
    try:
        path = make(folder)
        pack(path, archive)
        archive.with_name(f"format-{FORMAT_VERSION}.json").write_text(
            json.dumps(describe_store(path), indent=1) + "\n"
        )
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
