"""Put the page together from its parts, and write it."""

import html
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import xarray as xr

from ..analysis import Plots, draw_convergence, new_figure, open_results
from ..errors import ConfigError, StoreWriteError
from ..export import checked_target, replacing
from ..report import draw_scan, summarize
from ..store import Store, store_path
from .content import page_content, scan_of

__all__ = ["PageResult", "write_pictures", "write_report"]

PICTURES = ("timeline", "populations", "map", "dendrogram", "rmsd", "rmsd_matrix", "transitions")


@dataclass(frozen=True, slots=True)
class PageResult:
    """The files that were written, and how large the page is."""

    paths: tuple[Path, ...]
    size_bytes: int


def write_report(
    store: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    name: str | None = None,
    lag: int = 1,
    overwrite: bool = False,
) -> PageResult:
    """Write one HTML file that shows a clustering and opens offline in any browser.

    The `lag` of the transitions is in frames. Raises a `ConfigError` if plotly or ipymolstar isn't installed
    or the file exists, and a `StageIncompleteError` if assign has not finished.
    """
    libraries = _libraries()
    results = open_results(store, name)
    opened = Store.open(store_path(store, reads=True))
    target = checked_target(opened, path, overwrite=overwrite)
    summary = summarize(store, results.attrs["clustering"], convergence="rmsd" in results)
    content = page_content(opened, results, summary, lag=lag)
    parts = {name: _part(name) for name in ("page.css", "page.js")} | libraries
    parts["title"] = html.escape(f"{content['name']} · {content['store']}")
    parts["content"] = _in_script(json.dumps(content, allow_nan=False, separators=(",", ":")))
    text = _part("page.html")
    for key, value in parts.items():
        text = text.replace(f"{{{{{key}}}}}", value)
    with replacing(target, name="page.html") as temporary:
        temporary.write_text(text, encoding="utf-8")
    return PageResult((target,), target.stat().st_size)


def write_pictures(
    store: str | os.PathLike[str], folder: str | os.PathLike[str], *, name: str | None = None, lag: int = 1
) -> PageResult:
    """Write the pictures of a clustering as PNG and SVG into a folder; those that exist are replaced.

    Raises the errors of `write_report`; instead of its libraries, matplotlib must be installed.
    """
    target, paths = Path(folder), []
    try:
        target.mkdir(parents=True, exist_ok=True)
        for picture, figure in _pictures(store, open_results(store, name), lag):
            for ending in ("png", "svg"):
                paths.append(target / f"{picture}.{ending}")
                figure.savefig(paths[-1], dpi=150, bbox_inches="tight")
    except OSError as error:
        raise StoreWriteError(f"Cannot write into {target}: {error.strerror or error}.") from error
    return PageResult(tuple(paths), sum(each.stat().st_size for each in paths))


def _pictures(store: str | os.PathLike[str], results: xr.Dataset, lag: int) -> Iterator[tuple[str, Any]]:
    """Yield the names and figures of what a clustering has."""
    plots = Plots(results)
    for picture in PICTURES:
        figure = new_figure()
        options: dict[str, Any] = {"lag": lag} if picture == "transitions" else {}
        try:
            ax = getattr(plots, picture)(figure.subplots(), **options)
        except ConfigError:  # without a first pass there is no map, without a linkage no tree
            continue
        if picture == "timeline":
            figure.set_size_inches(9, max(2.8, 1.2 + 0.3 * len(ax.get_yticks())))  # the legend needs 2.8
        yield picture, figure
    if "rmsd" not in results:
        return
    summary = summarize(store, results.attrs["clustering"], convergence=True)
    if summary.sizes["stride"] > 1:
        figure = new_figure()
        draw_convergence(summary, figure.subplots())
        yield "convergence", figure
    scan = scan_of(Store.open(store_path(store, reads=True)), results)
    if scan is not None:
        figure = new_figure()
        figure.set_size_inches(9, 7)
        draw_scan(scan, figure)
        yield "scan", figure


def _part(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def _libraries() -> dict[str, str]:
    """Read the JavaScript of the packages that ship it."""
    found = {}
    for key, package, file in (
        ("plotly", "plotly", "package_data/plotly.min.js"),
        ("molstar", "ipymolstar", "static/molviewspec.js"),
        ("molstar.css", "ipymolstar", "static/molviewspec.css"),
    ):
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            raise ConfigError(
                f"A report needs {package}, which isn't installed: pip install plotly ipymolstar. Or take "
                "the pictures alone with `static`."
            )
        found[key] = _in_script((Path(spec.origin).parent / file).read_text(encoding="utf-8"))
    return found


def _in_script(text: str) -> str:
    """Keep a text from ending the element that it stands in."""
    # Both are the same to JavaScript and JSON in strings and regular expressions.
    return re.sub(r"<(/script|!--)", r"<\\\1", text, flags=re.IGNORECASE)
