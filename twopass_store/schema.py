"""The on-disk format, as data: one spec per array. It validates, annotates and documents.

A store is a Zarr v3 group. Arrays along ``frame`` always have the root's length, with -1 or NaN where
nothing is known yet, since a tree of groups opens in xarray only so. Nothing here reads or writes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from .partition import FRAME_CHUNK, PAIR_CHUNK, position_chunk_frames

__all__ = [
    "ASSIGNMENT",
    "ATOM",
    "CLUSTERING",
    "CODECS",
    "COVER",
    "DEFAULT_CODEC",
    "DEFAULT_METRIC",
    "FAITHFULNESS",
    "FORMAT_VERSION",
    "FRAME",
    "GROUP_ATTRS",
    "INGESTED",
    "LABEL_STATUS",
    "LEDGER",
    "LINKAGE",
    "MARGIN",
    "METRIC",
    "NEIGHBOURS",
    "OUTSIDE",
    "RUN",
    "SCAN",
    "SUBSET",
    "TIME_SOURCES",
    "TRAJECTORY_FILE",
    "TRAJECTORY_RECORD",
    "UNITCELL",
    "ArraySpec",
    "attributes",
    "chunk_shape",
    "linkage_spec",
    "position_spec",
]

FORMAT_VERSION = 1
"""Written to the root as ``twopass_format``; a store of another format is refused."""

LABEL_STATUS: Mapping[str, int] = MappingProxyType(
    {"pending": 0, "assigned": 1, "beyond_noise_cutoff": 2, "not_finite": 3, "kept_from_first_pass": 4}
)
"""Values of ``label_status``."""

TIME_SOURCES = ("file", "user", "index")
"""Values of the attribute ``time_source``; ``index``: a frame count, without a unit."""

CODECS = ("fast", "small")
"""How positions may be encoded."""

DEFAULT_CODEC = "fast"
"""About 15 % larger than ``small``; it encodes five times and decodes twice as fast."""

FILE_CHUNK = 1_024
ROWS_PER_CHUNK = 65_536
LEADER_CHUNK_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class ArraySpec:
    """One array of the format.

    Attributes
    ----------
    name
        Name in its group.
    dims
        Names of the dimensions.
    dtype
        As numpy writes it; ``str`` for text.
    fill_value
        What unwritten elements read as.
    units
        ``1`` where it has none.
    long_name
        What it means, in a few words.
    attrs
        Further attributes, CF names where there are any.
    """

    name: str
    dims: tuple[str, ...]
    dtype: str
    fill_value: float | int | str
    units: str
    long_name: str
    attrs: Mapping[str, Any] = field(default_factory=dict)


_NAN = float("nan")

FRAME = (
    ArraySpec("position", ("frame", "atom", "xyz"), "float32", _NAN, "nm", "atomic positions"),
    ArraySpec("time", ("frame",), "float64", _NAN, "ps", "simulation time"),
    ArraySpec("trajectory", ("frame",), "int32", -1, "1", "source file, an index into trajectory_path"),
    ArraySpec(
        "source_frame",
        ("frame",),
        "int64",
        -1,
        "1",
        "index of the frame in its source file, frames without positions counted",
    ),
)

# float64, since that is what mdtraj reads from some formats.
UNITCELL = (
    ArraySpec("unitcell_lengths", ("frame", "xyz"), "float64", _NAN, "nm", "lengths of the unit cell"),
    ArraySpec("unitcell_angles", ("frame", "xyz"), "float64", _NAN, "degrees", "angles of the unit cell"),
)

TRAJECTORY_FILE = (
    ArraySpec("trajectory_path", ("trajectory_file",), "str", "", "1", "path of the source file"),
    ArraySpec(
        "trajectory_n_frames",
        ("trajectory_file",),
        "int64",
        -1,
        "1",
        "whole frames with positions in the source file",
    ),
    ArraySpec("trajectory_digest", ("trajectory_file",), "str", "", "1", "content digest of the source file"),
)

TRAJECTORY_RECORD = (
    ArraySpec("trajectory_size", ("trajectory_file",), "int64", -1, "byte", "size of these frames"),
    ArraySpec(
        "trajectory_n_promised",
        ("trajectory_file",),
        "int64",
        -1,
        "1",
        "frames that the header of the source file promises; -1 where it doesn't say",
    ),
    ArraySpec(
        "trajectory_bytes_left",
        ("trajectory_file",),
        "int64",
        0,
        "byte",
        "bytes behind the last whole frame of the source file",
    ),
    ArraySpec(
        "trajectory_n_without_positions",
        ("trajectory_file",),
        "int64",
        0,
        "1",
        "frames of the source file that were left out because they hold velocities or forces alone",
    ),
    ArraySpec(
        "trajectory_modified",
        ("trajectory_file",),
        "int64",
        -1,
        "nanoseconds since 1970-01-01",
        "when the source file was last modified, UTC",
        {"calendar": "proleptic_gregorian"},
    ),
    ArraySpec("trajectory_label", ("trajectory_file",), "str", "", "1", "what a list calls the source file"),
)
"""Further of the source files; the last only where a list of trajectories has labels."""

ATOM = (
    ArraySpec("atom_name", ("atom",), "str", "", "1", "atom name"),
    ArraySpec("element", ("atom",), "str", "", "1", "chemical element, empty for beads and virtual sites"),
    ArraySpec("residue_name", ("atom",), "str", "", "1", "name of the atom's residue"),
    ArraySpec("residue_id", ("atom",), "int64", -1, "1", "number of the atom's residue in the topology file"),
    ArraySpec("chain_id", ("atom",), "str", "", "1", "identifier of the atom's chain"),
)

# The dimension isn't called run, which is the variable along frame.
RUN = (
    ArraySpec("run", ("frame",), "int32", -1, "1", "simulation run, an index into run_label"),
    ArraySpec("run_label", ("simulation_run",), "str", "", "1", "name of the run"),
    ArraySpec("run_replica", ("simulation_run",), "str", "", "1", "replica of the run, empty for none"),
    ArraySpec("run_temperature", ("simulation_run",), "float64", _NAN, "K", "temperature of the run"),
)
"""Where files are grouped into runs; the last two where a list of trajectories has them."""

INGESTED = (*FRAME, *UNITCELL, *TRAJECTORY_FILE, *TRAJECTORY_RECORD, *ATOM, *RUN)
"""Arrays of the root group."""

SUBSET = (
    ArraySpec("subset_frame", ("subset",), "int64", -1, "1", "frame of the store, an index along frame"),
    ArraySpec(
        "rmsd",
        ("pair",),
        "float32",
        _NAN,
        "nm",
        "minimal RMSD of each pair of subset frames, condensed, pairs (0,1), (0,2), …, (1,2), …",
    ),
)

LINKAGE = ArraySpec(
    "linkage",
    ("merge", "linkage_column"),
    "float64",
    _NAN,
    "1",
    "hierarchical clustering: the two clusters merged, the height of the merge (nm), frames in the result",
)

CLUSTERING = (
    ArraySpec(
        "selected_atom_index", ("selected_atom",), "int64", -1, "1", "atoms of the RMSD, indices along atom"
    ),
    ArraySpec(
        "subset_label",
        ("subset",),
        "int32",
        -1,
        "1",
        "cluster of each subset frame by the first pass, from 1; -1 for noise",
    ),
    ArraySpec(
        "leader_frame",
        ("leader",),
        "int64",
        -1,
        "1",
        "frame of the leader, an index along frame; -1 for a structure from outside",
    ),
    ArraySpec("leader_label", ("leader",), "int32", -1, "1", "cluster that the leader stands for, from 1"),
    ArraySpec(
        "leader_position",
        ("leader", "atom", "xyz"),
        "float32",
        _NAN,
        "nm",
        "positions of the leader's atoms, NaN where an outside structure has none",
    ),
    ArraySpec(
        "medoid_frame",
        ("cluster",),
        "int64",
        -1,
        "1",
        "subset frame nearest to all others of its cluster, or its centre where all frames were clustered, "
        "an index along frame; the label is index + 1",
    ),
)

METRIC = (
    ArraySpec(
        "selected_atom_mass",
        ("selected_atom",),
        "float64",
        _NAN,
        "Da",
        "mass of the atom, its weight in the RMSD and in the fit of pairs",
    ),
    ArraySpec(
        "align_atom_index",
        ("align_atom",),
        "int64",
        -1,
        "1",
        "atoms by which every frame is superposed on the reference, indices along atom",
    ),
    ArraySpec(
        "align_atom_mass",
        ("align_atom",),
        "float64",
        _NAN,
        "Da",
        "mass of the atom, its weight in the superposition on the reference",
    ),
    ArraySpec(
        "reference_position",
        ("align_atom", "xyz"),
        "float32",
        _NAN,
        "nm",
        "positions in the reference of the atoms that frames are superposed by",
    ),
    ArraySpec(
        "symmetry_atom_index",
        ("symmetry_atom",),
        "int64",
        -1,
        "1",
        "atoms that permutations of equivalent atoms move, indices along atom",
    ),
    ArraySpec(
        "symmetry_permutation",
        ("permutation", "symmetry_atom"),
        "int64",
        -1,
        "1",
        "the atom that each permutation puts in the place of each, an index along atom",
    ),
)
"""Arrays of a clustering's group that are there where its metric needs them."""

