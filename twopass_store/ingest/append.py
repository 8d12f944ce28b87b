"""What an append will do: frames of new files, and those by which files have grown."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import IngestConfig, list_inputs, validated
from ..errors import ConfigError, FingerprintMismatchError, StageIncompleteError, StoreError, TrajectoryError
from ..journal import Plan, Product
from ..partition import FRAME_CHUNK, chunk_range, n_chunks, position_chunk_frames
from ..schema import INGESTED
from ..store import Store
from ..trajectory import digest_file
from .plan import CHUNKS_IN_MEMORY, IngestPlan, describe_file, file_columns, plan_ingest
from .sources import Source

__all__ = ["plan_append"]

CHOICES = ("topology", "stride", "discard_first", "precision", "image")
"""Parameters of an ingest that hold for all of its files."""

NOT_RECORDED = ("trajectories", "from_list", "top", "ndx", "memory", "workers")
"""What an append doesn't take from the options of a store; topology and groups are in other places."""


def plan_append(store: Store, config: IngestConfig) -> IngestPlan | None:
    """Find out which frames the files have that the store hasn't.

    Parameters
    ----------
    store
        The store: complete, or with an append that was interrupted, which is then planned as it was.
    config
        The files. Options that aren't given are as they were when the store was made.

    Returns
    -------
    The plan, whose sources are what is added; None if there is nothing new.

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
    present = _Present(store, begun)
    asked = _as_before(config, journal.plan.request)
    names = [str(file.path) for file in list_inputs(asked)]
    # Where times or runs choose the frames, all files have a say.
    takes_all = "runs" in journal.plan.parameters or "times" in journal.plan.parameters
    if takes_all and asked.from_list is None:
        others = [path for path in present.paths if path not in names]
        asked = asked.model_copy(update={"trajectories": (*others, *asked.trajectories)})
    if begun is None:
        _require_growable(store)
    plan = plan_ingest(asked, is_growing=True)
    _require_same(store, journal.plan, plan)
    files = list(plan.sources)
    if begun is not None:
        files = _as_recorded(store, files, begun["files"])
    index_of = {path: index for index, path in enumerate(present.paths)}
    known = {index_of[each.info.path]: each for each in files if each.info.path in index_of}
    if begun is None:
        for index, source in known.items():
            present.require_unchanged(index, source)
    counts = present.require_prefixes(known)
    sources, trajectories = [], []
    for source in files:
        index = index_of.setdefault(source.info.path, len(index_of))
        n_known = counts.get(index, 0)
        if len(source.kept) > n_known:
            sources.append(replace(source, kept=source.kept.part(n_known, len(source.kept))))
            trajectories.append(index)
    if not sources:
        return None
    longer = _longer(store, plan, present, sources, trajectories)
    as_planned = journal.plan if begun is not None else _extended(store, journal.plan, longer, present)
    return replace(longer, journal=as_planned)


class _Present:
    """What a store held before an append.

    Parameters
    ----------
    store
        The store.
    begun
        What the plan of an interrupted append says of it; None if there is none.
    """

    def __init__(self, store: Store, begun: Mapping[str, Any] | None) -> None:
        self._store = store
        self.n_frames = store.shape("position")[0] if begun is None else int(begun["n_frames"])
        n_files = store.shape("trajectory_path")[0] if begun is None else int(begun["n_files"])
        self.columns = {
            name: store.read(name)[:n_files]
            for name in store.members("")
            if name.startswith("trajectory_") and store.shape(name)[0] >= n_files
        }
        self.paths = [str(path) for path in self.columns["trajectory_path"]]

    def require_prefixes(self, sources: Mapping[int, Source]) -> dict[int, int]:
        """Return how many frames of each file are in the store, which must be the first of those kept.

        Parameters
        ----------
        sources
            The files that are in the store, as they are now, by their index.
        """
        counts = dict.fromkeys(sources, 0)
        for chunk in range(n_chunks(self.n_frames, FRAME_CHUNK)) if sources else ():
            frames = chunk_range(chunk, chunk=FRAME_CHUNK, length=self.n_frames)
            trajectory = self._store.read("trajectory", frames)
            source_frame = self._store.read("source_frame", frames)
            for index in set(np.unique(trajectory).tolist()) & sources.keys():
                stored = source_frame[trajectory == index]
                start, counts[index] = counts[index], counts[index] + len(stored)
                kept = sources[index].kept.part(start, min(counts[index], len(sources[index].kept)))
                if not np.array_equal(kept.to_array(), stored):
                    raise FingerprintMismatchError(
                        f"Of {sources[index].info.path} as it is now, other frames would be kept than those "
                        "in the store, which are never touched. Ingest all files into a new store."
                    )
        return counts

    def require_unchanged(self, index: int, source: Source) -> None:
        """Refuse a file whose part that was ingested is another one now."""
        info, digest = source.info, str(self.columns["trajectory_digest"][index])
        size = int(self.columns["trajectory_size"][index])
        if info.digest == digest:
            return
        if info.size_bytes > size and digest_file(info.path, size_bytes=size) == digest:
            return
        raise TrajectoryError(
            f"{info.path} has changed in the part of it that was ingested, so it isn't the same file grown "
            "longer. Restore it, or ingest all files into a new store."
        )


def _as_recorded(store: Store, files: Sequence[Source], recorded: Sequence[Sequence[Any]]) -> list[Source]:
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
        if source.info.digest != digest:
            if source.info.size_bytes < size or digest_file(path, size_bytes=size) != digest:
                raise TrajectoryError(
                    f"{path} has changed since an append of it was begun. Restore it to go on."
                )
            n_kept = int(np.searchsorted(source.kept.to_array(), n_frames))
            info = replace(source.info, n_frames=n_frames, size_bytes=size, digest=digest)
            source = replace(source, info=info, kept=source.kept.part(0, n_kept))
        found.append(source)
    return found


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


def _require_growable(store: Store) -> None:
    """Refuse to make a store longer that holds other arrays along ``frame``: all need one length."""
    unknown = store.unknown_along_frame()
    if unknown:
        raise StoreError(
            f"Cannot append to {store.path}: it holds {', '.join(unknown)} along frame, which twopass-store "
            "didn't make and can't make longer. Move them out of it first."
        )


def _require_same(store: Store, present: Plan, plan: IngestPlan) -> None:
    """Refuse what the store wasn't made with."""

    def refuse(reason: str, mend: str = "Ingest all files into a new store.") -> None:
        raise FingerprintMismatchError(f"Cannot append to {store.path}: {reason}. {mend}")

    asked = plan.journal.parameters
    found = [key for key in CHOICES if present.parameters.get(key) != asked.get(key)]
    if found:
        if present.parameters.get("select") != asked.get("select"):
            found = ["select", *(key for key in found if key != "topology")]
        pairs = [f"{key} is {present.parameters.get(key)}, asked for is {asked.get(key)}" for key in found]
        refuse(f"it was made with other parameters: {'; '.join(pairs)}", "Leave these options out.")
    kind = store.attrs("time")["time_source"]
    if kind != plan.time_source:
        reason = f"its times are of the kind {kind!r}, those of the files {plan.time_source!r}"
        refuse(reason, "Ingest them into a store of their own, or give times with `dt`.")
    names = {spec.name for spec, _ in plan.arrays}
    if "unitcell_lengths" in names and not store.has("unitcell_lengths"):
        refuse("it was made without unit cells, and these files have some")
    if ("run" in names) != store.has("run"):
        refuse("either all of its files are grouped into runs, or none")


