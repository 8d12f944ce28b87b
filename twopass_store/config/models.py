"""The options of every stage: names, types, units, defaults and help, each said here once.

The command line, TOML files, keyword arguments and the reference page derive from these models. In a
description, the name of another option stands in backticks.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    model_validator,
)

from .quantities import parse_bytes, parse_length_nm, parse_time_ps

__all__ = [
    "HEIGHT_IS_RMSD",
    "LINKAGE_METHODS",
    "METRIC_OPTIONS",
    "AssignConfig",
    "ClusterConfig",
    "CompareConfig",
    "ExportConfig",
    "IngestConfig",
    "LeadersConfig",
    "RecutConfig",
    "RunConfig",
    "ScanConfig",
    "StructuresConfig",
    "SummaryConfig",
    "WorkConfig",
    "Written",
]

Linkage = Literal["average", "ward", "complete", "single", "weighted", "centroid", "median"]

LINKAGE_METHODS: tuple[str, ...] = get_args(Linkage)

HEIGHT_IS_RMSD = ("average", "complete", "single", "weighted")
"""Linkages whose heights are RMSDs, so that a cutoff in nm means something."""

METHODS_WITH: dict[str, tuple[str, ...]] = {
    "n_clusters": ("linkage", "kmedoids"),
    "cutoff": ("linkage", "gromos"),
    "linkage": ("linkage",),
    "linkage_input": ("linkage",),
    "label_order": ("linkage",),
    "all_frames": ("gromos",),
    "min_cluster_size": ("hdbscan",),
    "min_samples": ("hdbscan",),
}
"""Fields of `ClusterConfig` that not every method of the first pass takes, with the methods that do."""

METRIC_OPTIONS = ("mass_weighted", "masses", "no_fit", "align_to", "align_select", "symmetry")
"""Fields of `ClusterConfig` that choose another metric than the minimal RMSD of atoms of equal weight."""


@dataclass(frozen=True, slots=True)
class Written:
    """How a value is written, for help and the reference; what is written as ``FILE`` holds a path."""

    as_: str


def _split(value: Any) -> Any:
    """Take ``1,2,3`` as well as a list."""
    return [part for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _listed(value: Any) -> Any:
    """Take one value as well as several."""
    if value is None:
        return ()
    if isinstance(value, str | Integral | os.PathLike):
        value = [value]
    if not isinstance(value, Sequence):
        return value
    return [os.fspath(each) if isinstance(each, os.PathLike) else each for each in value]


def _parse_precision(value: Any) -> Any:
    return value if value in ("auto", "lossless") else parse_length_nm(value)


def _frame_or_path(value: Any) -> Any:
    """Take ``12`` as well as 12; another text is a path."""
    return int(value) if isinstance(value, str) and value.strip().isdecimal() else value


def _parse_shard(value: Any) -> Any:
    return value if value in (None, "auto", "none") else parse_bytes(value)


def _parse_range(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"\s*(\d+)\s*:\s*(\d+)\s*", value)
    if not found:
        raise ValueError("is no range; write it like 2:30")
    return int(found[1]), int(found[2])


def _parse_part(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", value)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise ValueError("is no part; write it like 2/10, the second of ten")
    return int(found[1]), int(found[2])


def _check_name(name: str) -> str:
    if not re.fullmatch("[A-Za-z0-9][A-Za-z0-9_-]{0,99}", name):
        raise ValueError(
            "can't be the name of a clustering: use letters, digits, _ and -, beginning with a letter or "
            "digit, at most 100"
        )
    return name


def _check_pattern(pattern: str) -> str:
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"is no regular expression: {error}") from None
    return pattern


def _check_image(image: str) -> str:
    if not re.fullmatch(r"none|whole|anchor=.*\S.*", image):
        raise ValueError("must be none, whole or anchor=SELECTION, such as anchor=protein")
    return image


# More than any disk holds, and products of two of them with any count of ours are exact in 64 bits.
MAX_COUNT = 10**12
Frame = Annotated[int, Field(ge=0, le=MAX_COUNT)]
Count = Annotated[int, Field(ge=1, le=MAX_COUNT)]
Seed = Annotated[int, Field(ge=0, lt=1 << 63)]
Length = Annotated[float, PlainValidator(parse_length_nm), Written("LENGTH")]
Time = Annotated[float, BeforeValidator(parse_time_ps), Written("TIME")]
Interval = Annotated[float, BeforeValidator(parse_time_ps), Field(gt=0), Written("TIME")]
File = Annotated[str, Written("FILE")]
Selection = Annotated[str, Written("SELECTION")]
Image = Annotated[str, AfterValidator(_check_image), Written("none|whole|anchor=SELECTION")]
FrameOrFile = Annotated[
    Annotated[Frame, Field(strict=True)] | Annotated[str, Field(min_length=1), Written("FILE")],
    BeforeValidator(_frame_or_path),
    Written("FRAME|FILE"),
]
Name = Annotated[str, AfterValidator(_check_name), Written("NAME")]

# Options that several stages have.
Memory = Annotated[
    Annotated[int, BeforeValidator(parse_bytes), Written("SIZE")] | None,
    Field(description="Memory that all of it may use, such as 4GiB; by default half of what is available."),
]
Threads = Annotated[
    Annotated[int, Field(ge=1, le=4096)] | None,
    Field(description="Threads; by default as many as there are processors."),
]
Scheduler = Annotated[
    Annotated[str, Written("ADDRESS")] | None,
    Field(
        description="Run on the workers of a dask.distributed cluster, such as tcp://host:8786, or its "
        "scheduler file; they must see the store under the same path, and `memory` is that of each."
    ),
]
OnlyName = Annotated[
    Name | None, Field(description="Name of the clustering, if not default or the only one.")
]
RmsdAtoms = Annotated[
    Selection | None,
    Field(
        description="Atoms of the RMSD among those stored, in mdtraj's selection language; by default the "
        "C-alphas if there is a protein of at least 10 residues, else all heavy atoms."
    ),
]
SubsetFrames = Annotated[
    Count | None,
    Field(description="Cluster at most this many frames, evenly spaced; 10,000 unless `stride` is given."),
]
SubsetStride = Annotated[
    Count | None, Field(description="Cluster every nth frame of the store, instead of `subset_frames`.")
]

Equivalent = Literal["auto", "auto,chains"]


class _Model(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        protected_namespaces=(),
        defer_build=True,
        use_attribute_docstrings=True,
    )

    def _takes_one_of(self, *names: str) -> None:
        given = [f"`{name}`" for name in names if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} exclude each other: give one")


class IngestConfig(_Model):
    """Which frames and atoms go into the store, and how they are stored."""

    trajectories: Annotated[tuple[File, ...], BeforeValidator(_listed)] = ()
    """Trajectory files and glob patterns, in the order of their frames; the files of a pattern come in
    natural order.
    """
    from_list: File | None = None
    """A list of trajectories instead: CSV with the columns path, topology, label, run, replica, temperature
    (only path is required), or TOML with a table [[trajectory]] for each. Paths are relative to the list.
    """
    top: File | None = None
    """Topology file; not needed if the trajectories carry their own."""
    reader: Literal["mdtraj", "mdanalysis"] = "mdtraj"
    """What reads topologies and trajectories. mdanalysis, which must be installed, reads formats that mdtraj
    doesn't, one frame at a time.
    """
    format: Annotated[str, Written("NAME")] | None = None
    """Read the trajectories as this format, named by its extension, such as nc. By default each as what its
    content says it is, or its extension if that leaves it open.
    """
    select: Selection | None = None
    """Atoms to keep, in mdtraj's selection language, such as "protein"; by default all."""
    ndx: File | None = None
    """GROMACS index file with the `group` to keep, instead of `select`."""
    group: Annotated[str, Written("NAME")] | None = None
    """Group of `ndx`: its name, or its number from 0."""
    image: Image = "none"
    """Undo periodic images before atoms are selected: whole makes molecules whole; anchor=SELECTION, such as
    anchor=protein, also brings the molecules of the selection together and the others to them.
    """
    run_pattern: (
        Annotated[str, Field(max_length=1000), AfterValidator(_check_pattern), Written("REGEX")] | None
    ) = None
    """Which simulation a file is a part of: what the group (?P<run>...), or the first group, matches in its
    path, such as '(rep[0-9]+)/'. The parts of a run are put in order of time.
    """
    overlap: Literal["later", "keep", "error"] | None = None
    """Frames at times that a later part of the run covers again, also where time goes back within a file:
    later keeps those of the later part, keep keeps both, error refuses them. By default later where times or
    runs choose frames, otherwise keep, with a note.
    """
    burn_in: Time | None = None
    """Leave out the beginning of each run, such as "100 ns" (a bare number is ps)."""
    begin: Time | None = None
    """First time to keep (a bare number is ps)."""
    end: Time | None = None
    """Last time to keep (a bare number is ps)."""
    every: Interval | None = None
    """Time between the frames to keep of each run, such as "100 ps" (a bare number is ps)."""
    dt: Interval | None = None
    """Time between frames, for formats that store no times, such as "10 ps" (a bare number is ps). For LAMMPS
    dumps, time between steps: a frame's time is its TIMESTEP times this.
    """
    stride: Count = 1
    """Keep every nth frame of each file (of each run, if there are runs)."""
    discard_first: Frame = 0
    """Frames to leave out at the beginning of each file."""
    strict: bool = False
    """Refuse files that are unfinished, instead of taking their whole frames."""
    precision: Annotated[
        Literal["auto", "lossless"] | Annotated[float, Field(ge=1e-6, le=0.1)],
        BeforeValidator(_parse_precision),
        Written("auto|lossless|LENGTH"),
    ] = "auto"
    """How coordinates are stored. auto: exactly, as integers if they lie on a grid (XTC), else as float32.
    lossless: exactly, as float32. A length, 0.001 (nm) or 0.01A, rounds to it.
    """
    wide: bool = False
    """Use 32-bit integers, for coordinates that don't fit 16 bits (32.767 nm at 0.001 nm)."""
    codec: Literal["fast", "small"] | None = None
    """How chunks are compressed. small takes a tenth less space, five times the time to write and twice the
    time to read. By default fast, or what the store was begun with.
    """
    shard: Annotated[
        Literal["auto", "none"] | int | None, BeforeValidator(_parse_shard), Written("auto|none|SIZE")
    ] = None
    """Chunks of coordinates in one file. none: one. auto: as many as keep a store under about 10,000 files.
    SIZE: as many as fit, such as 256MiB of float32. By default auto, or what the store was begun with.
    """
    memory: Memory = None
    workers: Annotated[int, Field(ge=1, le=4096)] | None = None
    """Processes that read, encode and write; by default as many as there are processors, one for a small job.
    """
    scheduler: Scheduler = None

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if not self.trajectories and self.from_list is None:
            raise ValueError("no trajectory was given; name at least one file or pattern in `trajectories`")
        if self.trajectories and self.from_list is not None:
            raise ValueError("give either `trajectories` or `from_list`, a list of them")
        if (self.ndx is None) != (self.group is None):
            raise ValueError("`ndx` and `group` belong together: an index file and the name of a group in it")
        self._takes_one_of("select", "group")
        if self.every is not None and self.stride > 1:
            raise ValueError("`every` and `stride` exclude each other: give one")
        if self.begin is not None and self.end is not None and self.begin > self.end:
            raise ValueError("`begin` lies after `end`: nothing would be left")
        return self

    @property
    def uses_times(self) -> bool:
        """Whether the times of frames decide which are kept, or come from the user."""
        options = (self.burn_in, self.begin, self.end, self.every, self.dt, self.overlap, self.run_pattern)
        return any(option is not None for option in options)