OUTSIDE = (
    ArraySpec("leader_path", ("leader",), "str", "", "1", "file that the leader is from"),
    ArraySpec("leader_model", ("leader",), "int64", -1, "1", "model in that file, an index"),
)
"""Where leaders are structures from outside: then there is no subset, no linkage and no medoid."""

FAITHFULNESS = (
    ArraySpec(
        "faithfulness",
        ("cluster",),
        "float64",
        _NAN,
        "1",
        "share of the cluster's subset frames to which the leaders give its label back",
    ),
    ArraySpec(
        "faithfulness_held_out",
        ("cluster",),
        "float64",
        _NAN,
        "1",
        "the same where the leaders were chosen without the frames judged; NaN where none could be",
    ),
    ArraySpec("confused_label", ("confusion",), "int32", -1, "1", "first-pass label of confused frames"),
    ArraySpec("confused_with", ("confusion",), "int32", -1, "1", "label that the leaders give these instead"),
    ArraySpec(
        "n_confused", ("confusion",), "int64", 0, "1", "subset frames confused so; the most frequent first"
    ),
)
"""How faithful the leaders are to the first pass; with every clustering, except in stores of old."""

SCAN = (
    ArraySpec("n_clusters", ("cut",), "int32", -1, "1", "clusters asked for"),
    ArraySpec("n_clusters_found", ("cut",), "int32", -1, "1", "clusters found, which may be fewer"),
    ArraySpec("silhouette", ("cut",), "float64", _NAN, "1", "mean silhouette, -1 to 1, higher is better"),
    ArraySpec(
        "davies_bouldin", ("cut",), "float64", _NAN, "1", "Davies-Bouldin index by medoids, lower is better"
    ),
    ArraySpec(
        "pseudo_f", ("cut",), "float64", _NAN, "1", "Calinski-Harabasz index by pairs, higher is better"
    ),
    ArraySpec("ssr_sst", ("cut",), "float64", _NAN, "1", "share of the sum of squares between clusters"),
    ArraySpec(
        "stability",
        ("cut",),
        "float64",
        _NAN,
        "1",
        "adjusted Rand index between cuts of two interleaved halves of the subset",
    ),
    ArraySpec("smallest_cluster", ("cut",), "int64", -1, "1", "subset frames in the smallest cluster"),
    ArraySpec("largest_cluster", ("cut",), "int64", -1, "1", "subset frames in the largest cluster"),
)
"""Figures of a tree's cuts, in a group of /scans for each subset, linkage and range."""

