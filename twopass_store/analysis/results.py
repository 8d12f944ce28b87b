"""`open_results`: all that belongs to one clustering, as a lazy xarray Dataset."""

import os

import numpy as np
import pandas as pd
import xarray as xr

from ..store import read_results

__all__ = ["open_results"]

_MEASURED = ("position", "unitcell_lengths", "unitcell_angles", "rmsd_to_leader", "rmsd_to_second")


def open_results(
    store: str | os.PathLike[str], name: str | None = None, *, partial: bool = False
) -> xr.Dataset:
    """Open the committed results of a clustering.

    Parameters
    ----------
    store
        Path of the store.
    name
        Name of the clustering, by default ``default``, or the only one.
    partial
        Include the labels of an assign that has not finished: -1 and NaN where it has not come yet.

    Returns
    -------
    A Dataset whose variables are read when they are used, each with ``units`` and ``long_name``. Its data
    variables are what is measured along ``frame``: ``position`` (frame, atom, xyz; float32, nm), unit cells,
    and once assign has finished ``rmsd_to_leader``, with ``rmsd_to_second`` where margins were asked for. All
    else are coordinates, so that xarray's verbs leave them as they are: ``frame``, ``time``, ``trajectory``,
    ``source_frame``, ``label``, ``label_status``, ``leader_index`` and ``second_label`` (frame); the tables
    of atoms and source files; ``subset_frame``, the condensed ``rmsd`` and the ``linkage`` of the first pass
    where it made one; leaders and how faithful these are; masses and reference where the metric has any.
    Leaders that a cover added follow the others, and stand for the medoids of the clusters that they opened.
    After an append, frames that assign has not come to have the label -1, and the attribute
    ``share_without_label`` says how many. The accessor ``twopass`` holds analyses, see `TwopassAccessor`.

    Raises
    ------
    StoreNotFoundError
        If there is no store.
    StageIncompleteError
        If the cluster stage has not finished, or there is no clustering of that name; or it or its labels are
        being made anew.
    ConfigError
        If there are several clusterings, none is called ``default``, and no name is given.
    """
    found = read_results(store, name, partial=partial)
    for key, values in found.variables.items():
        if values.dtype.kind == "T":
            # What sorts, compares and groups strings knows those of fixed width.
            found[key] = values.copy(data=np.array(values.values.tolist(), dtype=np.str_))
    found = found.set_coords([key for key in found if key not in _MEASURED])
    found = found.assign_coords(frame=pd.RangeIndex(found.sizes["frame"]))
    found.frame.attrs |= {"units": "1", "long_name": "frame of the store"}
    return found