class ClusterConfig(_Model):
    """How the first pass clusters a subset and picks leaders."""

    name: Name = "default"
    """Name of the clustering."""
    select: RmsdAtoms = None
    mass_weighted: bool = False
    """Weight atoms by mass in the fit and in the RMSD: RMSD² = Σ m |R x + t − y|² / Σ m. Masses are those of
    the elements; if the topology file has no elements (gro, beads), `masses` is needed.
    """
    masses: File | None = None
    """Masses for `mass_weighted`: one number a line for each stored or each selected atom, or lines such as
    CA 12.011 or ALA:BB 72.
    """
    no_fit: bool = False
    """Compare positions as they are, without superposition."""
    align_to: FrameOrFile | None = None
    """Superpose every frame once on this frame of the store, or on a structure (pdb, gro, h5) with the same
    atoms, by the atoms of `align_select`; then compare those of `select` as they lie, as for poses of a
    ligand.
    """
    align_select: Selection | None = None
    """Atoms to superpose by, with `align_to`."""
    symmetry: Equivalent | None = None
    """Take the least RMSD over all exchanges of equivalent atoms, at most 1,000 permutations. auto: the two
    ends of Arg, Asp, Glu, Leu, Phe, Tyr and Val, and what the bonds of a ligand make alike. auto,chains:
    identical chains, too.
    """
    subset_frames: SubsetFrames = None
    stride: SubsetStride = None
    method: Literal["linkage", "gromos", "hdbscan", "kmedoids"] = "linkage"
    """linkage builds a tree and cuts it. gromos takes the frame with the most neighbours within `cutoff` out
    of the subset, together with them, and goes on with the rest (Daura et al., 1999). hdbscan finds dense
    groups of `min_cluster_size` frames or more and leaves the rest as noise, -1; it needs scikit-learn.
    kmedoids finds `n_clusters` medoids to which frames are nearest (FasterPAM); it needs the package
    kmedoids.
    """
    all_frames: bool = False
    """With gromos, cluster every frame instead of a subset, exactly, and store no distances: every pair of
    frames is compared with the cutoff, once or twice.
    """
    linkage: Linkage = "average"
    """Method of the tree. The heights of average, complete, single and weighted are RMSDs. ward, centroid and
    median are made for distances between vectors, which the RMSD isn't: on it, ward still gives compact
    clusters of similar size, but its heights aren't variances. Centroid and median may join clusters at a
    lower height than before, which gives fewer clusters than requested.
    """
    n_clusters: Annotated[Count | Literal["auto"], Written("N|auto")] | None = None
    """Cut the tree into this many clusters; auto takes the number that a scan from 2 to 30 suggests. With
    kmedoids, the number of medoids.
    """
    min_cluster_size: Annotated[Count, Field(ge=2)] = 5
    """With hdbscan, the subset frames that a cluster needs."""
    min_samples: Count | None = None
    """With hdbscan, the neighbours, the frame itself included, by which density is measured: the more, the
    more frames are noise. By default as many as `min_cluster_size`.
    """
    cutoff: Length | None = None
    """Cut the tree at this height: 0.2, 0.2nm or 2A (a bare number is nm). Not for ward, centroid, median and
    rows, whose heights aren't RMSDs. With gromos, the RMSD of neighbours.
    """
    label_order: Literal["share", "linkage"] = "share"
    """How clusters are numbered. share: by their share of the subset, 1 is the largest, and of equals the one
    with the earlier medoid, or that gromos found first. linkage: as scipy's fcluster numbers them.
    """
    leader_method: Literal["faithful", "medoid", "random", "centres"] | None = None
    """faithful: the medoids, then the frames that bring back most first-pass labels. medoid: the medoid, then
    farthest first. random: drawn without replacement. centres: those of gromos, in the order in which it
    found them. By default centres for gromos, else faithful; with `leaders_per_cluster` medoid.
    """
    leaders_per_cluster: Count | None = None
    """Leaders of each cluster, for medoid and random; 1 if not given."""
    faithfulness: Annotated[float, Field(gt=0, le=1), Written("SHARE")] | None = None
    """Add faithful leaders until this share of the subset frames is nearest to a leader of their own cluster;
    0.95 if not given.
    """
    max_leaders: Count | None = None
    """Faithful leaders at most, in all; 5 for each cluster if not given."""
    leader_frames: Annotated[tuple[Frame, ...] | None, BeforeValidator(_split), Written("I,J,...")] = None
    """Frames of the store that lead instead, in this order; they must lie in the subset."""
    rule: Literal["nearest", "first-within"] | None = None
    """Which leader gives a frame its label. nearest: the nearest. first-within: the first in the order of the
    leaders that is within `cutoff`, as gromos takes frames out, and the nearest where none is. By default
    first-within for leader method centres, else nearest.
    """
    keep_subset_labels: bool = False
    """Frames of the subset keep their first-pass label in the second pass, whatever leader is near, and the
    others get theirs by `rule`.
    """
    seed: Seed = 0
    """Seed of random leaders, and of kmedoids."""
    linkage_input: Literal["condensed", "rows"] = "condensed"
    """condensed takes the RMSDs as distances, which is right. rows takes each frame's row of the RMSD matrix
    as a vector and clusters those, as scipy does when given a square matrix and MDTraj's worked example
    relies on; kept to reproduce such results.
    """
    memory: Memory = None
    workers: Threads = None
    scheduler: Scheduler = None

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.masses is not None and not self.mass_weighted:
            raise ValueError("`masses` only matters with `mass_weighted`: set that too, or leave it out")
        if self.no_fit and self.align_to is not None:
            raise ValueError(
                "`no_fit` and `align_to` exclude each other: `align_to` superposes every frame once and then "
                "compares positions as they lie, `no_fit` doesn't superpose at all; give one"
            )
        if (self.align_to is None) != (self.align_select is None):
            raise ValueError(
                "`align_to` says on what frames are superposed and `align_select` by which atoms: give both"
            )
        self._takes_one_of("subset_frames", "stride")
        self._takes_one_of("n_clusters", "cutoff")
        self._fits_the_method()
        if self.method == "linkage" and self.cutoff is not None and self.linkage not in HEIGHT_IS_RMSD:
            raise ValueError(
                f"`cutoff`: with linkage {self.linkage} a height in the tree isn't an RMSD, so a length "
                f"can't cut it; use `n_clusters`, or one of the linkages {', '.join(HEIGHT_IS_RMSD)}"
            )
        if self.cutoff is not None and self.linkage_input == "rows":
            raise ValueError(
                "`cutoff`: with linkage input rows a height in the tree is a distance between rows of the "
                "matrix, not an RMSD; use `n_clusters`, or `linkage_input` condensed"
            )
        if self.leaders_per_cluster is not None and self.leader_method == "faithful":
            raise ValueError(
                "`leaders_per_cluster`: leader method faithful takes as many leaders as it needs; limit them "
                "with `max_leaders`, or use `leader_method` medoid or random"
            )
        if self.leaders_per_cluster is not None and self.leader_method == "centres":
            raise ValueError("`leaders_per_cluster`: each cluster of gromos has one centre; leave it out")
        if self.all_frames:
            self._fits_all_frames()
        elif self.chosen_by != "faithful":
            for option in ("faithfulness", "max_leaders"):
                if getattr(self, option) is not None:
                    raise ValueError(f"`{option}` is for leader method faithful, not {self.chosen_by}")
        if self.leader_frames is not None:
            if not self.leader_frames:
                raise ValueError("`leader_frames` is empty: list frames, or leave it out")
            if len(set(self.leader_frames)) < len(self.leader_frames):
                raise ValueError("`leader_frames` lists a frame twice: a second copy can never be nearest")
        if self.chosen_by == "centres" and self.method != "gromos":
            raise ValueError(
                f"`leader_method` centres: method {self.method} finds none; take faithful or medoid"
            )
        if self.assigned_by == "first-within" and self.cutoff is None:
            raise ValueError(
                "`rule` first-within needs `cutoff`, within which a leader takes frames: cut by it, with "
                "method linkage or gromos, or use `rule` nearest"
            )
        return self

    def metric_options(self) -> dict[str, Any]:
        """Return the options of the metric that were given; none for the default."""
        values = self.model_dump(mode="json", include=set(METRIC_OPTIONS))
        return {name: value for name, value in values.items() if value is not None and value is not False}

    def method_options(self) -> dict[str, Any]:
        """Return the options that determine what the method of the first pass finds."""
        taken = [option for option, takers in METHODS_WITH.items() if self.method in takers]
        taken += ["seed"] if self.method == "kmedoids" else []
        # Switches that are off were no options once.
        return {option: getattr(self, option) for option in taken if getattr(self, option) is not False}

    def _fits_all_frames(self) -> None:
        if self.scheduler is not None:
            raise ValueError("`scheduler`: `all_frames` keeps no distances to be shared out; leave it out")
        others = ("leader_frames", "leaders_per_cluster", "faithfulness", "max_leaders")
        given = [
            option for option in ("subset_frames", "stride", *others) if getattr(self, option) is not None
        ]
        given += ["leader_method"] if self.leader_method not in (None, "centres") else []
        if given:
            raise ValueError(
                f"`{given[0]}`: with `all_frames` every frame is clustered and the centres lead; leave it out"
            )

    def _fits_the_method(self) -> None:
        for option, takers in METHODS_WITH.items():
            default = type(self).model_fields[option].default
            if self.method not in takers and getattr(self, option) != default:
                raise ValueError(
                    f"`{option}` is for method {' or '.join(takers)}, not {self.method}: leave it out, or "
                    "choose another `method`"
                )
        if self.method == "gromos" and self.cutoff is None:
            raise ValueError("method gromos needs `cutoff`, the RMSD below which frames are neighbours")
        if self.method == "kmedoids" and not isinstance(self.n_clusters, int):
            raise ValueError("method kmedoids needs `n_clusters`, a number: auto judges the cuts of a tree")

    @property
    def chosen_by(self) -> str:
        """How leaders are chosen: ``frames``, or a value of ``leader_method``."""
        if self.leader_frames is not None:
            return "frames"
        if self.leader_method is not None or self.leaders_per_cluster is not None:
            return self.leader_method or "medoid"
        limits_faithful = self.faithfulness is not None or self.max_leaders is not None
        return "centres" if self.method == "gromos" and not limits_faithful else "faithful"

    @property
    def assigned_by(self) -> Literal["nearest", "first-within"]:
        """The rule by which leaders give frames their labels."""
        return self.rule or ("first-within" if self.chosen_by == "centres" else "nearest")

    @property
    def within_nm(self) -> float | None:
        """Distance below which the first leader takes a frame, nm; None if the nearest does."""
        return self.cutoff if self.assigned_by == "first-within" else None