COVER = (
    ArraySpec(
        "cover_label",
        ("frame",),
        "int32",
        -1,
        "1",
        "cluster that the frame leads because it is far from every leader before it; -1 for all others",
    ),
)
"""Leaders beside those of the first pass: they follow them in ``leader_index``, in the order of frames."""

ASSIGNMENT = (
    ArraySpec("label", ("frame",), "int32", -1, "1", "cluster of the frame, from 1; -1 where it has none"),
    ArraySpec(
        "label_status",
        ("frame",),
        "int8",
        LABEL_STATUS["pending"],
        "1",
        "how the label came about",
        {"flag_values": list(LABEL_STATUS.values()), "flag_meanings": " ".join(LABEL_STATUS)},
    ),
    ArraySpec(
        "leader_index",
        ("frame",),
        "int32",
        -1,
        "1",
        "leader by the clustering's rule (the nearest, or the first within its cutoff), an index along "
        "leader and then the frames with a cover_label; -1 for none",
    ),
    ArraySpec("rmsd_to_leader", ("frame",), "float32", _NAN, "nm", "minimal RMSD to that leader"),
)

MARGIN = (
    ArraySpec(
        "second_label",
        ("frame",),
        "int32",
        -1,
        "1",
        "cluster of the nearest leader that stands for another cluster than the frame's; -1 for none",
    ),
    ArraySpec(
        "rmsd_to_second",
        ("frame",),
        "float32",
        _NAN,
        "nm",
        "minimal RMSD to the nearest leader that stands for another cluster than the frame's",
    ),
)
"""How near each frame is to another cluster, where that was asked for."""


