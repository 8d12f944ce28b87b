"""The commands of job arrays: plan a stage, work on parts of it on any node, commit it."""

from typing import Annotated, Any, Literal

import typer

from .command import NOTHING_NEW, QUIET, OnlyName, StorePath, command
from .plain import say
from .stages import adopt, assign, cluster, ingest

__all__ = ["commit", "plan", "work"]

STAGES = {"ingest": ingest, "cluster": cluster, "assign": assign}

StageName = Annotated[
    Literal["ingest", "cluster", "assign"],
    typer.Argument(metavar="STAGE", help="ingest, cluster (its distances) or assign."),
]


@command("twopass plan run.zarr assign --noise-cutoff 1.5A", passes_on=True)
def plan(
    store: StorePath,
    stage: StageName,
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="...", help="Arguments and options of that command.")
    ] = None,
) -> None:
    """Plan a stage as a job array, which `twopass work` does in parts and `twopass commit` ends.

    Arguments and options are those of the stage's own command. Until the job is committed
    nothing else may write what it writes; --break-lock drops it. Of cluster, the distances are done in parts;
    then `twopass cluster` with the same options goes on.
    """
    from twopass_store.config import count
    from twopass_store.errors import ConfigError
    from twopass_store.jobs import plan_job

    given = STAGES[stage].parsed([str(store), *(arguments or ())])
    store = given.pop("store")
    if given.pop("plan", False):
        raise ConfigError("--plan of `twopass ingest` only estimates: leave it out.")
    if stage == "assign":
        adopt(store, given.pop("leaders", ()), given)
    result = plan_job(store, stage, **given)
    if result.n_units > result.n_done:
        say(f"{count(result.n_units, 'unit')} to do with: {result.next_commands[0]} --part K/N")
    elif result.next_commands:
        say(f"All units are done. Complete it with: {result.next_commands[0]}")
    elif stage == "cluster":
        say(f"{store}: the distances are there; go on with `twopass cluster` and these options")
    else:
        say(NOTHING_NEW)


@command("twopass work run.zarr assign --part $SLURM_ARRAY_TASK_ID/100", model="WorkConfig", flags=(QUIET,))
def work(store: StorePath, stage: StageName, **options: Any) -> None:
    """Do a part of a planned job, on any machine that sees the store."""
    from twopass_store.jobs import work_job

    result = work_job(store, stage, **options)
    is_open = result.next_commands
    say(f"{result.n_done} of {result.n_units} units are done" if is_open else NOTHING_NEW)


@command("twopass commit run.zarr assign", flags=(QUIET,))
def commit(store: StorePath, stage: StageName, name: OnlyName = None, **options: Any) -> None:
    """Complete a stage whose job is done, or say what is missing."""
    from twopass_store.jobs import commit_job

    result = commit_job(store, stage, name=name, **options)
    if not result.n_units:
        say(NOTHING_NEW)
    elif stage == "cluster":
        say(f"{store}: the distances are complete; go on with `twopass cluster` and the options of the plan")
    else:
        say(f"{store}: {stage} is complete")
