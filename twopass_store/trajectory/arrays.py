"""NetCDF and HDF5 files: what is there of what they promise, in the units that they say.

mdtraj's readers pass over both, so they are mended.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mdtraj as md
import numpy as np
from mdtraj.formats import gro, hdf5
from mdtraj.formats.registry import FormatRegistry
from mdtraj.utils import in_units_of
from numpy.typing import NDArray

from ..errors import TrajectoryError
from ..partition import FrameList
from .formats import TrajectoryFormat, plain_name
from .info import Count, mixed_cells
from .offsets import is_zero_from, numbers_at
from .text import GRO_TIME, GroReader

__all__ = ["array_times", "count_hdf5", "count_netcdf", "count_restart", "mend_readers"]

_SHORT = {
    "fs": "femtosecond", "ps": "picosecond", "ns": "nanosecond", "us": "microsecond", "A": "angstrom",
    "Å": "angstrom", "pm": "picometer", "nm": "nanometer", "deg": "degree", "rad": "radian",
}  # fmt: skip
# What the NetCDF libraries read where nothing was written.
_UNWRITTEN = np.float32(9.96921e36)
_LENGTH = "nanometer"
_UNITS = {"time": "picosecond", "coordinates": _LENGTH, "cell_lengths": _LENGTH, "cell_angles": "degree"}


def _check_units(path: str, variables: Any) -> dict[str, str]:
    """Read mdtraj's names of the units of variables; nothing for one that is absent or doesn't say."""
    found = {}
    for name, usual in _UNITS.items():
        units = _text(getattr(variables[name], "units", "")) if name in variables else ""
        if not units:
            continue
        found[name] = _SHORT.get(units) or units.lower()
        try:
            in_units_of(1.0, found[name], usual)
        except Exception as error:  # whatever its parser of units runs into
            raise TrajectoryError(
                f"{path} gives {name} in {units!r}, which is no known unit of that. Convert the file, or "
                f"correct the attribute `units` of {name}, such as {usual!r}."
            ) from error
    return found


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace").strip() if isinstance(value, bytes) else str(value).strip()


def _records(path: str, n_records: int) -> Any:
    """Open a classic NetCDF file as one of so many records, whatever its header says."""
    from scipy.io import netcdf_file  # takes 0.1 s to import

    class Records(netcdf_file):  # type: ignore[misc]
        def _read_numrecs(self) -> None:
            super()._read_numrecs()
            self.__dict__["n_promised"] = self._recs
            self.__dict__["_recs"] = n_records

    return Records(path, mmap=True, maskandscale=True)


def _is_classic(path: str) -> bool:
    """Tell a NetCDF file from one of NetCDF-4, which is HDF5."""
    with Path(path).open("rb") as file:
        return file.read(3) == b"CDF"


def _find_records(path: str) -> tuple[int, int, int] | None:
    """Count a classic NetCDF file's whole records, those promised, and bytes up to there; None if none is."""
    try:
        with _records(path, 1) as opened:
            records = [each for each in opened.variables.values() if each.isrec]
            if not records:
                n_records = opened.variables["coordinates"].shape[0]
                return n_records, n_records, Path(path).stat().st_size
            start = opened._mm_buf.__array_interface__["data"][0]
            places = {id(each): each.data.__array_interface__["data"][0] - start for each in records}
            size, n_promised = int(opened._recsize), int(opened.n_promised)
            positions = opened.variables["coordinates"]
            parts = [
                (each is positions, places[id(each)], each.data.dtype.str, each.data[0].size)
                for each in records
            ]
    except (ValueError, TypeError, IndexError, KeyError, OverflowError):
        return None
    begin = min(places.values())
    n_records = (Path(path).stat().st_size - begin) // size
    if n_records > n_promised >= 0 and is_zero_from(path, begin + n_promised * size):
        n_records = n_promised

    def is_written(record: int, place: int, dtype: str, count: int) -> bool:
        numbers = numbers_at(path, np.array([place + record * size]), dtype, count=count)
        return bool(_is_there(numbers).all())

    # A program that was killed within a record has written some of its parts; the library fills the others.
    before = max(0, n_records - 2)
    needed = [
        part for is_positions, *part in parts if is_positions or (n_records and is_written(before, *part))
    ]
    while n_records and not all(is_written(n_records - 1, *part) for part in needed):
        n_records -= 1
    return n_records, n_promised, begin + n_records * size


