"""The models. A field is named as its option, with underscores."""

import re
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from .quantities import parse_bytes, parse_length_nm, parse_time_ps

__all__ = [
    "HEIGHT_IS_RMSD",
    "LINKAGE_METHODS",
    "METRIC_OPTIONS",
    "AssignConfig",
    "ClusterConfig",
    "CompareConfig",
    "IngestConfig",
    "RunConfig",
    "SummaryConfig",
]

Linkage = Literal["average", "ward", "complete", "single", "weighted", "centroid", "median"]

LINKAGE_METHODS: tuple[str, ...] = get_args(Linkage)

HEIGHT_IS_RMSD = ("average", "complete", "single", "weighted")
"""Linkages whose heights are RMSDs, so that a cutoff in nm means something."""


METRIC_OPTIONS = ("mass_weighted", "masses", "no_fit", "align_to", "align_select")
"""Fields of `ClusterConfig` that choose another metric than the minimal RMSD of atoms of equal weight."""


def _split(value: Any) -> Any:
    """Take ``1,2,3`` as well as a list."""
    return [part for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _parse_precision(value: Any) -> Any:
    return value if value in ("auto", "lossless") else parse_length_nm(value)


def _frame_or_path(value: Any) -> Any:
    """Take ``12`` as well as 12; another text is a path."""
    return int(value) if isinstance(value, str) and value.strip().isdecimal() else value


def _parse_shard(value: Any) -> Any:
    return value if value in (None, "auto", "none") else parse_bytes(value)


# More than any disk holds, and products of two of them with any count of ours are exact in 64 bits.
MAX_COUNT = 10**12
Frame = Annotated[int, Field(ge=0, le=MAX_COUNT)]
Count = Annotated[int, Field(ge=1, le=MAX_COUNT)]
Workers = Annotated[int, Field(ge=1, le=4096)]
Seed = Annotated[int, Field(ge=0, lt=1 << 63)]
Memory = Annotated[int, BeforeValidator(parse_bytes)]
LengthNm = Annotated[float, BeforeValidator(parse_length_nm)]
TimePs = Annotated[float, BeforeValidator(parse_time_ps)]
Interval = Annotated[float, BeforeValidator(parse_time_ps), Field(gt=0)]
FrameOrPath = Annotated[
    Annotated[Frame, Field(strict=True)] | Annotated[str, Field(min_length=1)],
    BeforeValidator(_frame_or_path),
]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=100)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class IngestConfig(_Model):
    """Which frames and atoms go into the store.

    Attributes
    ----------
    trajectories
        Files and glob patterns; a glob's files come in natural order.
    from_list
        A list of trajectories with their topologies instead, see `read_manifest`.
    top
        Topology file; may be left out where the trajectories carry their own.
    select
        Atoms, in mdtraj's language; all atoms where None.
    ndx, group
        A GROMACS index file and the name of the group in it that is kept, instead of `select`.
    image
        How periodic images are undone: ``none``, ``whole`` (molecules are made whole), or ``anchor=`` and a
        selection whose molecules are brought together, and all others to them.
    run_pattern
        A regular expression over a file's path, whose group ``run``, or first group, names the simulation
        that the file is a part of.
    overlap
        What becomes of frames at times that a later part of the same run covers again.
    burn_in
        Left out at the beginning of each run, ps.
    begin, end
        First and last time kept, ps.
    every
        Time between the frames kept of a run, ps.
    dt
        Time between frames of files whose format has no times, ps.
    stride
        Every stride-th frame of each file, after `discard_first`; where times or runs are asked for, of each
        run.
    discard_first
        Frames left out at the beginning of each file.
    precision
        ``auto`` keeps coordinates on a grid (XTC) as integers, bit for bit, and others as float32;
        ``lossless`` keeps all as float32; a length (nm) rounds to it.
    wide
        Integers of 32 bits from the start, for coordinates that 16 don't hold.
    codec
        ``fast`` or ``small``; None for the default, or what a store was begun with.
    shard
        Chunks of positions in one file: one with ``none``, as many as keep the number of files low with
        ``auto``, or as many as fit a size (decoded to float32); None for ``auto``, or what a store was begun
        with.
    memory, workers
        Bytes that the stage may use; processes.
    """

    trajectories: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()
    from_list: str | None = None
    top: str | None = None
    select: str | None = None
    ndx: str | None = None
    group: str | None = None
    image: Annotated[str, Field(pattern=r"^(none|whole|anchor=.*\S.*)$")] = "none"
    run_pattern: Annotated[str, Field(max_length=1000)] | None = None
    overlap: Literal["later", "keep", "error"] = "later"
    burn_in: TimePs | None = None
    begin: TimePs | None = None
    end: TimePs | None = None
    every: Interval | None = None
    dt: Interval | None = None
    stride: Count = 1
    discard_first: Frame = 0
    precision: Annotated[
        Literal["auto", "lossless"] | Annotated[float, Field(ge=1e-6, le=0.1)],
        BeforeValidator(_parse_precision),
    ] = "auto"
    wide: bool = False
    codec: Literal["fast", "small"] | None = None
    shard: Annotated[Literal["auto", "none"] | int | None, BeforeValidator(_parse_shard)] = None
    memory: Memory | None = None
    workers: Workers | None = None

    @field_validator("trajectories")
    @classmethod
    def _has_some(cls, trajectories: tuple[str, ...]) -> tuple[str, ...]:
        if not trajectories:
            raise ValueError("no trajectory was given; name at least one file or pattern")
        return trajectories

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if bool(self.trajectories) == (self.from_list is not None):
            raise ValueError("give either trajectories or from_list, a list of them")
        if (self.ndx is None) != (self.group is None):
            raise ValueError("ndx and group belong together: an index file and the name of a group in it")
        if self.select is not None and self.group is not None:
            raise ValueError("select and group exclude each other: give one")
        if self.every is not None and self.stride > 1:
            raise ValueError("every and stride exclude each other: give one")
        if self.begin is not None and self.end is not None and self.begin > self.end:
            raise ValueError("begin lies after end: nothing would be left")
        if self.run_pattern is not None:
            try:
                re.compile(self.run_pattern)
            except (re.error, RecursionError, OverflowError) as error:
                raise ValueError(f"run_pattern is no regular expression: {error}") from None
        return self

    @property
    def uses_times(self) -> bool:
        """Whether the times of frames decide which are kept, or come from the user."""
        options = (self.burn_in, self.begin, self.end, self.every, self.dt, self.run_pattern)
        return any(option is not None for option in options)


