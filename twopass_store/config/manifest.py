"""Lists of trajectories: one file, its topology and what is known of it a line, as CSV or TOML."""

import csv
import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from ..errors import ConfigError, TrajectoryError
from .load import validated
from .models import IngestConfig
from .paths import Search, expand_paths, expanded

__all__ = ["InputFile", "list_inputs", "read_manifest"]


def _kelvin(value: Any) -> Any:
    return value.removesuffix("K") if isinstance(value, str) else value


class InputFile(BaseModel):
    """A trajectory file as a user lists it."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", coerce_numbers_to_str=True, str_strip_whitespace=True
    )

    path: Path
    """Absolute path; as it is listed, a path or pattern relative to the list."""
    topology: Path | None = None
    """Absolute path of its topology; None where the file's own, or the one given for all, serves."""
    label: str = ""
    """What it is called; empty where it has no name."""
    run: str | None = None
    """The simulation that it is a part of; None where nothing says so."""
    replica: str = ""
    """That run's number or name, empty where it has none."""
    temperature: Annotated[
        Annotated[float, Field(gt=0, allow_inf_nan=False)] | None, BeforeValidator(_kelvin)
    ] = None
    """That run's temperature, K."""


def list_inputs(config: IngestConfig, note: Callable[[str], None] = lambda _: None) -> list[InputFile]:
    """List the trajectories of an ingest in order, from its patterns or its manifest.

    `note` is told how far a search through many folders is.
    """
    search = Search(note)
    if config.from_list is not None:
        return read_manifest(expanded(config.from_list), search)
    return [InputFile(path=path) for path in expand_paths(config.trajectories, search=search)]


def read_manifest(path: Path, search: Search | None = None) -> list[InputFile]:
    """Read a list of trajectories.

    A CSV file (comma, tab or semicolon) has a header that names its columns, of which only ``path`` must be
    there: ``path, topology, label, run, replica, temperature``; without a header, its first three are meant.
    Lines that begin with ``#`` are left out. A TOML file has a table ``[[trajectory]]`` with those keys for
    each. Paths are relative to the folder of the list, and may be glob patterns.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        rows = list(_toml_rows(text) if path.suffix.lower() == ".toml" else _csv_rows(text))
    except (OSError, ValueError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"Cannot read the list {str(path)[-200:]}: {reason}. Check `from_list`.") from error
    files: list[InputFile] = []
    given_at: dict[str, str] = {}
    for where, values in rows:
        row = validated(InputFile, values, source=f"{path}, {where}")
        for file in _files(path, where, row, search):
            identity = os.path.realpath(file.path)
            if identity in given_at:
                raise TrajectoryError(
                    f"{path}, {where}: {file.path} is there already, at {given_at[identity]}: its frames "
                    "would count double. Name each file once."
                )
            given_at[identity] = where
            files.append(file)
    if not files:
        raise ConfigError(f"The list {path} names no trajectory. Write one path a line.")
    return files


def _toml_rows(text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    document = tomllib.loads(text)
    tables = document.get("trajectory")
    if set(document) != {"trajectory"} or not all(isinstance(table, dict) for table in tables or [None]):
        raise ValueError("it must hold tables [[trajectory]] and nothing else")
    for number, table in enumerate(document["trajectory"], start=1):
        yield f"trajectory {number}", table


def _csv_rows(text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    # Blanked rather than removed, so that the numbers of lines stay right.
    lines = ["" if line.lstrip().startswith("#") else line for line in text.splitlines()]
    first = next((line for line in lines if line.strip()), "")
    delimiter = next((sign for sign in ",\t;" if sign in first), ",")
    columns = list(InputFile.model_fields)[:3]
    for number, line in enumerate(csv.reader(lines, delimiter=delimiter, skipinitialspace=True), start=1):
        cells = [cell.strip() for cell in line]
        if not any(cells):
            continue
        if "path" in map(str.lower, cells):
            columns = [cell.lower() for cell in cells]
            continue
        if len(cells) > len(columns):
            raise ValueError(f"line {number} has {len(cells)} columns instead of {', '.join(columns)}")
        yield f"line {number}", {name: cell for name, cell in zip(columns, cells, strict=False) if cell}


def _files(path: Path, where: str, row: InputFile, search: Search | None) -> Iterator[InputFile]:
    folder = path.absolute().parent
    try:
        topologies = expand_paths([row.topology], relative_to=folder) if row.topology else [None]
        trajectories = expand_paths([row.path], relative_to=folder, search=search)
    except TrajectoryError as error:
        raise type(error)(f"{path}, {where}: {error}") from error
    if len(topologies) > 1:
        raise ConfigError(f"{path}, {where}: {row.topology} matches several files. Name one topology.")
    for trajectory in trajectories:
        yield row.model_copy(update={"path": trajectory, "topology": topologies[0]})
