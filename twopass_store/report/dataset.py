"""A summary as an xarray Dataset."""

from typing import TYPE_CHECKING, Any

import numpy as np

from .rows import columns

if TYPE_CHECKING:
    import xarray as xr

    from .clusters import ClusterSummary

__all__ = ["summary_dataset"]


def summary_dataset(summary: "ClusterSummary") -> "xr.Dataset":
    """Return the columns as variables along ``cluster``, in order of rank, with ``units`` and ``long_name``.

    Where the summary is split, ``group_n_frames_of`` has the frames of each group (along ``group``) and
    cluster, and ``group_n_frames`` those of each group.
    """
    import xarray as xr

    variables: dict[str, Any] = {}
    for name, attrs in columns().items():
        values = [getattr(row, name) for row in summary.clusters]
        is_text = any(isinstance(value, str) for value in values)
        absent: Any = "" if is_text else np.nan
        filled = [absent if value is None else value for value in values]
        variables[name] = ("cluster", np.array(filled, dtype=str if is_text else None), attrs)
    if summary.groups:
        variables["group_n_frames"] = (
            "group",
            [group.n_frames for group in summary.groups],
            {"units": "1", "long_name": "frames of the group"},
        )
        variables["group_n_frames_of"] = (
            ("group", "cluster"),
            [group.n_frames_of for group in summary.groups],
            {"units": "1", "long_name": "frames of the group with this label"},
        )
        variables["group_n_beyond_noise_cutoff"] = (
            "group",
            [group.n_beyond_noise_cutoff for group in summary.groups],
            {"units": "1", "long_name": "frames of the group beyond the noise cutoff"},
        )
    coordinates = {"group": [group.name for group in summary.groups]} if summary.groups else {}
    overview = summary.overview
    attrs = {"store": overview.path, "clustering": overview.name, "fingerprint": overview.fingerprint}
    return xr.Dataset(variables, coords=coordinates, attrs=attrs).set_coords("label")