class ClusterConfig(_Model):
    """How the first pass clusters a subset and picks leaders.

    Attributes
    ----------
    name
        Name of the clustering.
    select
        Atoms of the RMSD, in mdtraj's language, among those stored; C-alphas or heavy atoms where None.
    mass_weighted
        Whether fit and RMSD are weighted by the atoms' masses.
    masses
        A file that gives the masses, see `read_masses`; those of the elements where None.
    no_fit
        Whether positions are compared as they are, not superposed.
    align_to, align_select
        A frame of the store or a structure file on which every frame is superposed once, by these atoms;
        positions are then compared as they lie.
    subset_frames, stride
        At most so many frames, or every stride-th frame of the store; 10,000 frames where both are None.
    method
        ``linkage`` cuts a tree; ``gromos`` counts neighbours nearer than `cutoff`.
    linkage, linkage_input
        Method of the tree, and whether it takes the condensed RMSDs or the rows of their square matrix.
    n_clusters, cutoff
        Where to cut the tree: how many clusters (``auto``: as many as figures of the cuts from 2 to 30
        suggest), or at what height (nm). One of them.
    leader_method
        How leaders are chosen: ``faithful`` where None, or ``medoid`` where `leaders_per_cluster` is given.
    leaders_per_cluster, seed
        Leaders of each cluster by ``medoid`` and ``random``, 1 where None; seed of ``random``.
    faithfulness, max_leaders
        Share of the subset's labels that ``faithful`` leaders bring back where they can, 0.95 where None;
        and how many there may be in all, 5 for each cluster where None.
    leader_frames
        Frames of the store to lead instead, in this order.
    memory, workers
        Bytes that the stage may use; threads.
    """

    name: Name = "default"
    select: str | None = None
    mass_weighted: bool = False
    masses: str | None = None
    no_fit: bool = False
    align_to: FrameOrPath | None = None
    align_select: str | None = None
    subset_frames: Count | None = None
    stride: Count | None = None
    method: Literal["linkage", "gromos"] = "linkage"
    linkage: Linkage = "average"
    linkage_input: Literal["condensed", "rows"] = "condensed"
    n_clusters: Count | Literal["auto"] | None = None
    cutoff: LengthNm | None = None
    leader_method: Literal["faithful", "medoid", "random"] | None = None
    leaders_per_cluster: Count | None = None
    faithfulness: float | None = Field(default=None, gt=0, le=1)
    max_leaders: Count | None = None
    leader_frames: Annotated[tuple[Frame, ...] | None, BeforeValidator(_split)] = None
    seed: Seed = 0
    memory: Memory | None = None
    workers: Workers | None = None

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.masses is not None and not self.mass_weighted:
            raise ValueError("masses only matters with mass_weighted: set that too, or leave masses out")
        if self.no_fit and self.align_to is not None:
            raise ValueError(
                "no_fit and align_to exclude each other: align_to superposes every frame once and then "
                "compares positions as they lie, no_fit doesn't superpose at all; give one"
            )
        if (self.align_to is None) != (self.align_select is None):
            raise ValueError(
                "align_to says on what frames are superposed and align_select by which atoms: give both"
            )
        if self.subset_frames is not None and self.stride is not None:
            raise ValueError("subset_frames and stride exclude each other: give one")
        if self.n_clusters is not None and self.cutoff is not None:
            raise ValueError("n_clusters and cutoff exclude each other: give one")
        if self.method == "gromos":
            self._has_what_gromos_needs()
        elif self.cutoff is not None and self.linkage not in HEIGHT_IS_RMSD:
            raise ValueError(
                f"cutoff: with linkage {self.linkage} a height in the tree isn't an RMSD, so a length "
                f"can't cut it; use n_clusters, or one of the linkages {', '.join(HEIGHT_IS_RMSD)}"
            )
        if self.cutoff is not None and self.linkage_input == "rows":
            raise ValueError(
                "cutoff: with linkage_input rows a height in the tree is a distance between rows of the "
                "matrix, not an RMSD; use n_clusters, or linkage_input condensed"
            )
        if self.leaders_per_cluster is not None and self.leader_method == "faithful":
            raise ValueError(
                "leaders_per_cluster: leader_method faithful takes as many leaders as it needs; limit them "
                "with max_leaders, or use leader_method medoid or random"
            )
        if self.chosen_by != "faithful":
            for option in ("faithfulness", "max_leaders"):
                if getattr(self, option) is not None:
                    raise ValueError(f"{option} is for leader_method faithful, not {self.chosen_by}")
        if self.leader_frames is not None:
            if not self.leader_frames:
                raise ValueError("leader_frames is empty: list frames, or leave it out")
            if len(set(self.leader_frames)) < len(self.leader_frames):
                raise ValueError("leader_frames lists a frame twice: a second copy can never be nearest")
        return self

    def metric_options(self) -> dict[str, Any]:
        """Return the options of the metric that were given; none for the default."""
        values = self.model_dump(mode="json", include=set(METRIC_OPTIONS))
        return {name: value for name, value in values.items() if value is not None and value is not False}

    def _has_what_gromos_needs(self) -> None:
        if self.n_clusters is not None:
            raise ValueError(
                "n_clusters: method gromos finds as many clusters as its cutoff makes; give cutoff, or use "
                "method linkage"
            )
        if self.cutoff is None:
            raise ValueError("method gromos needs cutoff, the RMSD below which frames are neighbours")
        if self.linkage_input == "rows":
            raise ValueError("linkage_input: method gromos makes no tree; leave it out")

    @property
    def chosen_by(self) -> str:
        """How leaders come about: ``frames``, ``faithful``, ``medoid`` or ``random``."""
        if self.leader_frames is not None:
            return "frames"
        return self.leader_method or ("faithful" if self.leaders_per_cluster is None else "medoid")


