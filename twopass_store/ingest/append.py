"""What an append will do: frames of new files, and those by which files have grown."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import IngestConfig, list_inputs, validated
from ..errors import ConfigError, FingerprintMismatchError, StageIncompleteError, StoreError, TrajectoryError
from ..journal import Plan, Product
from ..partition import FRAME_CHUNK, chunk_range, n_chunks
from ..schema import INGESTED, TRAJECTORY_FILE, TRAJECTORY_RECORD
from ..store import Store
from ..trajectory import TrajectoryInfo, digest_file
from .plan import IngestPlan, describe_file, file_columns, plan_ingest
from .runs import Source

__all__ = ["plan_append"]

CHOICES = ("topology", "stride", "discard_first", "precision", "image")
"""Parameters of an ingest that hold for all of its files."""

NOT_RECORDED = ("trajectories", "from_list", "top", "ndx", "memory", "workers")
"""What an append doesn't take from the options of a store; topology and groups are in other places."""


def plan_append(store: Store, config: IngestConfig) -> IngestPlan | None:
    """Plan to add what the files have and the store hasn't; None if there is nothing new.

    An append that was interrupted is planned as it was. Options that aren't given are as they were when the
    store was made.

    Raises
    ------
    StageIncompleteError
        If the store's ingest has not finished.
    FingerprintMismatchError
        If parameters differ from the store's, or frames that are in it would be others now.
    TrajectoryError
        If a file can't be used, or what was ingested of it has changed.
    StoreError
        If there are arrays along ``frame`` that the format doesn't have.
    """
    journal = store.journal("ingest")
    if journal is None or not (journal.complete or "append" in journal.plan.request):
        raise StageIncompleteError(
            f"{store.path}: ingest has not finished, so nothing can be added to it. Run the same "
            "`twopass ingest` again; it goes on where it was stopped."
        )
    begun = None if journal.complete else journal.plan.request["append"]
    if begun is None and (unknown := store.unknown_along_frame()):
        raise StoreError(
            f"Cannot append to {store.path}: it holds {', '.join(unknown)} along frame, which twopass-store "
            "didn't make and can't make longer. Move them out of it first."
        )
    n_before = store.shape("position")[0] if begun is None else int(begun["n_frames"])
    n_files = store.shape("trajectory_path")[0] if begun is None else int(begun["n_files"])
    names = [spec.name for spec in (*TRAJECTORY_FILE, *TRAJECTORY_RECORD) if store.has(spec.name)]
    table = {name: store.read(name)[:n_files] for name in names}
    index_of = {str(path): index for index, path in enumerate(table["trajectory_path"])}

    asked = _as_before(config, journal.plan.request)
    # Where times or runs choose the frames, all files have a say.
    if asked.from_list is None and {"runs", "times"} & journal.plan.parameters.keys():
        given = {str(file.path) for file in list_inputs(asked)}
        others = [path for path in index_of if path not in given]
        asked = asked.model_copy(update={"trajectories": (*others, *asked.trajectories)})
    plan = plan_ingest(asked, to=store)
    _require_same(store, journal.plan, plan)
    files: Sequence[Source] = plan.sources
    if begun is not None:
        files = _as_begun(store, files, begun["files"])
    else:
        for source in files:
            index = index_of.get(source.info.path)
            if index is not None:
                size, digest = (table[f"trajectory_{column}"][index] for column in ("size", "digest"))
                _require_same_beginning(source.info, int(size), str(digest))
    added = _added(store, n_before, files, index_of)
    if not added:
        return None

    n_frames = n_before + sum(len(source.kept) for source in added.values())
    tables = {**plan.tables, **_merged(table, added)}
    lengths = {"frame": n_frames, "trajectory_file": len(tables["trajectory_path"])}
    if store.has("run"):
        _require_same_runs(store, plan)
        lengths["simulation_run"] = len(tables["run_label"])
    grown = [index for index in added if index < n_files]
    longer = replace(
        plan,
        sources=tuple(added.values()),
        trajectories=tuple(added),
        n_stored=n_before,
        n_frames=n_frames,
        tables=tables,
        arrays=tuple(
            (spec, (lengths[spec.dims[0]], *store.shape(spec.name)[1:]))
            for spec in INGESTED
            if spec.dims[0] in lengths and store.has(spec.name)
        ),
        messages=(
            *plan.messages,
            f"{n_frames - n_before:,} frames are added to {n_before:,}: of new files "
            f"{len(added) - len(grown)}, of files that have grown {len(grown)}",
        ),
    )
    as_planned = _extended(store, journal.plan, longer, n_files) if begun is None else journal.plan
    return replace(longer, journal=as_planned)


