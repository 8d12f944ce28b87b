"""Reading configs, with errors that name the key, what was found and what is allowed."""

import difflib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from ..errors import ConfigError
from .models import RunConfig
from .paths import EXAMPLE_PREFIX
from .texts import expanded, parse_toml, read_text, shown

__all__ = ["load_config", "validated"]

Model = TypeVar("Model", bound=BaseModel)

_ALTERNATIVES = (
    ("ingest", {"trajectories", "from_list"}),
    ("ingest", {"stride", "every"}),
    ("cluster", {"n_clusters", "cutoff"}),
    ("cluster", {"subset_frames", "stride"}),
)


def load_config(path: str | os.PathLike[str], *, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a run's config.

    Parameters
    ----------
    path
        A TOML file. Paths in it are relative to its folder.
    overrides
        Assignments such as ``cluster.n_clusters=5`` or ``store="other.zarr"``, which win over the file.
        Paths in them are relative to the current folder.

    Raises
    ------
    ConfigError
        If the file is missing or no TOML, or a key is unknown, missing, or its value not allowed.
    """
    path = Path(path)
    try:
        text = read_text(path)
    except FileNotFoundError as error:
        raise ConfigError(f"There is no config file at {path}.") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"Cannot read {path}: {error}.") from error
    try:
        table = parse_toml(text)
    except ValueError as error:
        raise ConfigError(f"{path} is no valid TOML: {error}.") from error
    try:
        return _resolved(path, table, overrides)
    except RecursionError:
        raise ConfigError(f"{path}: keys are nested too deeply. Write them as section.key.") from None


def _resolved(path: Path, table: dict[str, Any], overrides: Sequence[str]) -> RunConfig:
    _anchor(table, path.absolute().parent)
    given: dict[str, Any] = {}
    for override in overrides:
        _assign(given, override)
    _anchor(given, Path.cwd())
    # Two ways to say one thing: what is set on the command line takes the place of the other in the file.
    for section, pair in _ALTERNATIVES:
        over, under = given.get(section), table.get(section)
        if isinstance(over, dict) and isinstance(under, dict) and pair & over.keys():
            table[section] = {key: value for key, value in under.items() if key not in pair}
    return validated(RunConfig, _merged(table, given), source=str(path))


def validated(model: type[Model], values: Mapping[str, Any], *, source: str = "") -> Model:
    """Check values against a model.

    Parameters
    ----------
    model
        One of the models of this package.
    values
        Its fields.
    source
        Where they come from, to begin an error with.

    Raises
    ------
    ConfigError
        If a key is unknown or missing, or its value not allowed.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        problems = "; ".join(_explain(model, dict(problem)) for problem in error.errors())
        raise ConfigError(f"{source}: {problems}." if source else f"{problems}.") from error


def _explain(model: type[BaseModel], problem: dict[str, Any]) -> str:
    path = [str(part) for part in problem["loc"]]
    key = ".".join(path)
    kind, message, found = problem["type"], problem["msg"], problem.get("input")
    if kind == "extra_forbidden":
        allowed = _fields(model, path[:-1])
        close = difflib.get_close_matches(path[-1], allowed, n=1)
        hint = f"did you mean {close[0]}?" if close else f"allowed are {', '.join(allowed)}"
        return f"unknown key {key} ({hint})"
    if kind == "missing":
        return f"{key} is missing"
    # pydantic's prefix for errors raised in validators
    message = str(message).removeprefix("Value error, ")
    if not path or (kind == "value_error" and isinstance(found, Mapping)):
        return message
    return f"{key} = {shown(found)}: {message[:1].lower()}{message[1:]}"


def _fields(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    for part in path:
        annotation = model.model_fields[part].annotation
        if isinstance(annotation, UnionType):
            annotation = get_args(annotation)[0]
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return list(model.model_fields)


def _assign(table: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise ConfigError(
            f"--set {shown(override)}: write it as section.key=value, such as cluster.n_clusters=5."
        )
    try:
        value = parse_toml(f"value = {text}")["value"]
    except ValueError:
        value = text.strip()  # a word without quotes
    for part in parts[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise ConfigError(f"--set {shown(override)}: {part} is no section.")
    table[parts[-1]] = value


def _merged(table: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(table)
    for key, value in over.items():
        before = result.get(key)
        both = isinstance(value, Mapping) and isinstance(before, Mapping)
        result[key] = _merged(before, value) if both else value  # type: ignore[arg-type]
    return result


def _anchor(table: dict[str, Any], folder: Path) -> None:
    """Make the paths in a config relative to `folder`; values of a wrong type are left to the models."""

    def anchored(value: Any) -> Any:
        if not isinstance(value, str) or value.startswith(EXAMPLE_PREFIX):
            return value
        return os.path.normpath(folder / expanded(value))

    if "store" in table:
        table["store"] = anchored(table["store"])
    cluster = table.get("cluster")
    if isinstance(cluster, dict):
        for key in ("masses", "align_to"):
            # A number is a frame.
            if key in cluster and not str(cluster[key]).strip().isdecimal():
                cluster[key] = anchored(cluster[key])
    ingest = table.get("ingest")
    if isinstance(ingest, dict):
        for key in ("top", "from_list", "ndx"):
            if key in ingest:
                ingest[key] = anchored(ingest[key])
        files = ingest.get("trajectories")
        if isinstance(files, list):
            ingest["trajectories"] = [anchored(file) for file in files]
        elif isinstance(files, str):
            ingest["trajectories"] = anchored(files)