class AssignConfig(_Model):
    """How the second pass runs; only the noise cutoff changes its result.

    Attributes
    ----------
    name
        Name of the clustering; may be left out where there is only one.
    noise_cutoff
        Frames farther (nm) than this from every leader get no label; all get one where None.
    margin
        Whether to find the nearest leader of another cluster too.
    memory
        Bytes that the stage may use; half of what is available where None.
    workers
        Threads; all processors available where None.
    scheduler
        Address of a `dask.distributed` scheduler to run on instead.
    """

    name: Name | None = None
    noise_cutoff: LengthNm | None = None
    margin: bool = False
    memory: Memory | None = None
    workers: Workers | None = None
    scheduler: str | None = None


class SummaryConfig(_Model):
    """What a summary tells.

    Attributes
    ----------
    name
        Name of the clustering; may be left out where there is only one.
    by
        What frames are counted by besides: ``run``, ``trajectory`` or ``blocks:N``.
    seed
        Of the bootstrap over runs.
    memory
        Bytes that it may use; half of what is available where None.
    """

    name: Name | None = None
    by: str | None = None
    seed: Seed = 0
    memory: Memory | None = None


class CompareConfig(_Model):
    """What labels are compared.

    Attributes
    ----------
    name
        Name of the clustering; may be left out where there is only one.
    column
        Column of the labels in the file, from 1; the last where None.
    """

    name: Name | None = None
    column: Count | None = None


class RunConfig(_Model):
    """One run of the whole pipeline."""

    store: str
    ingest: IngestConfig
    cluster: ClusterConfig = ClusterConfig()
    assign: AssignConfig = AssignConfig()

    @model_validator(mode="after")
    def _is_one_clustering(self) -> Self:
        if self.assign.name not in (None, self.cluster.name):
            raise ValueError(
                f"assign.name is {self.assign.name!r}, but this run clusters as {self.cluster.name!r}; "
                "leave assign.name out"
            )
        return self
