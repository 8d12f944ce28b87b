"""What an append will do: frames of new files, and those by which files have grown."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..config import IngestConfig, InputFile, expand_paths
from ..errors import ConfigError, FingerprintMismatchError, StageIncompleteError, StoreError
from ..journal import Plan
from ..partition import FRAME_CHUNK, chunk_range, n_chunks
from ..schema import INGESTED
from ..store import Store
from ..trajectory import check_unchanged
from .origins import Origins, file_columns, recorded_origins
from .plan import IngestPlan, describe_file, origin_of, plan_ingest
from .request import JUMPS, as_before
from .runs import Source

__all__ = ["plan_append"]

# Parameters of an ingest that hold for all of its files.
CHOICES = ("topology", "stride", "discard_first", "precision", "image", "reader")


def plan_append(store: Store, config: IngestConfig, files: Sequence[InputFile]) -> IngestPlan | None:
    """Plan to add what the files have and the store hasn't; None if there is nothing new.

    Options that aren't given are as they were when the store was made.
    """
    journal, origins = store.journal("ingest"), recorded_origins(store)
    if journal is None or origins is None or not journal.complete:
        raise StageIncompleteError(
            f"{store.path}: ingest has not finished, so what can be added isn't known yet. Run "
            f"`twopass ingest --append {store.path}`; it goes on where it was stopped."
        )
    if unknown := store.unknown_along_frame():
        raise StoreError(
            f"Cannot append to {store.path}: it holds {', '.join(unknown)} along frame, which twopass-store "
            "didn't make and can't make longer. Move them out of it first."
        )
    n_before, n_files = store.shape("position")[0], len(origins.files)
    index_of = {str(file.info["path"]): index for index, file in enumerate(origins.files)}

    asked = as_before(config, journal.plan.request)
    given = {str(file.path): file for file in files}
    has_runs, is_listed = store.has("run"), asked.from_list is not None
    if has_runs and asked.run_pattern is None:
        asked = asked.model_copy(update={"trajectories": (), "from_list": asked.from_list or store.path})
    elif is_listed and not any(file.run or file.replica or file.temperature for file in files):
        asked = asked.model_copy(update={"trajectories": tuple(given), "from_list": None})
    if asked.top is None:
        asked = asked.model_copy(update={"top": origins.files[0].topology})
    # Where times or runs choose the frames, all files have a say.
    if {"runs", "times"} & journal.plan.parameters.keys():
        before = _recorded(store, origins, is_listed=asked.from_list is not None)
        expand_paths([path for path in index_of if path not in given])
        files = [*(given.pop(str(file.path), file) for file in before), *given.values()]
    plan = plan_ingest(asked, files, to=store)
    _require_same(store, journal.plan, plan)
    for source in plan.sources:
        index = index_of.get(source.info.path)
        if index is not None:
            recorded = origins.files[index].info
            known = {key: recorded[key] for key in ("size_bytes", "modified_ns", "digest")}
            check_unchanged(replace(source.info, **known))
    counts = _count_stored(store, n_before, plan.sources, index_of)
    new = [source for source in plan.sources if source.info.path not in index_of and len(source.kept)]
    index_of |= {source.info.path: n_files + place for place, source in enumerate(new)}
    longer_files, added = {}, {}
    for source in plan.sources:
        n_there, n_kept = counts.get(source.info.path, 0), len(source.kept)
        if n_kept > n_there:
            index = index_of[source.info.path]
            longer_files[index] = origin_of(source)
            added[index] = replace(source, kept=source.kept.part(n_there, n_kept))
    if not added:
        return None

    n_added_of = {index: len(source.kept) for index, source in added.items()}
    origins = origins.followed_by(longer_files, n_added_of)
    if store.has("run"):
        _require_same_runs(store, plan)
    grown = [spec.name for spec in INGESTED if spec.dims[0] != "atom"]
    longer = replace(
        plan,
        sources=tuple(added.values()),
        trajectories=tuple(added),
        n_stored=n_before,
        tables={**plan.tables, **file_columns(origins.files)},
        names=frozenset(filter(store.has, grown)),
        messages=(
            *plan.messages,
            f"{sum(n_added_of.values()):,} frames are added to {n_before:,}: of new files {len(new)}, of "
            f"files that have grown {len(added) - len(new)}",
        ),
    )
    return replace(longer, journal=origins.put_into(_extended(store, journal.plan, longer, n_files)))


def _recorded(store: Store, origins: Origins, *, is_listed: bool) -> list[InputFile]:
    """Return the files of a store as inputs; those of a list with what it said of their runs."""
    n_files = Counter(file.run for file in origins.files)
    columns = {
        name: store.read(f"run_{name}")
        for name in ("label", "replica", "temperature")
        if is_listed and store.has(f"run_{name}")
    }
    found = []
    for file in origins.files:
        path = Path(str(file.info["path"]))
        known = {name: column[file.run] for name, column in columns.items()}
        run = known.pop("label", None)
        # What nothing grouped is called by its file's name, which others may have.
        if n_files[file.run] == 1 and run in (file.label, path.name):
            run = None
        if np.isnan(known.get("temperature", 0)):
            del known["temperature"]
        found.append(InputFile(path=path, topology=Path(file.topology), label=file.label, run=run, **known))
    return found


def _require_same(store: Store, present: Plan, plan: IngestPlan) -> None:
    """Refuse what the store wasn't made with."""
    mend = "Ingest all files into a new store."
    before, asked = present.parameters, plan.journal.parameters
    found = [key for key in CHOICES if before.get(key) != asked.get(key)]
    if before["select"] != asked["select"]:
        found = ["select", *(key for key in found if key != "topology")]
    kind = store.attrs("time")["time_source"]
    if found:
        pairs = [f"{key} (stored {before.get(key)}, requested {asked.get(key)})" for key in found]
        reason = f"it was made with other parameters: {'; '.join(pairs)}"
        mend = "Leave these options out."
    elif kind != plan.time_source:
        reason = f"its times are of the kind {kind!r}, those of the files {plan.time_source!r}"
        mend = "Ingest them into a store of their own, or give times with `dt`."
    elif "unitcell_lengths" in plan.names and not store.has("unitcell_lengths"):
        reason = "it was made without unit cells, and these files have some"
    elif ("run" in plan.names) != store.has("run"):
        reason = "either all of its files are grouped into runs, or none"
        mend = f"Leave out what names runs, or {mend[0].lower()}{mend[1:]}"
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


