"""Labels of all frames for other programs: discrete trajectories, and columns against time."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from ..config import expanded
from ..errors import ConfigError, StoreWriteError
from ..report import Runs, finished_assign, frame_chunks, short_names
from ..store import Store, require_ingest, store_path
from .coordinates import named_clustering
from .target import checked_target, replacing

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["export_dtrajs"]

KINDS = ("npy", "npz", "csv", "xvg")

XVG_HEAD = """@ title "Clusters"
@ xaxis label "{time}"
@ yaxis label "cluster"
@TYPE xy
@ s0 legend "cluster"
@ s1 legend "RMSD to the leader (nm)"
@ s2 legend "frame"
@ s3 legend "run"
"""


def export_dtrajs(
    store: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    name: str | None = None,
    format: str | None = None,
    overwrite: bool = False,
) -> tuple[Path, ...]:
    """Write the labels of all frames.

    Parameters
    ----------
    store
        Path of the store.
    path
        With the extension ``npz``, a file of all discrete trajectories, see `TwopassAccessor.dtrajs`: int32,
        with states from 0; with ``npy``, of the only one; without, a folder of one npy file each. With
        ``csv``, a table with one row a frame: ``time`` (ps; frame numbers if the input has no times),
        ``run``, ``frame`` in the store, ``label`` from 1 (-1 for none), and ``rmsd`` to the leader, nm. With
        ``xvg``, for xmgrace, the columns time, label, RMSD, frame and number of the run.
    name
        Name of the clustering, by default ``default``, or the only one.
    format
        One of these, in place of the extension.
    overwrite
        Whether files that exist are replaced; in a folder, also those of other discrete trajectories.

    Returns
    -------
    The files written.

    Raises
    ------
    ConfigError
        If there is no such format or clustering, or a file exists; or there are several discrete trajectories
        for one npy file.
    StageIncompleteError
        If assign has not finished.
    StoreWriteError
        If the disk refuses.
    """
    opened = Store.open(store_path(store, reads=True))
    require_ingest(opened)
    name = named_clustering(opened, name)
    finished_assign(opened, name)
    suffix = Path(path).suffix.lower().removeprefix(".")
    kind = format or suffix or "npy"
    if kind not in KINDS:
        raise ConfigError(f"Labels can't be written as {kind}: `format` is {', '.join(KINDS)}.")
    checked = partial(checked_target, opened, overwrite=overwrite)
    if kind in ("csv", "xvg"):
        target = checked(path)
        with replacing(target) as temporary, temporary.open("w", encoding="utf-8") as file:
            (_write_csv if kind == "csv" else _write_xvg)(opened, name, file)
        return (target,)

    from ..analysis import dtrajs, open_results

    found = dtrajs(open_results(opened.path, name))[0]
    names = [f"dtraj_{number:04d}" for number in range(len(found))]
    if kind == "npz":
        target = checked(path)
        arrays: dict[str, Any] = dict(zip(names, found, strict=True))
        with replacing(target) as temporary, temporary.open("wb") as binary:
            np.savez(binary, **arrays)
        return (target,)
    if suffix == "npy":
        if len(found) > 1:
            raise ConfigError(
                f"{name} has {len(found)} discrete trajectories, since there are several runs or gaps, and "
                "an npy file holds one. Give a folder, or a name that ends in .npz."
            )
        targets = [checked(path)]
    else:
        folder = expanded(path).absolute()
        checked(folder / "dtraj_0000.npy" if folder.is_dir() else folder)
        targets = [folder / f"{key}.npy" for key in names]
        try:
            folder.mkdir(exist_ok=True)
            for left in set(folder.glob("dtraj_*.npy")) - set(targets):
                left.unlink()
        except OSError as error:
            raise StoreWriteError(f"Cannot write into {folder}: {error.strerror or error}.") from error
    for target, states in zip(targets, found, strict=True):
        with replacing(target) as temporary, temporary.open("wb") as binary:
            np.save(binary, states)
    return tuple(targets)


def _columns(store: Store, name: str, runs: Runs) -> Iterator["pd.DataFrame"]:
    """Yield the columns a chunk at a time, runs by number from 0."""
    import pandas as pd

    group = f"clusterings/{name}"
    with store.unchanged(name):
        for frames in frame_chunks(store.shape("position")[0]):
            yield pd.DataFrame(
                {
                    "time": store.read("time", frames),
                    "run": store.read(runs.column, frames),
                    "frame": np.arange(frames.start, frames.stop),
                    "label": store.read(f"{group}/label", frames),
                    "rmsd": store.read(f"{group}/rmsd_to_leader", frames),
                }
            )


def _write_csv(store: Store, name: str, file: TextIO) -> None:
    runs = Runs.of(store)
    names = np.array(short_names(runs.names), object)
    for table in _columns(store, name, runs):
        table.assign(run=names[table.run]).to_csv(file, index=False, header=not file.tell())


def _write_xvg(store: Store, name: str, file: TextIO) -> None:
    runs, before = Runs.of(store), None
    has_times = store.attrs("time")["time_source"] != "index"
    for number, label in enumerate(short_names(runs.names), start=1):
        file.write(f"# run {number}: {label}\n")
    file.write(XVG_HEAD.format(time="Time (ps)" if has_times else "frame"))
    for table in _columns(store, name, runs):
        for _, part in table.groupby((table.run != table.run.shift()).cumsum()):
            number = int(part.run.iloc[0])
            file.write("&\n" if before not in (None, number) else "")
            before = number
            columns = part.assign(run=number + 1)[["time", "label", "rmsd", "frame", "run"]]
            columns.to_csv(file, sep=" ", header=False, index=False, na_rep="nan")
