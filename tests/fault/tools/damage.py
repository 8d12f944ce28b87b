"""Damaged files: mutations of sound ones, and what comes of reading them."""

import struct
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from random import Random

import mdtraj as md
import netCDF4
import numpy as np

from trajectory_files import WITH_TOPOLOGY, make_trajectory, write
from twopass_store.errors import TwopassError
from twopass_store.trajectory import load_topology, probe, read_blocks, read_times

FORMATS = ("xtc", "trr", "dcd", "h5", "nc", "nc4", "mdcrd", "xyz", "lammpstrj", "pdb", "gro")

_NUMBERS = (0, -1, 1, 2**31 - 1, -(2**31), 2**30, 1 << 24, 9)


@dataclass(frozen=True)
class Sound:
    """A sound file, and what it holds."""

    path: Path
    data: bytes
    topology: md.Topology
    expected: dict[str, np.ndarray | None]


def make_sound(extension: str, folder: Path, *, n_frames: int = 4, n_residues: int = 2) -> Sound:
    trajectory = make_trajectory(n_frames, n_residues=n_residues)
    if extension == "nc4":
        path = as_netcdf4(write(trajectory, folder / "classic.nc"), folder / "sound.nc")
    else:
        path = write(trajectory, folder / f"sound.{extension}")
    return Sound(path, path.read_bytes(), trajectory.topology, read(path, trajectory.topology))


def as_netcdf4(source: Path, target: Path) -> Path:
    with netCDF4.Dataset(source) as old, netCDF4.Dataset(target, "w", format="NETCDF4") as new:
        new.setncatts({name: old.getncattr(name) for name in old.ncattrs()})
        for name, dimension in old.dimensions.items():
            new.createDimension(name, None if dimension.isunlimited() else len(dimension))
        for name, variable in old.variables.items():
            copied = new.createVariable(name, variable.dtype, variable.dimensions)
            copied.setncatts({key: variable.getncattr(key) for key in variable.ncattrs()})
            copied[:] = variable[:]
    return target


def damaged(data: bytes, random: Random) -> bytes:
    """One mutation: a flip, a number of another size, a piece missing, doubled or cut off."""
    place = random.randrange(len(data))
    kind = random.random()
    if kind < 0.45:
        return (
            data[:place]
            + bytes([data[place] ^ random.choice([1 << random.randrange(8), 255])])
            + data[place + 1 :]
        )
    if kind < 0.65:
        word = struct.pack(random.choice("<>") + "i", random.choice(_NUMBERS))
        place -= place % 4
        return data[:place] + word + data[place + 4 :]
    if kind < 0.75:  # numbers in text
        return (
            data[:place]
            + random.choice([b"9" * 9, b"-", b"nan", b"1e99", b"\n", b" ", b"\0", b"*"])
            + data[place + 1 :]
        )
    length = random.choice([1, 4, 8, 80])
    if kind < 0.85:
        return data[:place] + data[place + length :]
    if kind < 0.9:
        return data[:place] + data[place : place + length] + data[place:]
    return data[:place]


def read(path: Path, topology: md.Topology) -> dict[str, np.ndarray | None]:
    """All that a file holds, by the way of an ingest."""
    if path.suffix.lstrip(".") in WITH_TOPOLOGY:
        topology = load_topology(path)
    info = probe(path, topology)
    blocks = list(read_blocks(info, frames=range(info.n_frames), block_frames=2))
    found = {}
    for name in ("xyz", "time", "unitcell_lengths", "unitcell_angles"):
        parts = [getattr(block, name) for block in blocks]
        found[name] = None if parts[0] is None else np.concatenate(parts)
    assert len(found["xyz"]) == info.n_frames and found["xyz"].dtype == np.float32
    for name in ("time", "unitcell_lengths", "unitcell_angles"):
        assert found[name] is None or np.isfinite(found[name]).all(), name
    read_times(info)
    return found


def outcome(path: Path, sound: Sound) -> str:
    """``right``, ``other values``, or the kind of the error; anything else is raised."""
    found, said = None, ""
    try:
        found = read(path, sound.topology)
    except TwopassError as error:
        said, kind = str(error), type(error).__name__
    if found is None:
        assert 20 < len(said) < 2000 and path.name in said, said
        return "crash contained" if "reader crashed" in said else kind
    same = all(
        (found[name] is None) == (value is None)
        and (value is None or (found[name].shape == value.shape and np.array_equal(found[name], value)))
        for name, value in sound.expected.items()
    )
    return "right" if same else "other values"


def sweep(sound: Sound, mutants: list[bytes]) -> Counter[str]:
    counts: Counter[str] = Counter()
    path = sound.path.with_name(f"damaged{sound.path.suffix}")
    for number, data in enumerate(mutants):
        path.write_bytes(data)
        try:
            counts[outcome(path, sound)] += 1
        except Exception as error:
            error.add_note(f"mutant {number}: {path}")
            raise
    return counts