class LeadersConfig(_Model):
    """How structures from outside lead a clustering."""

    name: Name = "default"
    """Name of the clustering."""
    select: Selection | None = None
    """With structures from outside: atoms of the RMSD, by default as in twopass cluster. Every structure must
    have them.
    """
    leader_labels: Literal["order", "file"] = "order"
    """With structures from outside: order makes each a cluster of its own, from 1; file makes those of a file
    one cluster. Clusters are numbered in the order given.
    """
    symmetry: Equivalent | None = None
    """With structures from outside: exchange equivalent atoms as in twopass cluster."""
    memory: Memory = None


class ScanConfig(_Model):
    """Which cuts of which trees are judged."""

    n_clusters: Annotated[tuple[Count, Count], BeforeValidator(_parse_range), Written("FIRST:LAST")] = Field(
        default="2:30", validate_default=True
    )
    """First and last number of clusters."""
    linkage: Annotated[tuple[Linkage, ...], BeforeValidator(_listed), Field(min_length=1)] = ("average",)
    """Methods of the tree to compare."""
    name: Name | None = None
    """Take the subset, atoms and metric of this clustering."""
    select: RmsdAtoms = None
    subset_frames: SubsetFrames = None
    stride: SubsetStride = None
    memory: Memory = None
    workers: Threads = None