def _as_before(config: IngestConfig, request: Mapping[str, Any]) -> IngestConfig:
    """Return the config with what it leaves open as it was when the store was made."""
    given = config.model_dump(exclude_defaults=True)
    stamps = iter(request.get("top", []))
    # What isn't recorded by us: files to read, and more memory than is allowed, are for the user to say.
    before = {key: value for key, value in request.get("options", {}).items() if key not in NOT_RECORDED}
    before |= {name: next(stamps)[0] for name in request.get("named", [])}
    if config.from_list is not None:
        before.pop("top", None)
    # The two ways to choose atoms exclude each other.
    if {"select", "group"} & given.keys():
        before = {key: value for key, value in before.items() if key not in ("select", "group", "ndx")}
    return validated(IngestConfig, {**before, **given})


def _require_same(store: Store, present: Plan, plan: IngestPlan) -> None:
    """Refuse what the store wasn't made with."""
    mend = "Ingest all files into a new store."
    before, asked = present.parameters, plan.journal.parameters
    found = [key for key in CHOICES if before.get(key) != asked.get(key)]
    if before["select"] != asked["select"]:
        found = ["select", *(key for key in found if key != "topology")]
    kind = store.attrs("time")["time_source"]
    names = {spec.name for spec, _ in plan.arrays}
    if found:
        pairs = [f"{key} (stored {before.get(key)}, requested {asked.get(key)})" for key in found]
        reason = f"it was made with other parameters: {'; '.join(pairs)}"
        mend = "Leave these options out."
    elif kind != plan.time_source:
        reason = f"its times are of the kind {kind!r}, those of the files {plan.time_source!r}"
        mend = "Ingest them into a store of their own, or give times with `dt`."
    elif "unitcell_lengths" in names and not store.has("unitcell_lengths"):
        reason = "it was made without unit cells, and these files have some"
    elif ("run" in names) != store.has("run"):
        reason = "either all of its files are grouped into runs, or none"
    else:
        return
    raise FingerprintMismatchError(f"Cannot append to {store.path}: {reason}. {mend}")


def _require_same_runs(store: Store, plan: IngestPlan) -> None:
    """Refuse runs that would get other numbers than they have in the store."""
    before, now = (
        [str(label) for label in labels] for labels in (store.read("run_label"), plan.tables["run_label"])
    )
    if now[: len(before)] != before[: len(now)]:
        raise ConfigError(
            f"Cannot append to {store.path}: its runs would be numbered otherwise. Name the files of new "
            "runs so that they come after the others."
        )


def _as_begun(store: Store, files: Sequence[Source], recorded: Sequence[Sequence[Any]]) -> list[Source]:
    """Return the files of an interrupted append as it had them: they may have grown since."""
    given = {source.info.path: source for source in files}
    missing = [path for path, *_ in recorded if path not in given]
    if missing:
        raise FingerprintMismatchError(
            f"{store.path}: an append of {', '.join(missing)} was interrupted. Append the same files again "
            "first; it goes on where it was stopped."
        )
    found = []
    for path, n_frames, size, digest in recorded:
        source = given[path]
        _require_same_beginning(source.info, size, digest)
        n_kept = int(np.searchsorted(source.kept.to_array(), n_frames))
        info = replace(source.info, n_frames=n_frames, size_bytes=size, digest=digest)
        found.append(replace(source, info=info, kept=source.kept.part(0, n_kept)))
    return found


