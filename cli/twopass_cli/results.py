"""What the commands print of their results, but for the summary."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twopass_store.assign import Rule
from twopass_store.config import count, format_bytes
from twopass_store.schema import DEFAULT_METRIC

from .command import NOTHING_NEW
from .plain import plain, say
from .tables import formatted, print_csv, print_facts, print_json, print_table, records, stdout_console

if TYPE_CHECKING:
    import xarray as xr

    from twopass_store.cluster import ClusterResult
    from twopass_store.ingest import IngestEstimate
    from twopass_store.integrity import Damage, Verification
    from twopass_store.jobs import JobResult
    from twopass_store.report import StoreStatus

__all__ = [
    "print_clustering",
    "print_comparison",
    "print_damage",
    "print_estimate",
    "print_scan",
    "print_status",
    "print_verification",
]

N_MATCHES = 3
"""Labels listed for a cluster if the whole table of a comparison is too wide."""

N_FILES = 4
"""Names of files that are listed; of more, the last stands for the others."""

FIGURES = {
    "n_clusters": ("clusters", "d"),
    "silhouette": ("silhouette", ".3f"),
    "davies_bouldin": ("Davies-\nBouldin", ".3f"),
    "pseudo_f": ("pseudo-F", ",.0f"),
    "ssr_sst": ("SSR/SST", ".3f"),
    "stability": ("stability", ".3f"),
    "smallest_cluster": ("smallest", ",d"),
    "largest_cluster": ("largest", ",d"),
}
"""Heading and format of the figures of a cut."""


def print_estimate(estimate: "IngestEstimate") -> None:
    """Print what an ingest would take."""
    runs = f" in {count(estimate.n_runs, 'run')}" if estimate.n_runs else ""
    workers = count(estimate.workers, "worker")
    memory = f"at most {format_bytes(estimate.memory_bytes)} with {workers}"
    if estimate.memory_bytes > estimate.budget_bytes:
        memory += f", MORE than the {format_bytes(estimate.budget_bytes)} that it may use (--memory)"
    else:
        memory += f", and may use {format_bytes(estimate.budget_bytes)}"
    files = format_bytes(estimate.source_bytes)
    rows = [
        ("Files", f"{count(estimate.n_trajectories, 'file')}{runs}, {files}"),
        ("Frames", f"{estimate.n_frames:,} of {estimate.n_source_frames:,}"),
        ("Atoms", f"{estimate.n_atoms:,}"),
        ("Storage", estimate.packing.removeprefix("positions: ")),
        ("Memory", memory),
        ("Disk", f"about {format_bytes(estimate.disk_bytes)}"),
        ("Time", f"about {_wall_time(estimate.seconds)} with {workers}"),
    ]
    print_facts(rows)
    say("\nNothing was written.")


def _wall_time(seconds: float) -> str:
    if seconds < 100:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def print_clustering(store: Path, result: "ClusterResult", n_asked: str | None) -> None:
    """Print what a first pass found, and how faithful its leaders are."""
    asked = f" ({n_asked} asked for)" if n_asked and not result.n_clusters_reason else ""
    n_clustered = result.n_subset_frames - result.n_subset_noise
    noise = f", {count(result.n_subset_noise, 'frame')} of noise" if result.n_subset_noise else ""
    say(
        f"{store}: clustering {result.name} has {count(result.n_clusters, 'cluster')}{asked} of "
        f"{count(n_clustered, 'subset frame')}{noise} and {count(result.n_leaders, 'leader')}"
    )
    if result.n_clusters_reason:
        say(f"So many since they have the {plain(result.n_clusters_reason)}.")
    if math.isnan(result.faithfulness):
        say("Each of these frames was compared with all others; no distances are stored.")
    else:
        say(_faithfulness(result))
    if result.was_complete:
        say(NOTHING_NEW)


def _faithfulness(result: "ClusterResult") -> str:
    these = "these" if result.n_subset_noise else "the"
    text = f"Faithfulness of the leaders: {result.faithfulness:.1%} of {these} subset frames get their label "
    text += "back"
    if not math.isnan(result.faithfulness_held_out):
        text += f", {result.faithfulness_held_out:.1%} with leaders chosen from the other half of the subset"
    if result.most_confused:
        pairs = (f"{a} with {b} ({count(frames, 'frame')})" for a, b, frames in result.most_confused)
        text += f"; most often confused: {', '.join(pairs)}"
    return f"{text}."


def print_scan(scan: "xr.Dataset", form: str) -> None:
    """Print the figures of a scan as ``text``, ``csv`` or ``json``."""
    names = ["n_clusters", "n_clusters_found", *list(FIGURES)[1:]]
    rows = scan[names].to_dataframe(dim_order=["linkage", "cut"]).reset_index()[["linkage", *names]]
    verdicts = scan[["cophenetic_correlation", "suggested_n_clusters", "suggestion_reason"]].to_dataframe()
    if form == "csv":
        print_csv(rows)
        return
    if form == "json":
        print_json({"cuts": records(rows), "linkages": records(verdicts.reset_index())})
        return
    for linkage, verdict in verdicts.iterrows():
        correlation = verdict.cophenetic_correlation
        shown = "undefined" if math.isnan(correlation) else f"{correlation:.3f}"
        cuts = rows[rows.linkage == linkage]
        cells = zip(*(formatted(cuts[name], form) for name, (_, form) in FIGURES.items()), strict=True)
        say(f"{linkage} linkage, cophenetic correlation {shown}")
        print_table([heading for heading, _ in FIGURES.values()], cells)
        say(f"Suggested: {verdict.suggested_n_clusters} clusters, {verdict.suggestion_reason}.\n")


def print_comparison(found: "xr.Dataset") -> None:
    """Print the confusion table, or each cluster's best matches if that is too wide."""
    attrs = found.attrs
    table = found.n_frames.to_pandas()
    compared, n_frames = int(table.iloc[:-1, :-1].to_numpy().sum()), int(table.to_numpy().sum())
    index = "–" if math.isnan(attrs["adjusted_rand"]) else f"{attrs['adjusted_rand']:.4f}"
    lines = [
        f"{attrs['store']}, clustering {attrs['clustering']}: {count(len(table) - 1, 'cluster')}",
        f"{attrs['other']}: {count(len(table.columns) - 1, 'cluster')}",
        f"Adjusted Rand index {index} over {count(compared, 'frame')} with a label on both sides",
    ]
    if compared < n_frames:
        lines.append(
            f"{attrs['adjusted_rand_all']:.4f} over all {count(n_frames, 'frame')}, those without a label "
            "taken as one more cluster"
        )
    say("\n".join([*lines, ""]))
    shown = table if compared < n_frames else table.iloc[:-1, :-1]
    if 16 + (2 + max(len(f"{n_frames:,}"), 4)) * len(table.columns) <= stdout_console().width:
        rows = [[_label(label), *(f"{one:,}" for one in counts)] for label, *counts in shown.itertuples()]
        print_table(["cluster", *map(_label, shown.columns)], rows)
        return
    rows = []
    for label, counts in table.iloc[:-1].iterrows():
        best = counts[counts > 0].sort_values(ascending=False, kind="stable")
        total = counts.sum()
        parts = [f"{_label(one)} ({frames / total:.1%})" for one, frames in best.iloc[:N_MATCHES].items()]
        parts += [f"{len(best) - N_MATCHES} more"] if len(best) > N_MATCHES else []
        rows.append([str(label), f"{total:,}", ", ".join(parts)])
    headings = ["cluster", "frames", "most of them have there"]
    print_table(headings, rows, text=headings[2:], note="The whole table: --format csv")


