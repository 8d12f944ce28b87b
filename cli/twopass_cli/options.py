"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["BreakLock", "Debug", "Memory", "Name", "Quiet", "Restart", "StoreArgument", "Workers"]

StoreArgument = Annotated[Path, typer.Argument(metavar="STORE", help="Path of the store, a folder.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no notes.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show a traceback with an error.")]
Memory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="Memory that the command may use, such as 4GiB; by default half of what is available.",
    ),
]
Workers = Annotated[int | None, typer.Option(min=1, help="Threads; by default all processors.")]
Restart = Annotated[
    bool, typer.Option("--restart", help="Discard what exists with other parameters, and what hangs on it.")
]
BreakLock = Annotated[
    bool,
    typer.Option(
        "--break-lock",
        help="Take the store's lock from a process of another host or container, of which it can't be told "
        "from here whether it lives: for when its node has crashed and you are sure that it doesn't. If it "
        "does, its next write stops it. Locks of dead processes of this host are taken over without it, "
        "those of living ones never.",
    ),
]
Name = Annotated[str, typer.Option(help="Name of the clustering.")]