def _count_stored(
    store: Store, n_frames: int, files: Sequence[Source], index_of: Mapping[str, int]
) -> dict[str, int]:
    """Count the stored frames of each file, by its path, which must be the first of those kept now."""
    sources = {index_of[file.info.path]: file for file in files if file.info.path in index_of}
    counts = dict.fromkeys(sources, 0)
    for chunk in range(n_chunks(n_frames, FRAME_CHUNK)) if sources else ():
        frames = chunk_range(chunk, chunk=FRAME_CHUNK, length=n_frames)
        trajectory, source_frame = store.read("trajectory", frames), store.read("source_frame", frames)
        for index in sources.keys() & set(np.unique(trajectory).tolist()):
            source = sources[index]
            stored = source_frame[trajectory == index]
            start, counts[index] = counts[index], counts[index] + len(stored)
            kept = source.kept.part(start, min(counts[index], len(source.kept)))
            if not np.array_equal(source.info.in_file(kept).to_array(), stored):
                raise FingerprintMismatchError(
                    f"Of {source.info.path} as it is now, other frames would be kept than those in the "
                    "store, which are never touched. Ingest all files into a new store; or, if frames come "
                    "again at times that are in it, keep both with `overlap` keep."
                )
    return {sources[index].info.path: n for index, n in counts.items()}


def _extended(store: Store, before: Plan, longer: IngestPlan, n_files: int) -> Plan:
    """Return the plan of the ingest with what is added."""
    described = list(before.parameters["trajectories"])
    described += [""] * (max(longer.trajectories) + 1 - n_files)
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
    lengths = {product.path: product for product in longer.products}
    noted = {key: value for key, value in longer.journal.request.items() if key == JUMPS}
    noted |= {"append": {"n_frames": longer.n_stored, "n_files": n_files}}
    return replace(
        before,
        parameters=parameters,
        products=tuple(lengths.get(product.path, product) for product in before.products),
        request={**before.request, **noted},
    )
