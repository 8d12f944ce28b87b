"""mdtraj's readers of NetCDF, HDF5 and GRO, mended where a file says something that they pass over."""

import re
from collections import deque
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import mdtraj as md
import numpy as np
from mdtraj.formats import gro, hdf5
from mdtraj.formats.registry import FormatRegistry
from mdtraj.utils import in_units_of
from numpy.typing import NDArray
from scipy.io import netcdf_file

from ..errors import TrajectoryError
from .xdr import is_zero_from

__all__ = ["GRO_TIME", "Records", "check_units", "find_records", "mend_readers"]

GRO_TIME = re.compile(r"\bt= *([-+]?\d+\.?\d*(?:[eE][-+]?\d+)?)(?= *(?:ps)?(?:\s|,|$))")
"""The time in the title of a GRO frame; `t=300K` is none."""

_SHORT = {
    "fs": "femtosecond",
    "ps": "picosecond",
    "ns": "nanosecond",
    "us": "microsecond",
    "A": "angstrom",
    "Å": "angstrom",
    "pm": "picometer",
    "nm": "nanometer",
    "deg": "degree",
    "rad": "radian",
}
_UNITS = {
    "time": "picosecond",
    "coordinates": "nanometer",
    "cell_lengths": "nanometer",
    "cell_angles": "degree",
}


def check_units(path: str, variables: Any) -> dict[str, str]:
    """Read the units of time, coordinates and cells from the attributes of variables.

    Returns mdtraj's names of them, by variable; nothing for one that is absent or doesn't say.
    """
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


class Records(netcdf_file):  # type: ignore[misc]
    """A classic NetCDF file read as one of so many records, whatever its header says."""

    def __init__(self, path: str, n_records: int) -> None:
        self.__dict__["_n_records"] = n_records
        super().__init__(path, mmap=True, maskandscale=True)

    def _read_numrecs(self) -> None:
        super()._read_numrecs()
        self.__dict__["n_promised"] = self._recs
        self.__dict__["_recs"] = self._n_records


def find_records(path: str) -> tuple[int, int, int] | None:
    """Count the whole records of a classic NetCDF file, and those that its header promises.

    Returns the byte behind them as the last; None if the file is of NetCDF-4, or holds no whole record.
    """
    with Path(path).open("rb") as file:
        if file.read(3) != b"CDF":
            return None
    try:
        with Records(path, 1) as opened:
            records = [each for each in opened.variables.values() if each.isrec]
            if not records:
                n_records = opened.variables["coordinates"].shape[0]
                return n_records, n_records, Path(path).stat().st_size
            start = opened._mm_buf.__array_interface__["data"][0]
            begin = min(each.data.__array_interface__["data"][0] for each in records) - start
            size, n_promised = int(opened._recsize), int(opened.n_promised)
    except (ValueError, TypeError, IndexError, KeyError, OverflowError):
        return None
    n_records = (Path(path).stat().st_size - begin) // size
    if n_records > n_promised >= 0 and is_zero_from(path, begin + n_promised * size):
        n_records = n_promised
    return n_records, n_promised, begin + n_records * size


class _NetCDF(md.formats.NetCDFTrajectoryFile):  # type: ignore[misc]
    """With the frames that are there, in the units that it says."""

    def __init__(self, filename: str, mode: str = "r", force_overwrite: bool = True) -> None:
        super().__init__(filename, mode, force_overwrite)
        self._handle: Any
        self._units: dict[str, str] = {}
        if mode != "r":
            return
        records = find_records(filename)
        if records is not None and records[0] != self.n_frames:
            self._handle.close()
            self._handle = Records(filename, records[0])
        self._units = check_units(filename, self._handle.variables)
        if (unit := self._units.get("coordinates", "angstrom")).rstrip("s") != "angstrom":
            self.distance_unit = unit

    def read(self, *arguments: Any, **options: Any) -> tuple[NDArray[Any] | None, ...]:
        coordinates, time, lengths, angles = super().read(*arguments, **options)
        return (
            # As netCDF4 gives them: numpy rounds a product of plain arrays otherwise.
            np.ma.asarray(coordinates.astype(coordinates.dtype.newbyteorder("="), copy=False)),
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


class _Gro(md.formats.GroTrajectoryFile):  # type: ignore[misc]
    """With the frames that `iterload` asks for, where mdtraj has it load all."""

    def seek(self, offset: int) -> None:
        n_lines = offset * (self.n_atoms + 3)
        deque(islice(self._file, n_lines), maxlen=0)

    def read_as_traj(self, n_frames: int, **options: Any) -> md.Trajectory:
        self.read = partial(super().read, n_frames)
        return super().read_as_traj(**options)


def mend_readers() -> None:
    """Make mdtraj use these in this process."""
    FormatRegistry.fileobjects.update({".nc": _NetCDF, ".netcdf": _NetCDF, ".ncdf": _NetCDF, ".gro": _Gro})
    gro.findall = lambda _pattern, title: GRO_TIME.findall(title) or ["nan"]
    hdf5.in_units_of = lambda values, units, *others, **options: in_units_of(
        values, _SHORT.get(units, units), *others, **options
    )
