"""H5MD in Zarr, the layout that MDAnalysis reads through zarrtraj."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numcodecs import Blosc
from numpy.typing import NDArray

from ..partition import FRAME_CHUNK, position_chunk_frames

__all__ = ["H5mdWriter"]

_PARTICLES = "particles/trajectory"


class H5mdWriter:
    """A trajectory in H5MD 1.1's layout, as groups and arrays of Zarr format 2: zarrtraj reads no other.

    Parameters
    ----------
    path
        A folder that isn't there yet.
    n_frames, n_atoms
        Its size.
    has_unitcell
        Whether every frame has a unit cell.

    References
    ----------
    https://www.nongnu.org/h5md/h5md.html and https://zarrtraj.readthedocs.io (format ``zarrmd``).
    """

    def __init__(self, path: Path, *, n_frames: int, n_atoms: int, has_unitcell: bool) -> None:
        self._root = zarr.create_group(path, zarr_format=2)
        self._written = 0
        self._group("h5md", {"version": [1, 1]})
        self._group("h5md/author", {"name": "unknown"})
        self._group("h5md/creator", {"name": "twopass-store", "version": version("twopass-store")})
        self._group("particles", {})
        self._group(_PARTICLES, {})
        boundary = "periodic" if has_unitcell else "none"
        self._group(f"{_PARTICLES}/box", {"dimension": 3, "boundary": [boundary] * 3})
        shapes = {"position": (n_frames, n_atoms, 3)}
        if has_unitcell:
            shapes["box/edges"] = (n_frames, 3, 3)
        # H5MD has the elements share steps and times by hard links, which Zarr doesn't know.
        self._elements = {name: self._element(name, shape) for name, shape in shapes.items()}

    def write(
        self,
        xyz: NDArray[np.float32],
        step: NDArray[np.int64],
        time: NDArray[np.float64],
        unitcell_vectors: NDArray[np.float32] | None,
    ) -> None:
        """Write frames behind those that are there.

        Parameters
        ----------
        xyz
            Positions, shape (n_frames, n_atoms, 3), nm.
        step, time
            Shape (n_frames,), ps; steps must ascend, or zarrtraj takes frames of equal steps for one.
        unitcell_vectors
            Shape (n_frames, 3, 3), nm; None where there are no unit cells.
        """
        rows = slice(self._written, self._written + len(xyz))
        values: dict[str, Any] = {"position": xyz, "box/edges": unitcell_vectors}
        for name, arrays in self._elements.items():
            arrays["value"][rows] = values[name]
            arrays["step"][rows] = step
            arrays["time"][rows] = time
        self._written = rows.stop

    def _group(self, path: str, attrs: dict[str, Any]) -> None:
        self._root.create_group(path).update_attributes(attrs)

    def _element(self, name: str, shape: tuple[int, ...]) -> dict[str, "zarr.Array[Any]"]:
        path = f"{_PARTICLES}/{name}"
        self._root.create_group(path)
        frames = position_chunk_frames(shape[1]) if name == "position" else FRAME_CHUNK
        return {
            "value": self._array(f"{path}/value", shape, "float32", frames, "nm"),
            "step": self._array(f"{path}/step", shape[:1], "int64", FRAME_CHUNK, None),
            "time": self._array(f"{path}/time", shape[:1], "float64", FRAME_CHUNK, "ps"),
        }

    def _array(
        self, path: str, shape: tuple[int, ...], dtype: str, chunk: int, unit: str | None
    ) -> "zarr.Array[Any]":
        return self._root.create_array(
            path,
            shape=shape,
            dtype=dtype,
            chunks=(min(chunk, shape[0]), *shape[1:]),
            compressors=Blosc(cname="lz4", clevel=5, shuffle=Blosc.SHUFFLE),
            fill_value=0,
            attributes={} if unit is None else {"unit": unit},
        )