class RecutConfig(_Model):
    """Where the tree of a clustering is cut anew."""

    name: OnlyName = None
    n_clusters: Annotated[Count | Literal["auto"], Written("N|auto")] | None = None
    """Cut the tree into this many clusters."""
    cutoff: Length | None = None
    """Cut it at this height instead: 0.2, 0.2nm or 2A (a bare number is nm)."""
    memory: Memory = None
    workers: Threads = None


class AssignConfig(_Model):
    """How the second pass runs; only the noise cutoff and the cover change its labels."""

    name: OnlyName = None
    noise_cutoff: Length | None = None
    """Give frames farther than this from every leader the label -1 and the status beyond_noise_cutoff: 0.2,
    0.2nm or 2A (a bare number is nm).
    """
    cover: Length | None = None
    """Make frames farther than this from every leader leaders themselves, one after the other, until every
    frame is within it of one: 0.15, 0.15nm or 1.5A (a bare number is nm). Each is a new cluster. It finds
    states that the stride of the first pass missed.
    """
    cover_link: bool = False
    """Let leaders of `cover` join the cluster whose linkage distance from them is least, if that is below the
    height at which the tree was cut; only those that none is near enough to open a cluster. For average,
    complete, single and weighted linkage.
    """
    max_leaders: Count | None = None
    """Leaders at most with `cover`, those of the first pass included. By default as many as half of the
    memory has room for, and at most 10,000.
    """
    margin: bool = False
    """Find each frame's nearest leader of another cluster too, to tell how certain its label is; also if the
    labels exist already. Takes about as long as the labels.
    """
    memory: Memory = None
    workers: Threads = None
    scheduler: Scheduler = None

    @model_validator(mode="after")
    def _covers(self) -> Self:
        for option in ("cover_link", "max_leaders"):
            if getattr(self, option) and self.cover is None:
                raise ValueError(f"`{option}` goes with `cover`: give that too, or leave it out")
        return self


