"""``twopass export``: back to the files that other programs read."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

from .options import Debug, Quiet, StoreArgument

__all__ = ["export"]


class What(StrEnum):
    """What is exported."""

    COORDINATES = "coordinates"
    MEDOIDS = "medoids"
    LEADERS = "leaders"


def export(
    store: StoreArgument,
    what: Annotated[What, typer.Argument(help="What to write.", show_default=False)],
    to: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="Where to. The extension says the format: xtc, trr, dcd, h5, nc, mdcrd, xyz, lammpstrj, "
            "gro, pdb, cif.",
        ),
    ],
    frames: Annotated[
        str | None,
        typer.Option(
            metavar="START:STOP:STEP",
            help="Frames of the store, counted from 0, STOP left out: 0:1000:10, 5000:, ::2, -100: (the last "
            "hundred) or 7.",
        ),
    ] = None,
    label: Annotated[
        list[int] | None,
        typer.Option(help="Frames with this label; repeatable."),
    ] = None,
    cluster: Annotated[
        list[str] | None,
        typer.Option(metavar="RANK", help="Frames of this cluster, such as C1, the largest; repeatable."),
    ] = None,
    stride: Annotated[int, typer.Option(min=1, help="Every N-th of the frames so chosen.")] = 1,
    name: Annotated[
        str | None,
        typer.Option(help="Name of the clustering; may be left out where there is only one."),
    ] = None,
    top_to: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the first of these frames there, as a topology: pdb, gro, h5 or cif."
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")] = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write frames as a trajectory, with times and unit cells; or the medoids or leaders, superposed.

    Positions that came from XTC go back to XTC bit by bit; what a format has no room for is noted.
    """
    from .guard import guarded

    with guarded(debug=debug):
        from twopass_store.errors import ConfigError
        from twopass_store.export import export_coordinates, export_representatives

        from .console import make_progress
        from .tables import count

        if what is not What.COORDINATES:
            if frames or label or cluster or top_to or stride != 1:
                raise ConfigError(
                    f"--frames, --label, --cluster, --stride and --top-to are for coordinates; of {what} "
                    "all are written. Leave them out."
                )
            kind: Literal["medoids", "leaders"] = "medoids" if what is What.MEDOIDS else "leaders"
            result = export_representatives(
                store, to, kind=kind, name=name, overwrite=overwrite, progress=make_progress(quiet=quiet)
            )
            typer.echo(f"{result.path}: {count(result.n_frames, what.value[:-1])}, {result.format}")
            return
        result = export_coordinates(
            store,
            to,
            frames=frames,
            label=label,
            cluster=cluster,
            stride=stride,
            name=name,
            top_to=top_to,
            overwrite=overwrite,
            progress=make_progress(quiet=quiet),
        )
        sizes = f"{count(result.n_frames, 'frame')} of {count(result.n_atoms, 'atom')}"
        beside = "" if result.top_path is None else f", their topology in {result.top_path}"
        typer.echo(f"{result.path}: {sizes}, {result.format}{beside}")