def _require_same_beginning(info: TrajectoryInfo, size: int, digest: str) -> None:
    """Refuse a file whose part that was ingested, of `size` bytes, is another one now."""
    if info.digest != digest and digest_file(info.path, size_bytes=size) != digest:
        raise TrajectoryError(
            f"{info.path} has changed in the part of it that was ingested, so it isn't the same file grown "
            "longer. Restore it, or ingest all files into a new store."
        )


def _added(
    store: Store, n_before: int, files: Sequence[Source], index_of: Mapping[str, int]
) -> dict[int, Source]:
    """Return the files with the frames that the store lacks, by their index in its table of files."""
    known = {index_of[file.info.path]: file for file in files if file.info.path in index_of}
    counts = _n_stored(store, n_before, known)
    n_files, added = len(index_of), {}
    for source in files:
        index = index_of.get(source.info.path)
        n_known, n_kept = 0 if index is None else counts[index], len(source.kept)
        if n_kept > n_known:
            if index is None:
                index, n_files = n_files, n_files + 1
            added[index] = replace(source, kept=source.kept.part(n_known, n_kept))
    return added


def _n_stored(store: Store, n_frames: int, sources: Mapping[int, Source]) -> dict[int, int]:
    """Count the frames of each file among the first `n_frames`, which must be the first of those kept now."""
    counts = dict.fromkeys(sources, 0)
    for chunk in range(n_chunks(n_frames, FRAME_CHUNK)) if sources else ():
        frames = chunk_range(chunk, chunk=FRAME_CHUNK, length=n_frames)
        trajectory, source_frame = store.read("trajectory", frames), store.read("source_frame", frames)
        for index in sources.keys() & set(np.unique(trajectory).tolist()):
            source = sources[index]
            stored = source_frame[trajectory == index]
            start, counts[index] = counts[index], counts[index] + len(stored)
            kept = source.kept.part(start, min(counts[index], len(source.kept)))
            if not np.array_equal(kept.to_array(), stored):
                raise FingerprintMismatchError(
                    f"Of {source.info.path} as it is now, other frames would be kept than those in the "
                    "store, which are never touched. Ingest all files into a new store."
                )
    return counts


def _merged(table: Mapping[str, NDArray[Any]], added: Mapping[int, Source]) -> dict[str, NDArray[Any]]:
    """Return the table of files with those that are new or have grown, by their index."""
    columns = file_columns(list(added.values()))
    length = max(len(table["trajectory_path"]), 1 + max(added))
    merged = {}
    for name, values in table.items():
        column = merged[name] = np.empty(length, columns[name].dtype)
        column[: len(values)] = values
        column[list(added)] = columns[name]
    return merged


def _extended(store: Store, before: Plan, longer: IngestPlan, n_files: int) -> Plan:
    """Return the plan of the ingest with what is added."""
    described = list(before.parameters["trajectories"])
    described += [""] * (len(longer.tables["trajectory_path"]) - n_files)
    for index, source in zip(longer.trajectories, longer.sources, strict=True):
        described[index] = describe_file(source, str(before.parameters["select"]))
    parameters = {**before.parameters, "trajectories": described}
    for key in ("labels", "times", "runs"):
        if key in before.parameters:
            parameters[key] = longer.journal.parameters[key]
    # The same frames in the same order as those of an ingest of all files, unless a file has grown that isn't
    # the last.
    if any(index < n_files - 1 for index in longer.trajectories):
        order = f"from frame {longer.n_stored}: files {list(longer.trajectories)}"
        parameters["appended"] = [*before.parameters.get("appended", []), order]
    lengths = {spec.name: Store.product("", spec, shape) for spec, shape in longer.arrays}
    lengths["position"] = Product("position", n_chunks(longer.n_frames, store.unit_length("position")))
    infos = [source.info for source in longer.sources]
    files = [[info.path, info.n_frames, info.size_bytes, info.digest] for info in infos]
    append = {"n_frames": longer.n_stored, "n_files": n_files, "files": files}
    return replace(
        before,
        parameters=parameters,
        products=tuple(lengths.get(product.path, product) for product in before.products),
        request={**before.request, "append": append},
    )
