"""The options of every stage but the first pass: names, types, units, defaults and help, each said once.

The command line, TOML files, keyword arguments and the reference page derive from these models.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from . import kinds
from .first_pass import ClusterConfig
from .kinds import Options

__all__ = [
    "AssignConfig",
    "CompareConfig",
    "ExportConfig",
    "IngestConfig",
    "RunConfig",
    "StructuresConfig",
    "SummaryConfig",
    "WorkConfig",
]


class IngestConfig(Options):
    """Which frames and atoms go into the store, and how they are stored."""

    trajectories: kinds.Files = ()
    """Trajectory files and glob patterns, in the order of their frames; the files of a pattern come in
    natural order.
    """
    from_list: kinds.File | None = None
    """A list of trajectories instead: CSV with the columns path, topology, label, run, replica, temperature
    (only path is required), or TOML with a table [[trajectory]] for each. Paths are relative to the list.
    """
    top: kinds.File | None = None
    """Topology file; not needed if the trajectories carry their own."""
    reader: Literal["mdtraj", "mdanalysis"] = "mdtraj"
    """What reads topologies and trajectories. mdanalysis, which must be installed, reads formats that mdtraj
    doesn't, one frame at a time.
    """
    format: Annotated[str, kinds.Written("NAME")] | None = None
    """Read the trajectories as this format, named by its extension, such as nc. By default each as what its
    content says it is, or its extension if that leaves it open.
    """
    select: kinds.Selection | None = None
    """Atoms to keep, in mdtraj's selection language, such as "protein"; by default all."""
    ndx: kinds.File | None = None
    """GROMACS index file with the `group` to keep, instead of `select`."""
    group: Annotated[str, kinds.Written("NAME")] | None = None
    """Group of `ndx`: its name, or its number from 0."""
    image: kinds.Image = "none"
    """Undo periodic images before atoms are selected: whole makes molecules whole; anchor=SELECTION, such as
    anchor=protein, also brings the molecules of the selection together and the others to them.
    """
    run_pattern: kinds.Pattern | None = None
    """Which simulation a file is a part of: what the group (?P<run>...), or the first group, matches in its
    path, such as '(rep[0-9]+)/'. The parts of a run are put in order of time.
    """
    overlap: Literal["later", "keep", "error"] | None = None
    """Frames at times that a later part of the run covers again, also where time goes back within a file:
    later keeps those of the later part, keep keeps both, error refuses them. By default later where times or
    runs choose frames, otherwise keep, with a note.
    """
    burn_in: kinds.Time | None = None
    """Leave out the beginning of each run, such as "100 ns" (a bare number is ps)."""
    begin: kinds.Time | None = None
    """First time to keep (a bare number is ps)."""
    end: kinds.Time | None = None
    """Last time to keep (a bare number is ps)."""
    every: kinds.Interval | None = None
    """Time between the frames to keep of each run, such as "100 ps" (a bare number is ps)."""
    dt: kinds.Interval | None = None
    """Time between frames, for formats that store no times, such as "10 ps" (a bare number is ps). For LAMMPS
    dumps, time between steps: a frame's time is its TIMESTEP times this.
    """
    stride: kinds.Count = 1
    """Keep every nth frame of each file (of each run, if there are runs)."""
    discard_first: kinds.Frame = 0
    """Frames to leave out at the beginning of each file."""
    strict: bool = False
    """Refuse files that are unfinished, instead of taking their whole frames."""
    precision: kinds.Precision = "auto"
    """How coordinates are stored. auto: exactly, as integers if they lie on a grid (XTC), else as float32.
    lossless: exactly, as float32. A length, 0.001 (nm) or 0.01A, rounds to it.
    """
    wide: bool = False
    """Use 32-bit integers, for coordinates that don't fit 16 bits (32.767 nm at 0.001 nm)."""
    codec: Literal["fast", "small"] | None = None
    """How chunks are compressed. small takes a tenth less space, five times the time to write and twice the
    time to read. By default fast, or what the store was begun with.
    """
    shard: kinds.Shard | None = None
    """Chunks of coordinates in one file. none: one. auto: as many as keep them under 8,000 files.
    SIZE: as many as fit, such as 256MiB of float32. By default auto, or what the store was begun with.
    """
    memory: kinds.Memory = None
    workers: Annotated[int, Field(ge=1, le=4096)] | None = None
    """Processes that read, encode and write; by default as many as there are processors, one for a small job.
    """
    scheduler: kinds.Scheduler = None

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if not self.trajectories and self.from_list is None:
            raise ValueError("no trajectory was given; name at least one file or pattern in `trajectories`")
        if self.trajectories and self.from_list is not None:
            raise ValueError("give either `trajectories` or `from_list`, a list of them")
        if (self.ndx is None) != (self.group is None):
            raise ValueError("`ndx` and `group` belong together: an index file and the name of a group in it")
        self.takes_one_of("select", "group")
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


