"""Reading configs, with errors that name the key, what was found and what is allowed."""

import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from ..errors import ConfigError
from .models import RunConfig
from .paths import EXAMPLE_PREFIX
from .texts import expanded, parse_toml, read_text, shown

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

__all__ = ["load_config", "validated"]

Model = TypeVar("Model", bound=BaseModel)

_PREFIX = "Value error, "
"""What pydantic puts before the message of a validator."""

_ALTERNATIVES = (
    ("ingest", {"trajectories", "from_list"}),
    ("ingest", {"stride", "every"}),
    ("cluster", {"n_clusters", "cutoff"}),
    ("cluster", {"subset_frames", "stride"}),
)


def load_config(
    path: str | os.PathLike[str],
    *,
    store: str | os.PathLike[str] | None = None,
    overrides: Sequence[str] = (),
) -> RunConfig:
    """Read a run's config.

    Parameters
    ----------
    path
        A TOML file. Paths in it are relative to its folder.
    store
        Path of the store, instead of the file's.
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
        return _resolved(path, table, store, overrides)
    except RecursionError:
        raise ConfigError(f"{path}: keys are nested too deeply. Write them as section.key.") from None


def _resolved(
    path: Path, table: dict[str, Any], store: str | os.PathLike[str] | None, overrides: Sequence[str]
) -> RunConfig:
    _anchor(table, path.absolute().parent)
    given: dict[str, Any] = {} if store is None else {"store": os.fspath(store)}
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
    given = {
        key: os.fspath(value) if isinstance(value, os.PathLike) else value for key, value in values.items()
    }
    try:
        return model.model_validate(given)
    except ValidationError as error:
        problems = "; ".join(_explain(model, given, error.errors(include_url=False)))
        raise ConfigError(f"{source}: {problems}." if source else f"{problems}.") from error


def _explain(
    model: type[BaseModel], given: Mapping[str, Any], problems: Sequence["ErrorDetails"]
) -> Iterator[str]:
    """Word the problems, one for each option even if it may be of several types."""
    by_key: dict[tuple[str, ...], list[ErrorDetails]] = {}
    for problem in problems:
        by_key.setdefault(tuple(_path(model, problem["loc"])), []).append(problem)
    for path, those in by_key.items():
        key, first = f"`{'.'.join(path)}`", those[0]
        if first["type"] == "extra_forbidden":
            allowed = _fields(model, path[:-1])
            close = difflib.get_close_matches(path[-1], allowed, n=1)
            hint = f"did you mean {close[0]}?" if close else f"allowed are {', '.join(allowed)}"
            yield f"unknown option {key} ({hint})"
        elif first["type"] == "missing":
            yield f"{key} is missing"
        elif not path or (first["type"] == "value_error" and isinstance(first["input"], Mapping)):
            # of a section as a whole
            section = f"in [{'.'.join(path)}], " if path else ""
            yield section + "; ".join(_worded(each["msg"]) for each in those)
        else:
            found: Any = given
            for part in path:
                found = found[part]
            wanted = [_worded(each["msg"]) for each in those]
            begun = wanted[0].partition(",")[0] if len(wanted) > 1 else wanted[0]
            others = [each.partition(",")[0].removeprefix("should be ") for each in wanted[1:]]
            yield f"{key} = {shown(found)}: {' or '.join(dict.fromkeys([begun, *others]))}"


def _worded(message: str) -> str:
    message = message.removeprefix(_PREFIX).removeprefix("Input ")
    return message.replace("greater than or equal to", "at least").replace("less than or equal to", "at most")


def _path(model: type[BaseModel], loc: tuple[int | str, ...]) -> Iterator[str]:
    """Yield the sections and the option that a place is in, without the parts of its type."""
    for part in loc:
        yield str(part)
        inner = _inner(model, str(part))
        if inner is None:
            return
        model = inner


def _inner(model: type[BaseModel], name: str) -> type[BaseModel] | None:
    field = model.model_fields.get(name)
    annotation = None if field is None else field.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _fields(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    for part in path:
        inner = _inner(model, part)
        if inner is None:
            return []
        model = inner
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