def _label(label: int) -> str:
    return "none" if label < 0 else str(label)


def print_status(status: "StoreStatus", jobs: "Sequence[JobResult]") -> None:
    """Print what is in a store."""
    header = f"{status.path}  (format {status.format_version}, {format_bytes(status.size_bytes)})"
    source = {"file": "times from the files", "user": "times as given", "index": "no times"}
    sizes = [count(status.n_trajectories, "file"), count(status.n_frames, "frame")]
    sizes += [count(status.n_atoms, "atom"), source.get(status.time_source, "nothing yet")]
    say(f"{header}\n{', '.join(sizes)}")
    names = [Path(file).name for file in status.files]
    more = f", … {names[-1]}" if len(names) > N_FILES else ""
    files = ", ".join(names if not more else names[: N_FILES - 1]) + more
    facts = [("Files", files), ("Selection", status.selection or "all atoms")]
    print_facts(facts if names else facts[1:])
    if status.clusterings:
        say("")
        rows = [_clustering(status, name) for name in status.clusterings]
        headings = ["clustering", "first pass", "cut", "clusters", "faithful", "held out", "labelled", "size"]
        print_table(headings, rows, text=headings[:3])
        for name, attrs in status.clusterings.items():
            if (rule := Rule.of(attrs)) != Rule():
                say(f"{name}: {rule.text}")
    say("")
    rows = []
    for stage in status.stages:
        done = "complete" if stage.complete else f"{stage.units_done} of {count(stage.units, 'unit')}"
        rows.append([stage.stage, done, format_bytes(stage.size_bytes), _parameters(stage.parameters)])
    # Parameters are too much for a narrow terminal.
    headings = ["stage", "progress", "size", "parameters"][: 4 if stdout_console().width >= 100 else 3]
    rows = [row[: len(headings)] for row in rows]
    print_table(headings, rows, text=["stage", "progress", "parameters"])
    for name, missing in status.n_frames_without_label.items():
        say(f"{name}: {missing:,} of {count(status.n_frames, 'frame')} have no label yet")
    for key, size in status.unused_subsets.items():
        say(f"No clustering uses subset {key} ({format_bytes(size)}): `twopass remove --unused` removes it")
    for job in jobs:
        done = f"{job.n_done} of {job.n_units} units are done"
        say(f"Job {job.stage}: {done}; go on with {job.next_commands[0]}")
    print(f"\nNext: {plain(status.next_command)}")  # on one line, to be copied