class WorkConfig(_Model):
    """Which part of a planned job is done, and with what."""

    name: OnlyName = None
    part: Annotated[tuple[Count, Count], BeforeValidator(_parse_part), Written("K/N")] = Field(
        default="1/1", validate_default=True
    )
    """The kth of n parts, counted from 1. What was done is left out, so any part may be repeated."""
    memory: Memory = None
    workers: Threads = None


class SummaryConfig(_Model):
    """What a summary tells."""

    name: OnlyName = None
    by: Annotated[str, Written("run|trajectory|blocks:N")] | None = None
    """Count frames by run, by source file, or by N blocks of time: each run is cut into N blocks, and the kth
    blocks of all runs are taken together.
    """
    convergence: bool = False
    """Repeat the first pass with twice and four times its stride, from the stored distances, to see whether
    the stride was fine enough. With csv as `format`, that table alone is printed.
    """
    seed: Seed = 0
    """Seed of the bootstrap over runs."""
    memory: Memory = None


class CompareConfig(_Model):
    """Which labels are compared."""

    name: OnlyName = None
    column: Count | None = None
    """Column of the labels in the file, from 1; by default the last."""


class _Sources(_Model):
    """Where positions come from that are written."""

    from_source: bool = False
    """Read the frames from the files that the store was made from, with all their atoms: also the solvent, if
    it was left out.
    """
    image: Image | None = None
    """How `from_source` undoes periodic images: none, whole or anchor=SELECTION, see twopass ingest. By
    default as the store was ingested.
    """

    @model_validator(mode="after")
    def _images_sources(self) -> Self:
        if self.image is not None and not self.from_source:
            raise ValueError("`image` goes with `from_source`: positions in the store stay as they are")
        return self


