"""From a function and a model of the library to a command with all of the model's options."""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from .plain import encodable

if TYPE_CHECKING:
    from twopass_store.config import Option

__all__ = [
    "BREAK_LOCK",
    "COMMANDS",
    "NOTHING_NEW",
    "OVERWRITE",
    "QUIET",
    "RESTART",
    "Command",
    "Format",
    "Json",
    "OnlyName",
    "StorePath",
    "command",
]

StorePath = Annotated[
    Path,
    typer.Argument(
        metavar="STORE", help="Path of the store, a folder; to read one that was published, its address."
    ),
]
Format = Annotated[
    Literal["text", "csv", "json"],
    typer.Option("--format", help="How results are printed; text has the main figures only."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")]
OnlyName = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Name of the clustering, if not default or the only one."),
]

NOTHING_NEW = "All was done already; nothing was changed."

USAGE_ERROR: Any = typer.BadParameter.__base__
"""click's, of which typer brings a copy or not."""


def _flag(name: str, *names: str, help: str) -> inspect.Parameter:
    described = Annotated[bool, typer.Option(name, *names, help=help)]
    return _parameter(name.removeprefix("--").replace("-", "_"), described, False)


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


DEBUG = _flag("--debug", help="Show a traceback with an error.")
QUIET = _flag("--quiet", "-q", help="No progress, no notes.")
OVERWRITE = _flag("--overwrite", help="Replace files that exist.")
RESTART = _flag(
    "--restart",
    help="Discard what this command made before, with everything made from that, and do it again; a killed "
    "one that is run again begins anew. Distances and trees stay where they fit, since other clusterings may "
    "use them; ingest and run make the whole store anew.",
)
BREAK_LOCK = _flag(
    "--break-lock",
    help="Take the store's lock from a process that may still be running, such as one on a node that has "
    "crashed. Only if you are sure that it isn't; if it is, its next write stops it.",
)
COMMANDS: dict[str, "Command"] = {}
"""The commands by name, in the order of the help."""


class _Helped(TyperCommand):
    def get_help(self, context: Any) -> str:
        # Printed as UTF-8 where the terminal's encoding is ASCII, and an error where it lacks a character.
        return encodable(super().get_help(context))


@dataclass(frozen=True, eq=False)
class Command:
    """A function that parses, makes one call of the library and prints.

    It takes the arguments that it names, and all other options as keywords for the library: the fields of the
    models, whose names in `twopass_store.config` are given, and flags. ``--quiet`` becomes ``progress``, the
    progress reporter.
    """

    function: Callable[..., None]
    example: str
    model: str
    flags: tuple[inspect.Parameter, ...]
    passes_on: bool

    @property
    def name(self) -> str:
        """The name of the function."""
        return self.function.__name__

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        return (self.function.__doc__ or "").partition("\n")[0]

    @cache  # noqa: B019 (commands live as long as the process)
    def built(self) -> Any:
        """Return typer's command; this imports the models, which help for all commands doesn't wait for."""
        own = inspect.signature(self.function).parameters
        parameters = [each for each in own.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
        parameters += [each for each in self._options() if each.name not in own]
        names = {each.name: _as_flag(each.name) for each in parameters}

        def run(**values: Any) -> None:
            from .guard import guarded

            with guarded(debug=values.pop("debug"), flags=names):
                self.function(**_given(values, names))

        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        settings: dict[str, Any] = {"help_option_names": ["-h", "--help"]}
        if self.passes_on:
            settings["ignore_unknown_options"] = True
        app.command(
            self.name,
            cls=_Helped,
            help=inspect.cleandoc(self.function.__doc__ or ""),
            epilog=f"Example: {self.example}",
            context_settings=settings,
        )(run)
        return typer.main.get_command(app)

    def parsed(self, arguments: list[str]) -> dict[str, Any]:
        """Return what the command would be called with; raises a `ConfigError` if it doesn't take that."""
        from twopass_store.errors import ConfigError

        try:
            values = self.built().make_context(f"twopass {self.name}", arguments).params
        except USAGE_ERROR as error:
            raise ConfigError(f"twopass {self.name}: {error.format_message()}") from None
        values.pop("debug")
        return _given(values, {each.name: each.opts[0] for each in self.built().params})

    def _options(self) -> list[inspect.Parameter]:
        found: dict[str, inspect.Parameter] = {}
        if self.model:
            from twopass_store import config

            models = (getattr(config, name) for name in self.model.split())
            for option in (each for model in models for each in config.options_of(model)):
                found.setdefault(option.name, _of_model(option))
        return [*found.values(), *self.flags, DEBUG]


def _given(values: dict[str, Any], flags: Mapping[str, str]) -> dict[str, Any]:
    """Return keywords for the library: only what was given, and the progress reporter for ``quiet``."""
    if "quiet" in values:
        from .console import make_progress

        values["progress"] = make_progress(quiet=values.pop("quiet"), flags=flags)
    return {key: value for key, value in values.items() if value not in (None, [])}


def command(
    example: str, *, model: str = "", flags: tuple[inspect.Parameter, ...] = (), passes_on: bool = False
) -> Callable[[Callable[..., None]], Command]:
    """Make a command of a function; with `passes_on` its arguments may be options of another."""

    def made(function: Callable[..., None]) -> Command:
        return COMMANDS.setdefault(function.__name__, Command(function, example, model, flags, passes_on))

    return made


def _of_model(option: "Option") -> inspect.Parameter:
    kind: Any = str
    default = option.default
    if option.is_flag:
        kind = bool
    elif option.is_repeatable:
        kind, default = list[str], list(default) or None
    elif default is not None:
        default = str(default)
    written = f"[{option.written}]" if option.choices else option.written

    def complete(incomplete: str) -> list[str]:
        return [each for each in option.choices if each.startswith(incomplete)]

    described = typer.Option(
        _as_flag(option.name),
        metavar=None if option.is_flag else written,
        autocompletion=complete if option.choices else None,
        help=re.sub("`([a-z_]+)`", lambda found: _as_flag(found[1]), option.help),
    )
    return _parameter(option.name, Annotated[kind | None, described], default)


def _as_flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