def _is_there(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell which numbers of a NetCDF file were written."""
    there: NDArray[np.bool_] = np.ma.getdata(values).astype(np.float32) != _UNWRITTEN
    return there & ~np.ma.getmaskarray(values)


def count_netcdf(path: str, entry: TrajectoryFormat, _n_atoms: int) -> Count:
    """Count the frames of an Amber NetCDF file that were written."""
    found = _find_records(path) if _is_classic(path) else (_n_stored(path), None, None)
    with plain_name(path, entry.extensions) as name, md.open(name) as file:
        n_frames, n_atoms = int(file.n_frames), int(file.n_atoms)
        variables, has_unitcell = file._handle.variables, None
        has_time = "time" in variables and bool(_is_there(variables["time"][:1]).all())
        if found is None:
            return Count(0, n_atoms, has_time)
        if "cell_lengths" in variables:
            lengths = variables["cell_lengths"][:]
            has_cell = np.asarray(np.ma.getdata(lengths).any(axis=1))
            if not _is_there(lengths).all():
                has_unitcell = False
            elif has_cell.any() and not has_cell.all():
                raise mixed_cells(path, int(np.argmin(has_cell == has_cell[0])), has_cell=not has_cell[0])
    n_whole, n_promised, end = found
    # A program that streams its output promises -1.
    n_promised = n_frames if n_promised is None else n_promised
    return Count(n_whole, n_atoms, has_time, end, n_promised, has_unitcell=has_unitcell)


def count_restart(path: str, entry: TrajectoryFormat, _n_atoms: int) -> Count:
    """Read the one frame of an Amber restart."""
    with plain_name(path, entry.extensions) as name, md.open(name) as file:
        xyz, time, *_ = file.read()
        return Count(1, xyz.shape[1], time is not None)


def count_hdf5(path: str, entry: TrajectoryFormat, _n_atoms: int) -> Count:
    """Count the frames of an MDTraj HDF5 file that were written."""
    n_stored = _n_stored(path)
    with plain_name(path, entry.extensions) as name, md.open(name) as file:
        n_frames, n_atoms = file.root.coordinates.shape[:2]
        names = {child._v_name: child._v_attrs for child in file.root}
        _check_units(path, names)
        return Count(n_stored, int(n_atoms), "time" in names, n_promised=int(n_frames))


def _n_stored(path: str) -> int:
    """Count the leading frames of an HDF5 file that were written: pieces that weren't read as zeros."""
    import h5py

    with h5py.File(path, "r") as file:
        positions = file["coordinates"]
        if positions.chunks is None:
            return len(positions)
        n_frames_each = int(positions.chunks[0])
        n_pieces = [-(-n // chunk) for n, chunk in zip(positions.shape, positions.chunks, strict=True)]
        n_there = positions.id.get_num_chunks()
        if n_there == math.prod(n_pieces):
            return len(positions)
        places = [positions.id.get_chunk_info(piece).chunk_offset[0] for piece in range(n_there)]
        rows = np.bincount(np.array(places, np.int64) // n_frames_each, minlength=n_pieces[0])
        n_whole = int(np.argmax(rows < math.prod(n_pieces[1:])))
    if rows[n_whole + 1 :].any():
        raise TrajectoryError(
            f"{path} is damaged: it promises {math.prod(n_pieces)} pieces of positions and holds {n_there}, "
            "with gaps among them. Copy it again."
        )
    return n_whole * n_frames_each


class _NetCDF(md.formats.NetCDFTrajectoryFile):  # type: ignore[misc]
    """With the frames that are there, in the units that it says."""

    def __init__(self, filename: str, mode: str = "r", force_overwrite: bool = True) -> None:
        super().__init__(filename, mode, force_overwrite)
        self._handle: Any
        self._units: dict[str, str] = {}
        if mode != "r":
            return
        records = _find_records(filename) if _is_classic(filename) else None
        if records is not None and records[0] != self.n_frames:
            self._handle.close()
            self._handle = _records(filename, records[0])
        self._units = _check_units(filename, self._handle.variables)
        if (unit := self._units.get("coordinates", "angstrom")).rstrip("s") != "angstrom":
            self.distance_unit = unit

    def read(self, *arguments: Any, **options: Any) -> tuple[NDArray[Any] | None, ...]:
        coordinates, time, lengths, angles = super().read(*arguments, **options)
        native = np.ma.filled(coordinates, np.nan).astype(coordinates.dtype.newbyteorder("="), copy=False)
        return (
            np.ma.asarray(native),  # as netCDF4 gives them: numpy rounds a product of plain arrays otherwise
            self._converted(time, "time", "picosecond"),
            self._converted(lengths, "cell_lengths", self.distance_unit),
            self._converted(angles, "cell_angles", "degree"),
        )

    def read_times(self) -> NDArray[Any] | None:
        """Return the times of all frames, ps."""
        return self._converted(self._handle.variables["time"][:], "time", "picosecond")

    def _converted(self, values: NDArray[Any] | None, name: str, to: str) -> NDArray[Any] | None:
        default = "angstrom" if name == "cell_lengths" else to
        factor = float(in_units_of(1.0, self._units.get(name, default), to))
        if values is None or abs(factor - 1) < 1e-12:
            return values
        # 7000 fs are 7 ps, not 7.000000000000001.
        exact = values.astype(np.float64)
        return exact * factor if factor > 1 else exact / round(1 / factor, 9)


def mend_readers() -> None:
    """Make mdtraj use these in this process."""
    FormatRegistry.fileobjects.update(dict.fromkeys((".nc", ".netcdf", ".ncdf"), _NetCDF))
    FormatRegistry.fileobjects[".gro"] = GroReader
    gro.findall = lambda _pattern, title: GRO_TIME.findall(title) or ["nan"]
    hdf5.in_units_of = lambda values, units, *others, **options: in_units_of(
        values, _SHORT.get(units, units), *others, **options
    )


def array_times(
    path: str, entry: TrajectoryFormat, _n_atoms: int, frames: FrameList
) -> Iterator[NDArray[np.float64]]:
    """Yield times of frames of a NetCDF or HDF5 file, ps."""
    with plain_name(path, entry.extensions) as name, md.open(name) as file:
        if entry.name == "Amber NetCDF":
            found = file.read_times()
        else:
            found = hdf5.in_units_of(file.root.time[:], _text(file.root.time.attrs.units), "picoseconds")
    for piece in frames.pieces():
        yield np.ma.filled(found[piece], np.nan).astype(np.float64)
