"""Lists of trajectories: one file, its topology and what is known of it a line, as CSV or TOML."""

import csv
import io
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ConfigError, TrajectoryError
from .models import IngestConfig
from .paths import expand_paths
from .texts import expanded, parse_toml, read_text, shown

__all__ = ["InputFile", "list_inputs", "read_manifest"]

_COLUMNS = ("path", "topology", "label", "run", "replica", "temperature")
_DELIMITERS = (",", "\t", ";")


@dataclass(frozen=True, slots=True)
class InputFile:
    """A trajectory file as a user lists it.

    Attributes
    ----------
    path
        Absolute path.
    topology
        Absolute path of its topology; None where the file's own, or the one given for all, serves.
    label
        What it is called; empty where it has no name.
    run
        The simulation that it is a part of; None where nothing says so.
    replica
        That run's number or name, empty where it has none.
    temperature
        That run's temperature, K.
    """

    path: Path
    topology: Path | None = None
    label: str = ""
    run: str | None = None
    replica: str = ""
    temperature: float | None = None


def list_inputs(config: IngestConfig) -> list[InputFile]:
    """List the trajectories of an ingest in order, from its patterns or its manifest.

    Raises
    ------
    ConfigError
        If the manifest can't be read.
    TrajectoryError
        If a file is missing or given twice.
    """
    if config.from_list is not None:
        return read_manifest(expanded(config.from_list))
    return [InputFile(path) for path in expand_paths(config.trajectories)]


def read_manifest(path: Path) -> list[InputFile]:
    """Read a list of trajectories.

    A CSV file (comma, tab or semicolon) has a header that names its columns, of which only ``path`` must be
    there: ``path, topology, label, run, replica, temperature``; without a header, its first three are meant.
    Lines that begin with ``#`` are left out. A TOML file has a table ``[[trajectory]]`` with those keys for
    each. Paths are relative to the folder of the list, and may be glob patterns.

    Returns
    -------
    The files, each once, in the order of the list.

    Raises
    ------
    ConfigError
        If the file is missing, no such list, or empty, or a column is unknown.
    TrajectoryError
        If a trajectory or topology is missing, or a trajectory is given twice.
    """
    try:
        text = read_text(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"Cannot read the list {str(path)[-200:]}: {reason}. Check --from-list.") from error
    rows = _toml_rows(path, text) if path.suffix.lower() == ".toml" else _csv_rows(path, text)
    files: list[InputFile] = []
    given_at: dict[str, str] = {}
    for where, row in rows:
        for file in _files(path, where, row):
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


def _toml_rows(path: Path, text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        document = parse_toml(text)
    except ValueError as error:
        raise ConfigError(f"The list {path} is no valid TOML: {error}.") from error
    tables = document.get("trajectory")
    if set(document) != {"trajectory"} or not isinstance(tables, list):
        raise ConfigError(f"The list {path} must hold tables [[trajectory]] and nothing else.")
    for number, table in enumerate(tables, start=1):
        row = _checked(path, f"trajectory {number}", table)
        for name, value in row.items():
            if not isinstance(value, (str, int, float)):
                raise ConfigError(f"{path}, trajectory {number}: {name} must be a text or a number.")
        yield f"trajectory {number}", row


def _csv_rows(path: Path, text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    # Blanked rather than removed, so that the numbers of lines stay right.
    lines = ["" if line.lstrip().startswith("#") else line for line in text.splitlines()]
    first = next((line for line in lines if line.strip()), "")
    delimiter = next((sign for sign in _DELIMITERS if sign in first), ",")
    reader = csv.reader(io.StringIO("\n".join(lines)), delimiter=delimiter, skipinitialspace=True)
    try:
        yield from _rows(path, reader)
    except csv.Error as error:
        raise ConfigError(f"{path}, line {reader.line_num}: {error}. Is it such a list?") from error


def _rows(path: Path, reader: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    columns: list[str] | None = None
    for cells in reader:
        row = [cell.strip() for cell in cells]
        where = f"line {reader.line_num}"
        if not any(row):
            continue
        if columns is None:
            names = [cell.lower() for cell in row]
            columns = names if "path" in names else list(_COLUMNS[:3])
            if "path" in names:
                _checked(path, where, dict.fromkeys(names, ""))
                continue
        if len(row) > len(columns):
            raise ConfigError(
                f"{path}, {where}: {len(row)} columns, but there are {len(columns)}: {', '.join(columns)}. "
                "Name further columns in a first line, or put a path with commas in quotes."
            )
        yield where, dict(zip(columns, row, strict=False))


def _checked(path: Path, where: str, row: Any) -> Mapping[str, Any]:
    """Return a row whose columns are all known ones."""
    unknown = [name for name in row if name not in _COLUMNS] if isinstance(row, dict) else ["?"]
    if unknown:
        raise ConfigError(
            f"{path}, {where}: there is no column {shown(unknown[0])}. Allowed are {', '.join(_COLUMNS)}."
        )
    return dict(row)


def _files(path: Path, where: str, row: Mapping[str, Any]) -> Iterator[InputFile]:
    values = {name: str(value).strip() for name, value in row.items()}
    if not values.get("path"):
        raise ConfigError(f"{path}, {where}: there is no path. Give a trajectory, or remove the line.")
    folder = path.absolute().parent
    try:
        topologies = (
            expand_paths([values["topology"]], relative_to=folder) if values.get("topology") else [None]
        )
        trajectories = expand_paths([values["path"]], relative_to=folder)
    except TrajectoryError as error:
        raise type(error)(f"{path}, {where}: {error}") from error
    if len(topologies) > 1:
        raise ConfigError(
            f"{path}, {where}: {shown(values['topology'])} matches several files. Name one topology."
        )
    temperature = _temperature(path, where, values.get("temperature", ""))
    for trajectory in trajectories:
        yield InputFile(
            path=trajectory,
            topology=topologies[0],
            label=values.get("label", ""),
            run=values.get("run") or None,
            replica=values.get("replica", ""),
            temperature=temperature,
        )


def _temperature(path: Path, where: str, text: str) -> float | None:
    if not text:
        return None
    try:
        temperature = float(text.removesuffix("K"))
    except ValueError:
        temperature = math.nan
    if not (math.isfinite(temperature) and temperature > 0):
        raise ConfigError(f"{path}, {where}: {shown(text)} is no temperature. Write it in K, such as 300.")
    return temperature