class AssignConfig(Options):
    """How the second pass runs; only the noise cutoff and the cover change its labels."""

    name: kinds.OnlyName = None
    noise_cutoff: kinds.Length | None = None
    """Give frames farther than this from every leader the label -1 and the status beyond_noise_cutoff: 0.2,
    0.2nm or 2A (a bare number is nm).
    """
    cover: kinds.Length | None = None
    """Make frames farther than this from every leader leaders themselves, one after the other, until every
    frame is within it of one: 0.15, 0.15nm or 1.5A (a bare number is nm). Each is a new cluster. It finds
    states that the stride of the first pass missed.
    """
    cover_link: bool = False
    """Let leaders of `cover` join the cluster whose linkage distance from them is least, if that is below the
    height at which the tree was cut; only those that none is near enough to open a cluster. For average,
    complete, single and weighted linkage.
    """
    max_leaders: kinds.Count | None = None
    """Leaders at most with `cover`, those of the first pass included. By default as many as half of the
    memory has room for, and at most 10,000.
    """
    margin: bool = False
    """Find each frame's nearest leader of another cluster too, to tell how certain its label is; also if the
    labels exist already. Takes about as long as the labels.
    """
    memory: kinds.Memory = None
    workers: kinds.Threads = None
    scheduler: kinds.Scheduler = None

    @model_validator(mode="after")
    def _covers(self) -> Self:
        for option in ("cover_link", "max_leaders"):
            if getattr(self, option) and self.cover is None:
                raise ValueError(f"`{option}` goes with `cover`: give that too, or leave it out")
        return self


class WorkConfig(Options):
    """Which part of a planned job is done, and with what."""

    name: kinds.OnlyName = None
    part: kinds.Part = Field(default="1/1", validate_default=True)
    """The kth of n parts, counted from 1. What was done is left out, so any part may be repeated."""
    memory: kinds.Memory = None
    workers: kinds.Threads = None


class SummaryConfig(Options):
    """What a summary tells."""

    name: kinds.OnlyName = None
    by: Annotated[str, kinds.Written("run|trajectory|blocks:N")] | None = None
    """Count frames by run, by source file, or by N blocks of time: each run is cut into N blocks, and the kth
    blocks of all runs are taken together.
    """
    convergence: bool = False
    """Repeat the first pass with twice and four times its stride, from the stored distances, to see whether
    the stride was fine enough. With csv as `format`, that table alone is printed.
    """
    seed: kinds.Seed = 0
    """Seed of the bootstrap over runs."""
    memory: kinds.Memory = None


class CompareConfig(Options):
    """Which labels are compared."""

    name: kinds.OnlyName = None
    column: kinds.Count | None = None
    """Column of the labels in the file, from 1; by default the last."""


class _Sources(Options):
    """Where positions come from that are written."""

    from_source: bool = False
    """Read the frames from the files that the store was made from, with all their atoms: also the solvent, if
    it was left out.
    """
    image: kinds.Image | None = None
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

    frames: Annotated[Any, kinds.Written("START:STOP:STEP")] = None
    """Frames of the store, counted from 0, STOP left out: 0:1000:10, 5000:, ::2, -100: (the last hundred) or
    7; by default all.
    """
    cluster: kinds.Counts = ()
    """Only frames of this cluster; may be given several times."""
    stride: kinds.Count = 1
    """Every nth of the frames so chosen."""
    name: kinds.OnlyName = None
    top_to: kinds.File | None = None
    """Write the first of these frames there as a topology: pdb, gro, h5 or cif."""


class StructuresConfig(_Sources):
    """Which structures are written."""

    of: Literal["medoids", "leaders", "averages"] = "medoids"
    """medoids: the subset frame of each cluster nearest to its others. leaders: those of the second pass.
    averages: of all frames of each cluster, superposed on its medoid.
    """
    representatives: kinds.Count | None = None
    """So many frames of each cluster, spread over it: the medoid, then always the subset frame farthest from
    those taken.
    """
    by: Literal["run"] | None = None
    """Structures of each cluster in each run."""
    name: kinds.OnlyName = None

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


class RunConfig(Options):
    """One run of the whole pipeline."""

    store: Annotated[str, kinds.Written("FILE")]
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
