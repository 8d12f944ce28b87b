"""What attributes of groups and plans of stages must be for who reads them, beside what their digests say.

Both may come from a stranger. Attributes that nobody reads are left alone.
"""

import re
from collections.abc import Mapping
from typing import Any

from ..errors import CorruptChunkError
from ..journal import Plan

__all__ = ["check_group", "check_plan"]

_METHODS = ("frames", "faithful", "medoid", "random", "structures")
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")

# What a value must be; with ? it may be None, with * it may be missing.
_PROVENANCE = {"versions": "*texts", "cpu": "*text", "command": "*text"}
_GROUPS: dict[str, dict[str, str]] = {
    "": {"topology": "text", "provenance": "*table"},
    "subsets": {
        "frame_stop": "count",
        "stride": "count",
        "atoms": "text",
        "select": "*?text",
        "metric": "*text",
        "masses": "*text",
        "align_select": "*text",
        "provenance": "table",
    },
    "clusterings": {
        "subset": "?key",
        "linkage": "?key",
        "linkage_method": "*?text",
        "linkage_input": "*?text",
        "method": "*text",
        "atoms": "text",
        "metric": "*text",
        "fit": "*text",
        "alignment": "*text",
        "n_clusters_asked": "*?count",
        "n_clusters_reason": "*?text",
        "n_clusters_found": "count",
        "cutoff_nm": "*?number",
        "leader_method": "text",
        "labels_by": "*text",
        "faithfulness_overall": "*number",
        "faithfulness_held_out_overall": "*?number",
        "held_out_split": "*?text",
        "most_confused": "*text",
        "provenance": "table",
    },
    "scans": {
        "subset": "key",
        "linkage_input": "text",
        "cophenetic_correlation": "?number",
        "suggested_n_clusters": "count",
        "suggestion_reason": "text",
    },
}
_APPEND = {"n_frames": "whole", "n_files": "whole", "files": "rows"}
_REQUESTS: dict[str, dict[str, str]] = {
    "ingest": {
        "trajectories": "*rows",
        "top": "*rows",
        "named": "*names",
        "options": "*table",
        "append": "*table",
    },
    "assign": {"noise_cutoff": "*?number", "covered": "*whole"},
    "margin": {"covered": "*whole"},
}
_PARAMETERS: dict[str, dict[str, str]] = {
    "ingest": {"trajectories": "names", "select": "*text", "appended": "*names"},
    "subset": {"stride": "count"},
    "linkage": {"stride": "count"},
    "assign": {"n_frames": "whole"},
    "margin": {"n_frames": "whole"},
    "growth": {"n_before": "whole", "lengths": "table", "journals": "table"},
    "transcode": {"packing": "table", "shape": "list"},
}
_PACKING = {"dtype": "text", "scale": "?number", "rounds": "truth"}


def check_group(path: str, attrs: Mapping[str, Any]) -> None:
    """Raise `CorruptChunkError` unless attributes are what readers of a group take them for."""
    holder = path.partition("/")[0]
    if path.count("/") > 1:
        return
    if path and path == holder:
        return
    _check(attrs, _GROUPS.get(holder, {}), f"{path}/zarr.json".lstrip("/"))
    if isinstance(attrs.get("provenance"), dict):
        _check(attrs["provenance"], _PROVENANCE, f"{path}/zarr.json".lstrip("/"))
    if holder == "clusterings" and path != holder:
        where = f"{path}/zarr.json"
        _require(attrs["leader_method"] in _METHODS, where, "leader_method is unknown")
        _require(
            (attrs["subset"] is None) == (attrs["leader_method"] == "structures"), where, "it has no subset"
        )
        has_cut = attrs.get("cutoff_nm") is not None or attrs.get("n_clusters_asked") is not None
        _require(has_cut or attrs["subset"] is None, where, "it doesn't say where the tree was cut")


def check_plan(plan: Plan) -> None:
    """Raise `CorruptChunkError` unless a stage's plan is what readers of it take it for."""
    stage = plan.stage.partition("-")[0]
    where = f"journal/{plan.stage}/zarr.json"
    _check(plan.request, _REQUESTS.get(stage, {}), where)
    _check(plan.parameters, _PARAMETERS.get(stage, {}), where)
    if "append" in plan.request and stage == "ingest":
        _check(plan.request["append"], _APPEND, where)
    if stage == "transcode":
        _check(plan.parameters["packing"], _PACKING, where)
        packing = plan.parameters["packing"]
        is_known = packing["dtype"] in ("float32", "int16", "int32")
        _require(is_known and packing.keys() == _PACKING.keys(), where, "its packing is unknown")


def _check(values: Mapping[str, Any], kinds: Mapping[str, str], where: str) -> None:
    for name, kind in kinds.items():
        if name not in values:
            _require(kind.startswith("*"), where, f"{name} is missing")
            continue
        value, wanted = values[name], kind.lstrip("*")
        if value is None and wanted.startswith("?"):
            continue
        _require(_is(wanted.lstrip("?"), value), where, f"{name} is {str(value)[:40]!r}")


def _is(kind: str, value: Any) -> bool:
    if kind == "rows":
        # A file's path first, then numbers and digests.
        return isinstance(value, list) and all(
            isinstance(row, list) and len(row) in (3, 4) and _is_row(row) for row in value
        )
    if kind in ("names", "texts"):
        wanted = list if kind == "names" else dict
        parts = value.values() if isinstance(value, dict) else value
        return isinstance(value, wanted) and all(isinstance(part, str) for part in parts)
    if kind == "key":
        return isinstance(value, str) and _KEY.fullmatch(value) is not None
    if kind in ("count", "whole"):
        return type(value) is int and (1 if kind == "count" else 0) <= value < 1 << 48
    if kind == "number":
        return type(value) in (int, float) and abs(value) < 1e12
    types: dict[str, type] = {"text": str, "table": dict, "list": list, "truth": bool}
    return isinstance(value, types[kind])


def _is_row(row: list[Any]) -> bool:
    numbers = row[1:3]
    return isinstance(row[0], str) and all(type(one) is int and 0 <= one < 1 << 63 for one in numbers)


def _require(holds: bool, where: str, problem: str) -> None:
    if not holds:
        raise CorruptChunkError(
            f"{where} is damaged: {problem}. The store isn't as twopass-store writes it; copy it again "
            "whole, or make it anew."
        )
