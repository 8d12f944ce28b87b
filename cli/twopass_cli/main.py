"""The application: each command parses, makes one library call and prints.

Heavy imports stand inside the commands, so that help answers at once.
"""

import signal
from pathlib import Path
from typing import Annotated

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Ctrl-C in these imports, before a command stands guard, ends the process without a traceback of them.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import typer

from .assign import assign
from .cluster import cluster
from .compare import compare
from .cuts import recut, scan
from .export import export
from .ingest import ingest
from .options import BreakLock, Debug, Quiet, Restart, StoreArgument
from .relocate import relocate
from .repair import repair
from .summary import summary
from .verify import verify

__all__ = ["app"]

app = typer.Typer(
    name="twopass",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Two-pass clustering of molecular dynamics trajectories that do not fit in memory.",
    epilog="Try it: twopass ingest demo.zarr example:alanine-dipeptide.xtc "
    "--top example:alanine-dipeptide.pdb",
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        from .guard import guarded

        with guarded(debug=False):
            typer.echo(f"twopass {version('twopass-store')}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def run(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="What to do.")],
    store: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Where, instead of the config's.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Change one key of the config; repeatable."),
    ] = None,
    restart: Restart = False,
    break_lock: BreakLock = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Ingest, cluster and assign as a config says, going on wherever an earlier run was stopped."""
    from .guard import guarded

    with guarded(debug=debug):
        from twopass_store.config import load_config
        from twopass_store.pipeline import run_pipeline

        from .console import make_progress
        from .summary_tables import print_summary

        settings = load_config(config, overrides=set_ or [])
        if store is not None:
            settings = settings.model_copy(update={"store": str(store)})
        result = run_pipeline(
            settings, restart=restart, break_lock=break_lock, progress=make_progress(quiet=quiet)
        )
        print_summary(result.summary)
        typer.echo(f"\nMedoids, one model a cluster in order of rank: {result.medoids}")
        if result.was_complete:
            typer.echo("All was done already; nothing was changed.")


def status(
    store: StoreArgument,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")] = False,
    debug: Debug = False,
) -> None:
    """Show what is in a store, how far each stage is, and what to run next."""
    from .guard import guarded

    with guarded(debug=debug):
        from twopass_store.report import store_status

        from .tables import print_status, status_json

        found = store_status(store)
        if json:
            typer.echo(status_json(found))
        else:
            print_status(found)


for _command, _example in (
    (run, "twopass run configs/demo.toml --set cluster.n_clusters=5"),
    (ingest, 'twopass ingest run.zarr "md*.xtc" --top system.pdb --select protein'),
    (cluster, "twopass cluster run.zarr --linkage average --cutoff 2A"),
    (scan, "twopass scan run.zarr --n-clusters 2:30 --linkage average --linkage ward"),
    (recut, "twopass recut run.zarr --as fine --n-clusters 20"),
    (assign, "twopass assign run.zarr --noise-cutoff 1.5A --workers 4"),
    (status, "twopass status run.zarr --json | jq .stages"),
    (summary, "twopass summary run.zarr --by blocks:5"),
    (compare, "twopass compare run.zarr --with cnumvtime.dat"),
    (export, "twopass export run.zarr coordinates --to C1.xtc --cluster C1 --top-to C1.pdb"),
    (verify, "twopass verify run.zarr --json | jq .damage"),
    (repair, "twopass repair run.zarr --dry-run"),
    (relocate, "twopass relocate run.zarr /scratch/md /archive/md --dry-run"),
):
    app.command(epilog=f"Example: {_example}")(_command)