LEDGER = ArraySpec(
    "ledger", ("entry",), "uint64", 0, "1", "digests of the chunks that are finished; 0: not yet"
)
"""In the journal of each stage."""

NEIGHBOURS = (
    ArraySpec(
        "state",
        ("state_entry",),
        "int32",
        0,
        "1",
        "how far neighbours were counted, and the count and label of each frame so far",
    ),
    ArraySpec(
        "near_pair", ("pair", "pair_frame"), "int32", -1, "1", "pairs of neighbours, indices along frame"
    ),
)
"""In the journal of a clustering of all frames, until it has finished."""

_TEXT_OR_NONE = (str, type(None))

GROUP_ATTRS: Mapping[str, Mapping[str, type | tuple[type, ...]]] = {
    "": {"topology": str},
    "subsets": {"frame_stop": int, "stride": int, "atoms": str},
    "clusterings": {
        "subset": _TEXT_OR_NONE,
        "linkage": _TEXT_OR_NONE,
        "atoms": str,
        "n_clusters_found": int,
        "leader_method": str,
        "provenance": dict,
    },
    "scans": {"subset": str, "linkage_input": str, "suggested_n_clusters": int, "suggestion_reason": str},
}
"""Attributes without which a group can't be read, by the group that holds it; the root's under ``""``."""


def position_spec(dtype: str, scale: float | None, *, rounds: bool = False) -> ArraySpec:
    """Return the spec of positions as they are stored: in float32, or in integers packed as CF has it.

    Parameters
    ----------
    dtype
        ``float32``, ``int16`` or ``int32``.
    scale
        What one step of the integers is, nm; None for ``float32``.
    rounds
        Whether the source's coordinates were moved to the nearest step.
    """
    spec = FRAME[0]
    if scale is None:
        return spec
    # xarray reads what is not written yet as NaN; packing never gives this value.
    unwritten = int(np.iinfo(dtype).min)
    attrs: dict[str, Any] = {"scale_factor": scale, "_FillValue": unwritten}
    if rounds:
        attrs["rounded_to"] = scale
    return replace(spec, dtype=dtype, fill_value=unwritten, attrs=attrs)


def metric_text(fit: str, *, weighted: bool, symmetric: bool = False) -> str:
    """Return what the attribute ``metric`` says; `fit` is ``pairs``, ``none`` or ``reference``."""
    superposition = {
        "pairs": "minimal RMSD after optimal superposition",
        "none": "RMSD of positions as they are, without superposition",
        "reference": "RMSD after superposition of every frame on one reference",
    }[fit]
    least = ", the least over permutations of equivalent atoms" if symmetric else ""
    return f"{superposition}, atoms {'weighted by mass' if weighted else 'of equal weight'}{least}"


DEFAULT_METRIC = metric_text("pairs", weighted=False)


def linkage_spec(method: str, *, rows: bool) -> ArraySpec:
    """Return the spec of a linkage as it is stored, one array per method and kind of input."""
    source = "the rows of the square RMSD matrix" if rows else "the condensed RMSDs"
    return ArraySpec(
        name=f"linkage_{method}{'_rows' if rows else ''}",
        dims=LINKAGE.dims,
        dtype=LINKAGE.dtype,
        fill_value=LINKAGE.fill_value,
        units=LINKAGE.units,
        long_name=LINKAGE.long_name,
        attrs={"method": method, "input": source},
    )


def chunk_shape(spec: ArraySpec, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the chunk shape of an array; that of what may grow doesn't depend on its length."""
    first = spec.dims[0]
    if spec.name == "position":
        length = position_chunk_frames(shape[1])
    elif first == "frame":
        length = FRAME_CHUNK
    elif first in ("trajectory_file", "simulation_run"):
        length = FILE_CHUNK
    elif first in ("entry", "state_entry"):
        length = shape[0]  # of one chunk, so that it is written at one stroke
    elif first == "pair":
        length = min(PAIR_CHUNK, shape[0])
    elif spec.name == "leader_position":
        length = min(LEADER_CHUNK_BYTES // (12 * max(1, shape[1])), shape[0])
    else:
        length = min(ROWS_PER_CHUNK, shape[0])
    return tuple(max(1, size) for size in (length, *shape[1:]))


def attributes(spec: ArraySpec) -> dict[str, Any]:
    """Return the attributes that an array of this spec is created with."""
    return {"units": spec.units, "long_name": spec.long_name, **spec.attrs}
