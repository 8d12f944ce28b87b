"""The commands that look at a store, mend it or take something out."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from .command import BREAK_LOCK, NOTHING_NEW, OVERWRITE, QUIET, Format, Json, OnlyName, StorePath, command
from .plain import say

__all__ = [
    "compare",
    "export",
    "publish",
    "relocate",
    "remove",
    "rename",
    "repair",
    "report",
    "status",
    "summary",
    "verify",
]

DryRun = Annotated[bool, typer.Option("--dry-run", help="Change nothing; show what would be done.")]


@command("twopass status run.zarr --json | jq .stages")
def status(store: StorePath, as_json: Json = False) -> None:
    """Show what is in a store, how far each stage is, and what to run next."""
    from twopass_store.jobs import list_jobs
    from twopass_store.report import store_status

    from .results import print_status
    from .tables import print_json

    found, jobs = store_status(store), list_jobs(store)
    if as_json:
        numbers = [{key: value for key, value in asdict(job).items() if key != "store"} for job in jobs]
        print_json({**asdict(found), "jobs": numbers})
        return
    print_status(found, jobs)


@command("twopass summary run.zarr --by blocks:5", model="SummaryConfig")
def summary(store: StorePath, form: Format = "text", **options: Any) -> None:
    """Show each cluster of a finished assign: population, spread, visits, and how far to trust them.

    The ± of a population is its standard error by bootstrap over runs. A visit is a stretch of frames in one
    run without a gap in time; the mean residence is the time in all visits divided by the departures seen, so
    that visits cut off by the beginning or the end of a run count too.
    """
    from twopass_store.report import read_summary, summarize

    from .summary_tables import csv_table, print_clusters
    from .tables import print_csv, print_dataset

    if form == "text":
        print_clusters(read_summary(store, **options))
    elif form == "json":
        print_dataset(summarize(store, **options))
    else:
        print_csv(csv_table(summarize(store, **options)))


@command("twopass report run.zarr --to report.html", flags=(OVERWRITE,))
def report(
    store: StorePath,
    to: Annotated[Path | None, typer.Option(metavar="FILE", help="The page, one file of HTML.")] = None,
    static: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the pictures as PNG and SVG into this folder.")
    ] = None,
    lag: Annotated[int, typer.Option(min=1, metavar="N", help="Lag of the transitions, in frames.")] = 1,
    name: OnlyName = None,
    **options: Any,
) -> None:
    """Show a finished clustering on one page that opens offline: structures, table and plots.

    The page needs plotly and ipymolstar, the pictures alone matplotlib.
    """
    from twopass_store.errors import ConfigError
    from twopass_store.page import write_pictures, write_report

    if to is None and static is None:
        raise ConfigError("Say where to: `to` report.html, or `static` for a folder of pictures.")
    if to is not None:
        found = write_report(store, to, name=name, lag=lag, **options)
        say(f"{found.paths[0]}: {found.size_bytes / 1e6:.1f} MB, opens in any browser")
    if static is not None:
        found = write_pictures(store, static, name=name, lag=lag)
        say(f"{static}: {len(found.paths)} pictures")


@command("twopass compare run.zarr --with cnumvtime.dat", model="CompareConfig")
def compare(
    store: StorePath,
    other: Annotated[
        Path,
        typer.Option(
            "--with",
            metavar="FILE",
            help="One label for each frame of the store, in its order: cpptraj's cluster number against time "
            "(cluster ... out cnumvtime.dat), gmx cluster's clid.xvg or log, or a column of integers. "
            "Negative means none.",
        ),
    ],
    form: Format = "text",
    **options: Any,
) -> None:
    """Compare labels with those of another program: confusion table and adjusted Rand index."""
    from twopass_store.report import compare_labels

    from .results import print_comparison
    from .tables import print_csv, print_dataset

    found = compare_labels(store, other, **options)
    if form == "text":
        print_comparison(found)
    elif form == "json":
        print_dataset(found)
    else:
        pairs = found.n_frames.to_dataframe().reset_index()
        print_csv(pairs[pairs.n_frames > 0])


@command(
    "twopass export run.zarr coordinates --to one.xtc --cluster 1 --top-to one.pdb",
    model="ExportConfig StructuresConfig",
    flags=(OVERWRITE, QUIET),
)
def export(
    store: StorePath,
    what: Annotated[
        Literal["coordinates", "structures", "medoids", "leaders", "dtrajs"],
        typer.Argument(
            help="What to write; medoids and leaders are structures --of these.", show_default=False
        ),
    ],
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where to. The extension says the format: xtc, trr, dcd, h5, nc, mdcrd, xyz, lammpstrj, "
            "gro, pdb, cif.",
        ),
    ] = None,
    each_cluster: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Instead of --to: write the coordinates of each cluster to a file of its own in this "
            "folder, cluster_1.xtc and so on.",
        ),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help="What to write, if not what the extension of --to says. structures: pdb; or pml, vmd or cxc "
            "for a script, too, with which PyMOL, VMD or ChimeraX loads and colours them. dtrajs: npy, npz, "
            "csv or xvg. With --each-cluster, the extension of its files.",
        ),
    ] = None,
    **options: Any,
) -> None:
    """Write frames as a trajectory; structures of the clusters, superposed; or the labels of all frames.

    Positions that came from XTC go back to XTC bit by bit; what a format has no room for is noted. Remarks
    in a PDB file of structures say which cluster each model is, and the file, frame and time it comes from.
    dtrajs are discrete trajectories for Markov models, states from 0: an npz file, or a folder of npy files;
    or time, run, frame, label and RMSD as a csv or xvg file.
    """
    from twopass_store.config import ExportConfig, StructuresConfig, count
    from twopass_store.errors import ConfigError
    from twopass_store.export import export_clusters, export_coordinates, export_dtrajs, export_structures

    if what in ("medoids", "leaders"):
        options["of"], what = what, "structures"
    models: dict[str, type[Any]] = {"coordinates": ExportConfig, "structures": StructuresConfig}
    known = models[what].model_fields if what in models else ("name",)
    wrong = [
        name
        for model in models.values()
        for name, field in model.model_fields.items()
        if name not in known and str(options.pop(name, field.default)) != str(field.default)
    ]
    wrong += ["format"] if form and what == "coordinates" and each_cluster is None else []
    wrong += ["each_cluster"] if each_cluster and what != "coordinates" else []
    if wrong:
        names = " and ".join(f"`{name}`" for name in wrong)
        raise ConfigError(
            f"{names} can't be given for {what}: `twopass export --help` says what they go with."
        )
    if each_cluster is not None and to is None:
        results = export_clusters(store, each_cluster, format=form or "xtc", **options)
        n_frames = count(sum(result.n_frames for result in results), "frame")
        sizes = f"{count(len(results), 'file')} of {n_frames}, {results[0].format}"
        print(f"{each_cluster}: {sizes}, from clustering {results[0].clustering}")
        return
    if to is None or each_cluster is not None:
        raise ConfigError("Say where to: `to` a file, or `each_cluster` for a folder, not both.")
    if what == "dtrajs":
        paths = export_dtrajs(
            store, to, name=options.get("name"), format=form, overwrite=options["overwrite"]
        )
        say(f"{to}: {count(len(paths), 'file')}")
        return
    if what == "coordinates":
        result = export_coordinates(store, to, **options)
        beside = "" if result.top_path is None else f", their topology in {result.top_path}"
        sizes = f"{count(result.n_frames, 'frame')} of {count(result.n_atoms, 'atom')}"
    else:
        result = export_structures(store, to, format=form, **options)
        beside = "" if result.script_path is None else f", loaded by {result.script_path}"
        noun = "representative" if "representatives" in options else options["of"][:-1]
        sizes = count(result.n_frames, noun)
    origin = "" if result.clustering is None else f", from clustering {result.clustering}"
    say(f"{result.path}: {sizes}, {result.format}{origin}{beside}")


@command("twopass verify run.zarr --json | jq .damage", flags=(QUIET,))
def verify(
    store: StorePath,
    as_json: Json = False,
    workers: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Threads; by default as many as there are processors."),
    ] = None,
    **options: Any,
) -> None:
    """Compare every file of a store with the digest that was recorded when it was written.

    Reads all of it once and changes nothing; also while a command writes to the store. The exit code is 0
    if it is whole, 9 if there is damage.
    """
    from twopass_store.config import count
    from twopass_store.errors import CorruptChunkError
    from twopass_store.integrity import verify_store

    from .results import print_verification
    from .tables import print_json

    found = verify_store(store, workers=workers, **options)
    if as_json:
        print_json({**asdict(found), "is_whole": found.is_whole})
    else:
        print_verification(found)
    if not found.is_whole:
        raise CorruptChunkError(f"{found.path}: {count(len(found.damage), 'file')} damaged or missing.")


@command("twopass publish run.zarr s3://bucket/run.zarr", flags=(QUIET,))
def publish(
    store: StorePath,
    url: Annotated[
        str, typer.Argument(metavar="URL", help="Such as s3://bucket/run.zarr, gs://… or az://….")
    ],
    **options: Any,
) -> None:
    """Copy the finished stages to an object store, where the commands that only read can use them.

    Credentials and endpoint come from the environment, such as AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
    AWS_REGION and AWS_ENDPOINT_URL. A killed one goes on; again, it copies what is missing or differs.
    """
    from twopass_store.config import count, format_bytes
    from twopass_store.publish import publish_store

    found = publish_store(store, url, **options)
    if found.unfinished:
        say(f"Not finished, and left out: {', '.join(found.unfinished)}.")
    removed = f", {found.n_removed} removed" if found.n_removed else ""
    size = f"{count(found.n_files, 'file')}, {format_bytes(found.n_bytes)}"
    say(f"{found.url}: {size}; {found.n_copied} copied{removed}")
    if not found.n_copied:
        say(NOTHING_NEW)


@command("twopass repair run.zarr --dry-run", flags=(BREAK_LOCK, QUIET))
def repair(store: StorePath, dry_run: DryRun = False, **options: Any) -> None:
    """Mend what `twopass verify` finds, so that the next run makes exactly that anew.

    Metadata are written anew from the plans in the journal. Damaged chunks are discarded, and computed
    again, or read again from the source files if these are unchanged, by the commands that are printed. What
    was made from them stays: they come back with the same bytes.
    """
    from twopass_store.config import count
    from twopass_store.errors import CorruptChunkError
    from twopass_store.integrity import repair_store

    from .results import print_damage

    result = repair_store(store, dry_run=dry_run, **options)
    if result.was_whole:
        say(f"{store}: all as recorded; nothing to repair.")
    else:
        print_damage(result.damage)
    for source in result.sources:
        is_there = "" if Path(source).is_file() else ", WHICH IS NOT THERE: see twopass relocate"
        say(f"Read again from {source}{is_there}")
    for number, line in enumerate(result.commands):
        print(f"{'Then' if number else 'Next'}: {line}")
    if dry_run and result.damage:
        say("Nothing was changed.")
    if result.left:
        raise CorruptChunkError(f"{store}: {count(len(result.left), 'file')} can't be mended, see above.")


@command("twopass relocate run.zarr /scratch/md /archive/md --dry-run", flags=(BREAK_LOCK,))
def relocate(
    store: StorePath,
    old: Annotated[Path, typer.Argument(metavar="OLD", help="A folder or a file, as recorded.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="Where it is now.")],
    dry_run: DryRun = False,
    **options: Any,
) -> None:
    """Record that trajectory files have moved.

    Each must have the content at its new place that it was ingested with; all are recorded or none. The same
    ingest or run with the new paths then finds all done, or goes on.
    """
    from twopass_store.config import count
    from twopass_store.errors import TrajectoryError
    from twopass_store.ingest import relocate_trajectories

    from .plain import plain

    result = relocate_trajectories(store, old, new, dry_run=dry_run, **options)
    moves = [*result.trajectories, *result.topologies]
    if dry_run:
        for move in moves:
            say(plain(f"{move.old} -> {move.new}" + (f": {move.problem}" if move.problem else "")))
        bad = sum(bool(move.problem) for move in moves)
        if bad:
            raise TrajectoryError(
                f"{bad} of {count(len(moves), 'file')} can't be relocated. Mend these first"
            )
    if result.was_done:
        say(NOTHING_NEW)
        return
    tops = f" and {count(len(result.topologies), 'other file')}" if result.topologies else ""
    would = "would be recorded" if dry_run else "recorded"
    files = count(len(result.trajectories), "trajectory file")
    say(f"{store}: {files}{tops} {would} at the new place")


@command("twopass remove run.zarr --name coarse", flags=(BREAK_LOCK,))
def remove(
    store: StorePath,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Clustering to remove, with its labels.")
    ] = None,
    unused: Annotated[
        bool, typer.Option("--unused", help="Remove distances that no clustering uses, with their scans.")
    ] = False,
    **options: Any,
) -> None:
    """Remove a clustering with its labels, or the distances that no clustering uses.

    Frames and other clusterings stay. Distances stay with a clustering's removal, so that another cut of them
    takes seconds; `twopass status` lists those that none uses.
    """
    from twopass_store.store import remove_clustering

    result = remove_clustering(store, name, unused=unused, **options)
    say(f"{store}: removed {', '.join(result.stages) or 'nothing'}")


@command("twopass rename run.zarr --name default --to folded", flags=(BREAK_LOCK,))
def rename(
    store: StorePath,
    name: Annotated[str, typer.Option(metavar="NAME", help="Clustering to rename.")],
    to: Annotated[str, typer.Option(metavar="NAME", help="Its new name.")],
    **options: Any,
) -> None:
    """Give a clustering another name, as if it had been made under that one.

    Its labels go with it, and its medoids beside the store. If it is killed, run it again.
    """
    from twopass_store.store import rename_clustering

    is_new = rename_clustering(store, name, to, **options)
    say(f"{store}: clustering {name} is now {to}" if is_new else NOTHING_NEW)
