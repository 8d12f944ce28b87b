"""All that belongs to one clustering, as a lazy xarray Dataset."""

import json
import os
import warnings
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, StageIncompleteError
from ..journal import Plan
from ..schema import ASSIGNMENT, CLUSTERING, FAITHFULNESS, INGESTED, MARGIN, METRIC, OUTSIDE, SUBSET
from .leaders import LeaderList, leader_positions, read_leaders, require_cover
from .local import DurableLocalStore, missing_chunk
from .places import chunk_key
from .published import files_at
from .reading import GROWTH, at_one_state, require_no_restart
from .stage import require_clustering
from .store import Store, store_path

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["chosen_clustering", "plain_attributes", "read_results"]

DEFAULT_NAME = "default"
"""The clustering that is meant where none is named."""


def read_results(
    store: str | os.PathLike[str], name: str | None = None, *, partial: bool = False
) -> "xr.Dataset":
    """Open the committed results of a clustering as they are stored; see `twopass_store.open_results`."""
    path = store_path(store, reads=True)

    def read() -> "xr.Dataset":
        opened = Store.open(path)
        return _opened(opened, chosen_clustering(opened, name), _shown(opened), partial=partial)

    return at_one_state(path, read, name=name)


def _shown(opened: Store) -> Mapping[str, int] | None:
    """Return how many frames and files there were before an append that is under way; None without one."""
    growing = opened.read_plan(GROWTH)
    if growing is not None:
        plan = Plan.from_json(Plan.from_json(growing).parameters["journals"]["ingest"]["plan"])
    else:
        ingest = opened.journal("ingest")
        if ingest is None or ingest.complete or "append" not in ingest.plan.request:
            return None
        plan = ingest.plan
    before = plan.request["append"]
    return {"frame": int(before["n_frames"]), "trajectory_file": int(before["n_files"])}


def _opened(opened: Store, name: str, shown: Mapping[str, int] | None, *, partial: bool) -> "xr.Dataset":
    # xarray takes half a second to import: not for the commands, which never need it.
    import xarray as xr

    group = f"clusterings/{name}"
    require_clustering(opened, name)
    attrs = opened.attrs(group)
    linkage = attrs["linkage"]

    files = files_at(opened.path, known_only=True)
    partial_files = files_at(opened.path, absent_is_fill=True, known_only=True)
    root = _group(opened, files, "", [spec.name for spec in INGESTED])
    clustering = _group(
        opened, files, group, [spec.name for spec in (*CLUSTERING, *METRIC, *OUTSIDE, *FAITHFULNESS)]
    )
    require_cover(opened, name)
    leaders = read_leaders(opened, name, stop=None if shown is None else shown["frame"])
    pieces = [root, _with_cover(opened, name, clustering, leaders)]
    if attrs["subset"] is not None:
        subset = f"subsets/{attrs['subset']}"
        pieces.append(_group(opened, files, subset, [spec.name for spec in SUBSET]))
    if linkage is not None:
        pieces.append(_group(opened, files, subset, [linkage]).rename({linkage: "linkage"}))
    uncovered: dict[str, float] = {}
    for specs in (ASSIGNMENT, MARGIN):
        paths = [f"{group}/{spec.name}" for spec in specs]
        stage = "assign" if specs is ASSIGNMENT else "margin"
        if all(opened.is_complete(path) for path in paths) or (
            shown is not None and shown["frame"] == _n_covered(opened, f"{stage}-{name}")
        ):
            pieces.append(_group(opened, files, group, [spec.name for spec in specs]))
        elif all(opened.has(path) for path in paths):
            n_covered = _n_covered(opened, f"{stage}-{name}")
            if not partial and not n_covered:
                require_no_restart(opened.path, name)
                continue
            _require_recorded_chunks(opened, f"{stage}-{name}", paths)
            piece = _group(opened, partial_files, group, [spec.name for spec in specs])
            if not partial:
                piece = piece.assign(
                    {s.name: _covered_only(piece[s.name], n_covered, s.fill_value) for s in specs}
                )
                uncovered = {"share_without_label": 1.0 - n_covered / root.sizes["frame"]}
            pieces.append(piece)
        else:
            require_no_restart(opened.path, name)

    if shown is not None:
        cut = {dim: slice(length) for dim, length in shown.items()}
        pieces = [piece.isel(cut, missing_dims="ignore") for piece in pieces]
    described = {"clustering": name, **root.attrs, **attrs, **leaders.cover, **uncovered}
    for piece in pieces:
        piece.attrs = {}
        for variable in piece.variables.values():
            variable.attrs.pop("complete", None)
    merged = xr.merge(pieces, compat="equals", join="exact", combine_attrs="override")
    merged.attrs = plain_attributes(described)
    return xr.decode_cf(merged, decode_times=False)


