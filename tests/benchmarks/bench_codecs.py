"""Size and speed of the codecs that positions may be stored in, beside XTC read by mdtraj.

Run as ``python tests/benchmarks/bench_codecs.py --adk FOLDER``, with FOLDER the data of the PyPI package
MDAnalysisTests (an adenylate kinase of 3341 atoms, and its water: 47681); without it, alanine dipeptide
alone. ``--table`` prints the table below; else there is one JSON line a case. In the table: size over that of
the XTC file; CPU time of mdtraj's reading of that file over that of ``Store.read_positions`` of all chunks,
one after the other, to float32; packing and encoding, in MB of float32 a second of CPU. Medians of user and
system time, both sides in turns, on one thread.

Every candidate is a chain of plain Zarr v3 codecs that zarr 3.1 and 3.4 read without a warning and without
code of ours; the filters of numcodecs (delta, rounding, pcodec) are not, so they are no candidates. Each ends
with a crc32c. The ten frames of the protein are turned and shifted at random 64 times over, since ten fill no
chunk; the box is as it is. Layouts: f frame, a atom, x axis, the last one contiguous.

The table (AMD EPYC, zarr 3.1.6, numcodecs 0.16.6, at a load of 4 to 6 on two processors):

| codec | type | layout | blosc | protein | solvated box | alanine dipeptide |
|---|---|---|---|---|---|---|
| **fast** | int16 | fax | lz4-5 bitshuffle | 1.16 8.5× 2101 | 1.45 7.0× 2512 | 0.53 9.2× 2516 |
| **small** | int16 | xfa | zstd-5 bitshuffle, 512 KiB | 1.03 3.6× 573 | 1.23 2.8× 419 | 0.46 5.9× 501 |
| **fast** | int32 | fax | lz4-5 bitshuffle | 1.17 6.0× 1268 | 1.58 4.5× 1323 | 0.54 6.0× 1291 |
| **small** | int32 | xfa | zstd-5 bitshuffle, 512 KiB | 1.03 2.9× 463 | 1.24 2.3× 272 | 0.46 4.6× 371 |
| **fast** | float32 | fax | lz4-5 bitshuffle | 2.32 5.6× 2039 | 2.92 4.5× 1863 | 1.17 7.1× 2089 |
| **small** | float32 | xfa | zstd-5 bitshuffle, 512 KiB | 2.19 2.5× 500 | 2.55 1.8× 222 | 1.13 4.4× 299 |

What follows from it:

- Bitshuffle makes integers small, since neighbouring atoms share their upper bits. Shuffled bytes read faster
  and take a third more.
- ``fast``, the default, is lz4 behind it: seven to nine times as fast to read as XTC, and so fast to encode
  that ingest costs little more than reading its input.
- ``small`` is zstd at level 5 in blocks of 512 KiB, with the axes one after the other: about a tenth smaller
  and less than half as fast to read, four times slower to encode. In the order of ``fast`` it would read
  faster and take 4 to 10 % more, beyond half an XTC file for alanine dipeptide. Level 7 saves 1 % at most.
- Frames last suits correlated frames of small molecules only, and takes more for all others.
- int32 takes hardly more than int16 except where atoms are far apart, but is slower to decode.
- Chunks of 2 to 4 MiB decoded are past the overhead of a file and still fit a cache. Shards (``--shard 8``)
  change neither size nor speed, only the number of files.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mdtraj as md
import numpy as np
import numpy.typing as npt
import zarr
from mdtraj.formats import XTCTrajectoryFile
from scipy.spatial.transform import Rotation
from zarr.codecs import BloscCodec, Crc32cCodec, TransposeCodec

from twopass_store.partition import FrameRange, n_chunks, position_chunk_frames
from twopass_store.store import Misfit, Packing

EXAMPLE = Path(__file__).parents[2] / "twopass_store" / "data"
MEGABYTE = 1e6

PLAIN, BY_AXIS = None, (2, 0, 1)
LAYOUTS = {PLAIN: "fax", BY_AXIS: "xfa"}


def blosc(name: str, level: int, shuffle: str, itemsize: int, block: int = 0) -> BloscCodec:
    return BloscCodec(cname=name, clevel=level, shuffle=shuffle, typesize=itemsize, blocksize=block)


# Name, type, layout, blosc's parameters (compressor, level, shuffle, bytes of an item, KiB of a block).
CHOSEN: list[tuple[str, str, Any, tuple[Any, ...]]] = [
    ("fast", "int16", PLAIN, ("lz4", 5, "bitshuffle", 2)),
    ("small", "int16", BY_AXIS, ("zstd", 5, "bitshuffle", 2, 512 << 10)),
    ("fast", "int32", PLAIN, ("lz4", 5, "bitshuffle", 4)),
    ("small", "int32", BY_AXIS, ("zstd", 5, "bitshuffle", 4, 512 << 10)),
    ("fast", "float32", PLAIN, ("lz4", 5, "bitshuffle", 4)),
    ("small", "float32", BY_AXIS, ("zstd", 5, "bitshuffle", 4, 512 << 10)),
]


def systems(folder: Path, adk: Path | None) -> Iterator[tuple[str, Path]]:
    """Yield names and XTC files."""
    if adk is not None:
        box = md.load(adk / "adk_oplsaa.xtc", top=adk / "adk_oplsaa.gro")
        protein = box.atom_slice(box.topology.select("protein"))
        rng = np.random.default_rng(0)
        centred = protein.xyz.astype(np.float64) - protein.xyz.mean(axis=1, keepdims=True)
        turns = Rotation.random(64, random_state=0).as_matrix()
        turned = [centred @ turn.T + 4 + rng.normal(size=(len(centred), 1, 3)) * 0.3 for turn in turns]
        md.Trajectory(np.concatenate(turned), protein.topology).save_xtc(str(folder / "protein.xtc"))
        yield "protein", folder / "protein.xtc"
        yield "solvated box", adk / "adk_oplsaa.xtc"
    yield "alanine dipeptide", EXAMPLE / "alanine-dipeptide.xtc"


def read_xtc(path: Path, n_atoms: int) -> npt.NDArray[np.float32]:
    """Read a file in blocks of the size of a chunk, as ``md.iterload`` does."""
    blocks = []
    with XTCTrajectoryFile(str(path)) as file:
        while len(block := file.read(n_frames=position_chunk_frames(n_atoms))[0]):
            blocks.append(block)
    return np.concatenate(blocks)


def cpu_seconds(function: Callable[[], object], at_least: float = 0.2) -> float:
    """Process time of one call, repeated until it can be measured."""
    start, calls = time.process_time(), 0
    while (spent := time.process_time() - start) < at_least or not calls:
        function()
        calls += 1
    return spent / calls


def write(
    folder: Path, xyz: npt.NDArray[np.float32], packing: Packing, codecs: dict[str, Any], shard: int
) -> tuple["zarr.Array[Any]", float]:
    """Write positions as a store has them; returns the array, and the CPU time of a packing and encoding."""
    root = zarr.create_group(folder / "s.zarr", zarr_format=3, attributes={"twopass_format": 1})
    length = position_chunk_frames(xyz.shape[1])
    array = root.create_array(
        "position",
        shape=xyz.shape,
        dtype=packing.dtype,
        chunks=(length, *xyz.shape[1:]),
        shards=(length * shard, *xyz.shape[1:]) if shard > 1 else None,
        attributes={} if packing.scale is None else {"scale_factor": packing.scale},
        chunk_key_encoding={"name": "default", "separator": "."},
        fill_value=0,
        config={"write_empty_chunks": True},
        **codecs,
    )

    def encode() -> None:
        for start in range(0, len(xyz), length * shard):
            packed = packing.pack(xyz[start : start + length * shard])
            assert not isinstance(packed, Misfit)
            array[start : start + len(packed)] = packed

    return array, cpu_seconds(encode)


def measure(
    path: Path,
    dtype: str,
    layout: tuple[int, ...] | None,
    parameters: tuple[Any, ...],
    shard: int,
    repeats: int,
) -> dict[str, float]:
    """Compare one candidate with one XTC file."""
    with XTCTrajectoryFile(str(path)) as file:
        n_atoms = file.read(n_frames=1)[0].shape[1]
    xyz = read_xtc(path, n_atoms)
    packing = Packing("float32") if dtype == "float32" else Packing.on_grid(0.001, dtype)
    codecs: dict[str, Any] = {"compressors": [blosc(*parameters), Crc32cCodec()]}
    if layout is not None:
        codecs["filters"] = [TransposeCodec(order=layout)]
    with tempfile.TemporaryDirectory() as folder:
        array, encoding = write(Path(folder), xyz, packing, codecs, shard)
        length = position_chunk_frames(n_atoms)
        chunks = [
            FrameRange(c * length, min((c + 1) * length, len(xyz))) for c in range(n_chunks(len(xyz), length))
        ]
        size = sum(file.stat().st_size for file in Path(folder).rglob("c.*"))

        out = np.empty((length, n_atoms, 3), np.float32)

        def ours() -> None:
            for frames in chunks:
                packing.unpack(np.asarray(array[frames.start : frames.stop]), out[: len(frames)])

        ours()
        assert packing.unpack(np.asarray(array[:])).tobytes() == xyz.tobytes()
        times = [(cpu_seconds(ours), cpu_seconds(lambda: read_xtc(path, n_atoms))) for _ in range(repeats)]
    return {
        "size": round(size / path.stat().st_size, 3),
        "times_faster": round(statistics.median(theirs / mine for mine, theirs in times), 2),
        "decoding_mb_s": round(xyz.nbytes / MEGABYTE / statistics.median(mine for mine, _ in times)),
        "encoding_mb_s": round(xyz.nbytes / MEGABYTE / encoding),
    }


def described(parameters: tuple[Any, ...], shard: int) -> str:
    name, level, shuffle, itemsize, *block = parameters
    items = "" if itemsize in (2, 4) else f" of {itemsize} bytes"
    blocks = f", {block[0] >> 10} KiB" if block else ""
    shards = f", {shard} chunks a shard" if shard > 1 else ""
    return f"{name}-{level} {shuffle}{items}{blocks}{shards}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--adk", type=Path, help="folder with adk_oplsaa.xtc and adk_oplsaa.gro")
    parser.add_argument("--xtc", type=Path, nargs="*", default=[], help="more files to measure on")
    parser.add_argument("--shard", type=int, nargs="*", default=[1], help="chunks in a shard")
    parser.add_argument("--table", action="store_true", help="print markdown")
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = [*systems(Path(folder), chosen.adk), *((path.stem, path) for path in chosen.xtc)]
        if chosen.table:
            print(f"| codec | type | layout | blosc | {' | '.join(name for name, _ in files)} |")
            print(f"|---|---|---|---|{'---|' * len(files)}")
        for name, dtype, layout, parameters in CHOSEN:
            for shard in chosen.shard:
                found = []
                text = described(parameters, shard)
                for system, path in files:
                    found.append(measure(path, dtype, layout, parameters, shard, chosen.repeats))
                    if not chosen.table:
                        case = {"codec": name, "dtype": dtype, "layout": LAYOUTS[layout], "blosc": text}
                        print(json.dumps({**case, "system": system, **found[-1]}), flush=True)
                if chosen.table:
                    cells = [
                        f"{each['size']:.2f} {each['times_faster']:.1f}× {each['encoding_mb_s']}"
                        for each in found
                    ]
                    row = [f"**{name}**" if name else "", dtype, LAYOUTS[layout], text, *cells]
                    print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
