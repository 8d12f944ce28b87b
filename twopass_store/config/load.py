"""Reading configs, with errors that name the key, what was found and what is allowed."""

import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from ..errors import ConfigError
from .fields import options_of
from .models import RunConfig
from .paths import EXAMPLE_PREFIX, expanded

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

__all__ = ["load_config", "shown", "validated"]

Model = TypeVar("Model", bound=BaseModel)

_PREFIX = "Value error, "
"""What pydantic puts before the message of a validator."""

_WANTED = {
    "greater_than_equal": "at least {ge}",
    "greater_than": "more than {gt}",
    "less_than_equal": "at most {le}",
    "less_than": "less than {lt}",
    **dict.fromkeys(("int_parsing", "int_type", "int_from_float", "int_parsing_size"), "a whole number"),
    **dict.fromkeys(("float_parsing", "float_type", "finite_number"), "a number"),
    **dict.fromkeys(("bool_parsing", "bool_type"), "true or false"),
    **dict.fromkeys(("tuple_type", "list_type"), "a list"),
    **dict.fromkeys(("model_type", "dict_type"), "a section of options"),
    **dict.fromkeys(("path_type", "string_type"), "text"),
    "string_too_long": "at most {max_length} characters",
    **dict.fromkeys(("string_too_short", "too_short"), "not empty"),
    "literal_error": "{expected}",
}
"""What an option must be, by the type of pydantic's error."""


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
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise ConfigError(f"There is no config file at {path}.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"Cannot read {path}: {getattr(error, 'strerror', error)}.") from error
    except ValueError as error:
        raise ConfigError(f"{path} is no valid TOML: {error}.") from error
    given: dict[str, Any] = {} if store is None else {"store": os.fspath(store)}
    for override in overrides:
        _assign(given, override)
    _anchor(table, path.absolute().parent)
    _anchor(given, Path.cwd())
    for section in table.keys() & given.keys():
        if isinstance(table[section], dict) and isinstance(given[section], dict):
            given[section] = table[section] | given[section]
    return validated(RunConfig, table | given, source=str(path))


def validated(model: type[Model], values: Mapping[str, Any], *, source: str = "") -> Model:
    """Return a model of values, or raise a `ConfigError`, which begins with their source."""
    given = {
        key: os.fspath(value) if isinstance(value, os.PathLike) else value for key, value in values.items()
    }
    try:
        return model.model_validate(given)
    except ValidationError as error:
        problems = "; ".join(_explain(model, error.errors(include_url=False)))
        raise ConfigError(f"{source}: {problems}." if source else f"{problems}.") from error


def _explain(model: type[BaseModel], problems: Sequence["ErrorDetails"]) -> Iterator[str]:
    """Word the problems, one for each option even if it may be of several types."""
    by_key: dict[str, list[ErrorDetails]] = {}
    for problem in problems:
        key, section = _place(model, problem["loc"])
        if problem["type"] == "extra_forbidden":
            yield f"unknown option `{key}`; allowed are {', '.join(section.model_fields)}"
        elif problem["type"] == "missing":
            yield f"`{key}` is missing"
        elif problem["type"] == "value_error" and isinstance(problem["input"], Mapping):
            # of a section as a whole
            yield (f"in [{key}], " if key else "") + problem["msg"].removeprefix(_PREFIX)
        else:
            by_key.setdefault(key, []).append(problem)
    for key, those in by_key.items():
        wanted = [
            _WANTED[each["type"]].format(**each.get("ctx", {})) for each in those if each["type"] in _WANTED
        ]
        messages = [f"must be {' or '.join(dict.fromkeys(wanted))}"] if wanted else []
        messages += [
            each["msg"].removeprefix(_PREFIX).removeprefix(f"{each['input']!r:.120} ")
            for each in those
            if each["type"] not in _WANTED
        ]
        yield f"`{key}` = {shown(those[0]['input'])}: {' or '.join(dict.fromkeys(messages))}"


def _place(model: Any, loc: tuple[int | str, ...]) -> tuple[str, Any]:
    """Return where a problem is, without the parts of its type, and the model of that section."""
    names = []
    for part in loc:
        names.append(str(part))
        field = model.model_fields.get(part)
        if field is None or not hasattr(field.annotation, "model_fields"):
            break
        model = field.annotation
    return ".".join(names), model


def _assign(table: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise ConfigError(
            f"{shown(override)} is no assignment: write section.key=value, such as cluster.n_clusters=5."
        )
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except ValueError:
        value = text.strip()  # a word without quotes
    for part in parts[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise ConfigError(f"{shown(override)}: {part} is no section.")
    table[parts[-1]] = value


def _anchor(table: Any, folder: Path, model: Any = RunConfig) -> None:
    """Make the paths in a config relative to `folder`; values of a wrong type are left to the models."""

    def anchored(value: Any, written: str) -> Any:
        if isinstance(value, list):
            return [anchored(each, written) for each in value]
        is_frame = written != "FILE" and str(value).strip().isdecimal()
        if not isinstance(value, str) or value.startswith(EXAMPLE_PREFIX) or is_frame:
            return value
        return os.path.normpath(folder / expanded(value))

    if not isinstance(table, dict):
        return
    for option in options_of(model):
        if option.name not in table:
            continue
        section = model.model_fields[option.name].annotation
        if hasattr(section, "model_fields"):
            _anchor(table[option.name], folder, section)
        elif option.written.endswith("FILE"):
            table[option.name] = anchored(table[option.name], option.written)


def shown(value: object) -> str:
    """Write what was found for a message, however large it is."""
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:119]}…"