def _clustering(status: "StoreStatus", name: str) -> list[str]:
    """Return the row of a clustering."""
    attrs = status.clusterings[name]
    made = attrs["linkage_method"] or attrs["method"]
    made += " (rows)" if attrs["linkage_input"] == "rows" else ""
    asked = attrs["n_clusters_asked"]
    cut = "–" if asked is None else f"into {asked}"
    if attrs["cutoff_nm"] is not None:
        cut = f"at {attrs['cutoff_nm']:g} nm"
    if "min_cluster_size" in attrs:
        cut = f"≥ {attrs['min_cluster_size']} frames"
    shares = (attrs.get(f"faithfulness_{part}overall") for part in ("", "held_out_"))
    faithful = ["–" if share is None else f"{share:.1%}" for share in shares]
    labelled = "–"
    if any(stage.stage == f"assign-{name}" for stage in status.stages):
        labelled = f"{1 - status.n_frames_without_label.get(name, 0) / max(status.n_frames, 1):.1%}"
    found = f"{attrs['n_clusters_found'] + attrs.get('n_cover_clusters', 0):,}"
    size = format_bytes(status.clustering_bytes[name])
    return [name, made, cut, found, *faithful, labelled, size]


def _parameters(parameters: Mapping[str, Any]) -> str:
    # Digests tell runs apart, but nothing to a reader.
    hidden = "ingest", "clustering", "assign", "topology", "masses", "align_masses", "reference", "symmetry"
    shown = {key: value for key, value in parameters.items() if key not in hidden and value is not None}
    if shown.get("metric") == DEFAULT_METRIC:
        del shown["metric"]
    return ", ".join(f"{key} {_short(value)}" for key, value in shown.items())


def _short(value: object) -> str:
    if isinstance(value, list) and len(value) > 2:
        return f"{value[0]}, … ({len(value)})"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 90 else f"{text[:57]}…"


def print_verification(found: "Verification") -> None:
    """Print what a verification found."""
    if found.damage:
        print_damage(found.damage)
        say("")
    for stage in found.unfinished:
        say(f"{stage} has not finished; that is no damage")
    for note in found.notes:
        say(note)
    checked = f"{count(found.n_files, 'file')} of {found.path} checked, {format_bytes(found.n_bytes)}"
    say(f"{checked}: {'all as recorded' if found.is_whole else 'damaged'}")


def print_damage(damage: "tuple[Damage, ...]") -> None:
    """Print a table of what is damaged."""
    rows = []
    for each in damage:
        part = each.kind if each.chunk is None else f"{each.kind} {each.chunk}"
        rows.append([each.path or "the store", part, each.elements or "–", each.problem, each.mend])
    headings = ["damaged", "part", "elements", "problem", "repair"]
    print_table(headings, rows, text=headings)