def _longer(
    store: Store,
    plan: IngestPlan,
    present: _Present,
    sources: Sequence[Source],
    trajectories: Sequence[int],
) -> IngestPlan:
    """Return the plan for what is added, with the sizes and tables of all."""
    n_frames = present.n_frames + sum(len(source.kept) for source in sources)
    columns = _merged(present, sources, trajectories)
    runs = plan.runs if store.has("run") else {}
    if runs:
        labels = [str(label) for label in store.read("run_label")]
        if [str(label) for label in runs["run_label"]][: len(labels)] != labels[: len(runs["run_label"])]:
            raise ConfigError(
                f"Cannot append to {store.path}: its runs would be numbered otherwise. Name the files of new "
                "runs so that they come after the others."
            )
    lengths = {"frame": n_frames, "trajectory_file": len(columns["trajectory_path"])}
    lengths["simulation_run"] = len(next(iter(runs.values()), ()))
    arrays = tuple(
        (spec, (lengths[spec.dims[0]], *store.shape(spec.name)[1:]))
        for spec in INGESTED
        if spec.dims[0] in lengths and store.has(spec.name)
    )
    n_atoms = store.shape("position")[1]
    extra = store.unit_length("position") - position_chunk_frames(n_atoms) * plan.shard_chunks
    unit_bytes = plan.memory.unit_bytes + CHUNKS_IN_MEMORY * max(0, extra) * n_atoms * 12
    grown = sum(index < len(present.paths) for index in trajectories)
    return replace(
        plan,
        sources=tuple(sources),
        trajectories=tuple(trajectories),
        n_stored=present.n_frames,
        n_frames=n_frames,
        files=columns,
        runs=runs,
        arrays=arrays,
        memory=replace(plan.memory, unit_bytes=unit_bytes),
        messages=(
            *plan.messages,
            f"{n_frames - present.n_frames:,} frames are added to {present.n_frames:,}: of new files "
            f"{len(sources) - grown}, of files that have grown {grown}",
        ),
    )