def plain_attributes(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes that NetCDF can hold: dictionaries as JSON, truth values as integers, and no None."""
    plain = {key: json.dumps(value) if isinstance(value, dict) else value for key, value in attrs.items()}
    plain |= {key: int(value) for key, value in plain.items() if isinstance(value, bool)}
    return {key: value for key, value in plain.items() if value is not None}


def _n_covered(opened: Store, stage: str) -> int:
    """Count the frames that a stage had done before others were appended."""
    journal = opened.journal(stage)
    return 0 if journal is None else int(journal.plan.request.get("covered", 0))


def _covered_only(array: "xr.DataArray", n_covered: int, fill_value: Any) -> "xr.DataArray":
    """Show frames that were appended as unknown, whether assign has come to them or not; lazily."""

    def read(frames: NDArray[np.int64]) -> Any:
        return np.where(frames < n_covered, array[frames].values, fill_value)

    return array.copy(data=_lazy(array.dtype, array.shape, read))


def _with_cover(opened: Store, name: str, clustering: "xr.Dataset", leaders: LeaderList) -> "xr.Dataset":
    """Put the leaders of a cover behind the others, and the clusters that they opened."""
    import xarray as xr

    n_added, opens = len(leaders.frame) - leaders.n_chosen, leaders.opened
    known = {"leader_frame": leaders.frame, "leader_label": leaders.label}
    if "medoid_frame" in clustering and len(opens):
        known["medoid_frame"] = np.append(clustering["medoid_frame"].values, opens)
    longer: dict[Hashable, Any] = {}
    for spec in (*CLUSTERING, *OUTSIDE, *FAITHFULNESS):
        n_more = {"leader": n_added, "cluster": len(opens)}.get(spec.dims[0], 0)
        if spec.name not in clustering or not n_more:
            continue
        variable = clustering[spec.name].variable
        if spec.name == "leader_position":
            shape = (len(leaders.frame), *variable.shape[1:])
            values: Any = _lazy(variable.dtype, shape, partial(leader_positions, opened, name, leaders))
        elif spec.name in known:
            values = known[spec.name]
        else:
            values = np.append(variable.values, np.full(n_more, spec.fill_value, variable.dtype))
        longer[spec.name] = xr.Variable(variable.dims, values, variable.attrs, variable.encoding)
    return clustering.drop_vars(longer).assign(longer)


def _lazy(dtype: Any, shape: tuple[int, ...], read: Callable[[NDArray[np.int64]], Any]) -> Any:
    """Return what xarray takes as an array; `read` gets indices along the first dimension when it is used."""
    from xarray.backends import BackendArray
    from xarray.core import indexing

    class Lazy(BackendArray):
        def __init__(self) -> None:
            self.dtype, self.shape = dtype, shape

        def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
            support = indexing.IndexingSupport.OUTER
            return indexing.explicit_indexing_adapter(key, self.shape, support, self._read)

        def _read(self, key: tuple[Any, ...]) -> Any:
            rows = np.arange(shape[0])[key[0]]
            found = np.asarray(read(np.atleast_1d(rows)), dtype)
            # From the last dimension on, as a number takes its dimension away.
            for axis in range(len(shape) - 1, 0, -1):
                found = found[(slice(None),) * axis + (key[axis],)]
            return found if rows.ndim else found[0]

    return indexing.LazilyIndexedArray(Lazy())


def _require_recorded_chunks(opened: Store, stage: str, paths: list[str]) -> None:
    """Refuse chunks that were lost: what is absent is read as not labelled yet."""
    journal = opened.journal(stage)
    if journal is None:
        return
    for path in paths:
        for chunk in np.flatnonzero(journal.done(path)):
            if not opened.has_chunk(path, int(chunk)):
                raise missing_chunk(opened.path / chunk_key(path, int(chunk)))


def _group(opened: Store, files: DurableLocalStore, path: str, names: list[str]) -> "xr.Dataset":
    """Open those arrays of a group that are there, not decoded yet."""
    import xarray as xr

    opened.attrs(path)
    # Where the metadata of one are lost, xarray would take it for absent.
    for name in names:
        if opened.has(array := f"{path}/{name}" if path else name):
            opened.shape(array)  # refuses metadata that are damaged
    files.require_same(path)
    try:
        # zarr warns of the folder of an array that a writer makes at this moment.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Object at .* is not recognized")
            found = xr.open_dataset(
                files,  # type: ignore[arg-type]  # xarray takes a zarr store, but doesn't say so
                engine="zarr",
                group=path or None,
                consolidated=False,
                zarr_format=3,
                decode_cf=False,
                chunks=None,
            )
    except FileNotFoundError as error:  # zarr's own is a ValueError as well
        raise StageIncompleteError(f"{files.root / path} was removed while it was read.") from error
    except ValueError as error:
        if "conflicting sizes" not in str(error):
            raise
        raise StageIncompleteError(
            f"{files.root} is being made longer at this moment: open it again. If it stays so, an append was "
            "interrupted; run it again, and it goes on where it was stopped."
        ) from error
    chosen = found[[name for name in names if name in found]]
    files.require_same(path)
    if "scale_factor" in chosen.get("position", xr.DataArray()).attrs:
        # As a python float it would make xarray decode to float64.
        chosen["position"].attrs["scale_factor"] = np.float32(chosen["position"].attrs["scale_factor"])
    return chosen


def chosen_clustering(store: Store, name: str | None = None, *, beside: str | None = None) -> str:
    """Return the name of a clustering: as given, else ``default``, else the only one `beside` another.

    Raises
    ------
    StageIncompleteError, ConfigError
        If no name is given and there is none, or there are several and none is called ``default``.
    """
    names = [each for each in store.members("clusterings") if each != beside]
    if name is not None or DEFAULT_NAME in names:
        return name or DEFAULT_NAME
    if not names:
        raise StageIncompleteError(
            f"{store.path} has no clustering yet. Run `twopass cluster {store.path} --n-clusters K`."
        )
    if len(names) > 1:
        raise ConfigError(
            f"{store.path} has several clusterings, none of them called {DEFAULT_NAME}. Say which with "
            f"`name`; there are {', '.join(names)}."
        )
    return names[0]