class ExportConfig(_Sources):
    """Which frames are written."""

    frames: Annotated[Any, Written("START:STOP:STEP")] = None
    """Frames of the store, counted from 0, STOP left out: 0:1000:10, 5000:, ::2, -100: (the last hundred) or
    7; by default all.
    """
    cluster: Annotated[tuple[Count, ...], BeforeValidator(_listed)] = ()
    """Only frames of this cluster; may be given several times."""
    stride: Count = 1
    """Every nth of the frames so chosen."""
    name: OnlyName = None
    top_to: File | None = None
    """Write the first of these frames there as a topology: pdb, gro, h5 or cif."""


class StructuresConfig(_Sources):
    """Which structures are written."""

    of: Literal["medoids", "leaders", "averages"] = "medoids"
    """medoids: the subset frame of each cluster nearest to its others. leaders: those of the second pass.
    averages: of all frames of each cluster, superposed on its medoid.
    """
    representatives: Count | None = None
    """So many frames of each cluster, spread over it: the medoid, then always the subset frame farthest from
    those taken.
    """
    by: Literal["run"] | None = None
    """Structures of each cluster in each run."""
    name: OnlyName = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.representatives is not None and self.of != "medoids":
            raise ValueError(
                f"`representatives` begin with the medoids and can't be of {self.of}: leave `of` out"
            )
        if self.by is not None and self.of == "leaders":
            raise ValueError("`by`: leaders stand for all runs together; take medoids or averages")
        if self.from_source and self.of == "averages":
            raise ValueError("`from_source`: an average is no frame of a file; take medoids, or leave it out")
        return self


class RunConfig(_Model):
    """One run of the whole pipeline."""

    store: Annotated[str, Written("FILE")]
    """Path of the store."""
    ingest: IngestConfig
    cluster: ClusterConfig = ClusterConfig()
    assign: AssignConfig = AssignConfig()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.assign.name not in (None, self.cluster.name):
            raise ValueError(
                f"assign.name is {self.assign.name!r}, but this run clusters as {self.cluster.name!r}; "
                "leave assign.name out"
            )
        within = self.cluster.within_nm
        for option in ("noise_cutoff", "cover"):
            length = getattr(self.assign, option)
            if length is not None and within is not None and length < within:
                raise ValueError(
                    f"assign.{option} is less than cluster.cutoff, within which a leader takes frames "
                    "(cluster.rule first-within): these have their label. Give at least that, or "
                    "cluster.rule nearest"
                )
        return self