def _merged(
    present: _Present, sources: Sequence[Source], trajectories: Sequence[int]
) -> dict[str, NDArray[Any]]:
    """Return the table of files with those that are new or have grown."""
    length = max(len(present.paths), *(index + 1 for index in trajectories))
    added = file_columns(sources)
    merged = {}
    for name, values in present.columns.items():
        column = np.empty(length, object if values.dtype.kind not in "iuf" else values.dtype)
        column[: len(values)] = values
        column[list(trajectories)] = added[name]
        merged[name] = column
    return merged


def _extended(store: Store, before: Plan, longer: IngestPlan, present: _Present) -> Plan:
    """Return the plan of the ingest with what is added."""
    described = list(before.parameters["trajectories"])
    described += [""] * (len(longer.files["trajectory_path"]) - len(described))
    reference = str(before.parameters["select"])
    for index, source in zip(longer.trajectories, longer.sources, strict=True):
        described[index] = describe_file(source, reference)
    parameters = {**before.parameters, "trajectories": described}
    for key in ("labels", "times", "runs"):
        if key in before.parameters:
            parameters[key] = longer.journal.parameters[key]
    # The same frames in the same order as those of an ingest of all files, unless a file has grown that isn't
    # the last.
    if any(index < len(present.paths) - 1 for index in longer.trajectories):
        order = f"from frame {present.n_frames}: files {list(longer.trajectories)}"
        parameters["appended"] = [*before.parameters.get("appended", []), order]
    infos = [source.info for source in longer.sources]
    files = [[info.path, info.n_frames, info.size_bytes, info.digest] for info in infos]
    append = {"n_frames": present.n_frames, "n_files": len(present.paths), "files": files}
    return replace(
        before,
        parameters=parameters,
        products=_products(store, before, longer),
        request={**before.request, "append": append},
    )


def _products(store: Store, before: Plan, longer: IngestPlan) -> tuple[Product, ...]:
    """Return the arrays of the store with the chunks that they have now."""
    found = {product.path: product for product in before.products}
    found |= {spec.name: Store.product("", spec, shape) for spec, shape in longer.arrays}
    found["position"] = Product("position", n_chunks(longer.n_frames, store.unit_length("position")))
    return tuple(found[product.path] for product in before.products)
