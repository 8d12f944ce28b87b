"""Options of the first pass: how a subset is clustered, judged and cut anew, or leaders come from outside."""

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, model_validator

from . import kinds
from .kinds import Options

__all__ = [
    "HEIGHT_IS_RMSD",
    "LINKAGE_METHODS",
    "METRIC_OPTIONS",
    "ClusterConfig",
    "LeadersConfig",
    "RecutConfig",
    "ScanConfig",
]

LINKAGE_METHODS: tuple[str, ...] = get_args(kinds.Linkage)

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


class ClusterConfig(Options):
    """How the first pass clusters a subset and picks leaders."""

    name: kinds.Name = "default"
    """Name of the clustering."""
    select: kinds.RmsdAtoms = None
    mass_weighted: bool = False
    """Weight atoms by mass in the fit and in the RMSD: RMSD² = Σ m |R x + t − y|² / Σ m. Masses are those of
    the elements; if the topology file has no elements (gro, beads), `masses` is needed.
    """
    masses: kinds.File | None = None
    """Masses for `mass_weighted`: one number a line for each stored or each selected atom, or lines such as
    CA 12.011 or ALA:BB 72.
    """
    no_fit: bool = False
    """Compare positions as they are, without superposition."""
    align_to: kinds.FrameOrFile | None = None
    """Superpose every frame once on this frame of the store, or on a structure (pdb, gro, h5) with the same
    atoms, by the atoms of `align_select`; then compare those of `select` as they lie, as for poses of a
    ligand.
    """
    align_select: kinds.Selection | None = None
    """Atoms to superpose by, with `align_to`."""
    symmetry: kinds.Equivalent | None = None
    """Take the least RMSD over all exchanges of equivalent atoms, at most 1,000 permutations. auto: the two
    ends of Arg, Asp, Glu, Leu, Phe, Tyr and Val, and what the bonds of a ligand make alike. auto,chains:
    identical chains, too.
    """
    subset_frames: kinds.SubsetFrames = None
    stride: kinds.SubsetStride = None
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
    linkage: kinds.Linkage = "average"
    """Method of the tree. The heights of average, complete, single and weighted are RMSDs. ward, centroid and
    median are made for distances between vectors, which the RMSD isn't: on it, ward still gives compact
    clusters of similar size, but its heights aren't variances. Centroid and median may join clusters at a
    lower height than before, which gives fewer clusters than requested.
    """
    n_clusters: kinds.NClusters | None = None
    """Cut the tree into this many clusters; auto takes the number that a scan from 2 to 30 suggests. With
    kmedoids, the number of medoids.
    """
    min_cluster_size: Annotated[kinds.Count, Field(ge=2)] = 5
    """With hdbscan, the subset frames that a cluster needs."""
    min_samples: kinds.Count | None = None
    """With hdbscan, the neighbours, the frame itself included, by which density is measured: the more, the
    more frames are noise. By default as many as `min_cluster_size`.
    """
    cutoff: kinds.Length | None = None
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
    leaders_per_cluster: kinds.Count | None = None
    """Leaders of each cluster, for medoid and random; 1 if not given."""
    faithfulness: Annotated[float, Field(gt=0, le=1), kinds.Written("SHARE")] | None = None
    """Add faithful leaders until this share of the subset frames is nearest to a leader of their own cluster;
    0.95 if not given.
    """
    max_leaders: kinds.Count | None = None
    """Faithful leaders at most, in all; 5 for each cluster if not given."""
    leader_frames: kinds.Frames | None = None
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
    seed: kinds.Seed = 0
    """Seed of random leaders, and of kmedoids."""
    linkage_input: Literal["condensed", "rows"] = "condensed"
    """condensed takes the RMSDs as distances, which is right. rows takes each frame's row of the RMSD matrix
    as a vector and clusters those, as scipy does when given a square matrix and MDTraj's worked example
    relies on; kept to reproduce such results.
    """
    memory: kinds.Memory = None
    workers: kinds.Threads = None
    scheduler: kinds.Scheduler = None

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
        self.takes_one_of("subset_frames", "stride")
        self.takes_one_of("n_clusters", "cutoff")
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


class LeadersConfig(Options):
    """How structures from outside lead a clustering."""

    name: kinds.Name = "default"
    """Name of the clustering."""
    select: kinds.Selection | None = None
    """With structures from outside: atoms of the RMSD, by default as in twopass cluster. Every structure must
    have them.
    """
    leader_labels: Literal["order", "file"] = "order"
    """With structures from outside: order makes each a cluster of its own, from 1; file makes those of a file
    one cluster. Clusters are numbered in the order given.
    """
    symmetry: kinds.Equivalent | None = None
    """With structures from outside: exchange equivalent atoms as in twopass cluster."""
    memory: kinds.Memory = None


class ScanConfig(Options):
    """Which cuts of which trees are judged."""

    n_clusters: kinds.Range = Field(default="2:30", validate_default=True)
    """First and last number of clusters."""
    linkage: kinds.Linkages = ("average",)
    """Methods of the tree to compare."""
    name: kinds.Name | None = None
    """Take the subset, atoms and metric of this clustering."""
    select: kinds.RmsdAtoms = None
    subset_frames: kinds.SubsetFrames = None
    stride: kinds.SubsetStride = None
    memory: kinds.Memory = None
    workers: kinds.Threads = None


class RecutConfig(Options):
    """Where the tree of a clustering is cut anew."""

    name: kinds.OnlyName = None
    n_clusters: kinds.NClusters | None = None
    """Cut the tree into this many clusters."""
    cutoff: kinds.Length | None = None
    """Cut it at this height instead: 0.2, 0.2nm or 2A (a bare number is nm)."""
    memory: kinds.Memory = None
    workers: kinds.Threads = None
