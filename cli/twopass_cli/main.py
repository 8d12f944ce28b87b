"""The application: help, version and the list of commands.

A command is built when it is called, and imports the library when it runs, so that help answers at once.
"""

import signal
from typing import Annotated, Any

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Ctrl-C in these imports, before a command stands guard, ends the process without a traceback of them.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import typer
from typer.core import TyperGroup

from . import arrays, stages, stores  # noqa: F401 (their commands come in this order)
from .command import COMMANDS

__all__ = ["COMMANDS", "app"]


class _Commands(TyperGroup):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands: Any = COMMANDS

    def list_commands(self, _context: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _context: Any, name: str) -> Any:
        return COMMANDS[name].built() if name in COMMANDS else None

    def format_commands(self, _context: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, each.summary) for name, each in COMMANDS.items()])


app = typer.Typer(
    name="twopass",
    cls=_Commands,
    no_args_is_help=True,
    rich_markup_mode=None,
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
            print(f"twopass {version('twopass-store')}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass
