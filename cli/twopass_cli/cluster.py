"""``twopass cluster``: the first pass."""

from typing import Annotated

import typer

from .options import BreakLock, Debug, Memory, Name, Quiet, Restart, StoreArgument, Workers

__all__ = ["cluster"]


def cluster(
    store: StoreArgument,
    name: Name = "default",
    select: Annotated[
        str | None,
        typer.Option(
            metavar="DSL",
            help="Atoms of the RMSD, in mdtraj's language; by default the C-alphas where there is a protein "
            "of at least 10 residues, else all heavy atoms.",
        ),
    ] = None,
    mass_weighted: Annotated[
        bool,
        typer.Option(
            "--mass-weighted",
            help="Weight atoms by mass, in the fit and in the RMSD. Masses are those of the elements; where "
            "the topology file has no elements (gro, beads), --masses is needed.",
        ),
    ] = False,
    masses: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Masses for --mass-weighted: a number a line for each stored or each selected atom, or "
            "lines such as CA 12.011 or ALA:BB 72.",
        ),
    ] = None,
    no_fit: Annotated[
        bool, typer.Option("--no-fit", help="Compare positions as they are, without superposition.")
    ] = False,
    align_to: Annotated[
        str | None,
        typer.Option(
            metavar="FRAME|FILE",
            help="Superpose every frame once on this frame of the store, or on a structure (pdb, gro, h5) "
            "with the same atoms, by --align-select; then compare --select as it lies. For poses of a "
            'ligand: --align-to 0 --align-select "name CA" --select "resname LIG".',
        ),
    ] = None,
    align_select: Annotated[
        str | None, typer.Option(metavar="DSL", help="Atoms to superpose by, with --align-to.")
    ] = None,
    subset_frames: Annotated[
        int | None,
        typer.Option(min=1, help="Cluster at most so many frames, evenly spaced.  [default: 10000]"),
    ] = None,
    stride: Annotated[
        int | None, typer.Option(min=1, help="Cluster every N-th frame of the store instead.")
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            help="linkage makes a tree and cuts it. gromos takes the frame with most neighbours nearer than "
            "--cutoff out of the subset, with them, and so on with the rest, as gmx cluster does."
        ),
    ] = "linkage",
    linkage: Annotated[
        str,
        typer.Option(
            help="average, complete, single or weighted: their heights are RMSDs. ward, centroid and median "
            "are made for distances between vectors, and the RMSD is none: on it, ward still gives compact "
            "clusters of like size, but its heights aren't variances, nor those of centroid and median "
            "distances between mean structures, and these two may join clusters at a lower height than "
            "before, which makes fewer than asked for."
        ),
    ] = "average",
    n_clusters: Annotated[
        str | None,
        typer.Option(
            metavar="K|auto",
            help="Cut the tree into so many clusters; auto takes what twopass scan suggests (2 to 30).",
        ),
    ] = None,
    cutoff: Annotated[
        str | None,
        typer.Option(
            metavar="LENGTH",
            help="Cut the tree at this height: 0.2, 0.2nm or 2A (a bare number is nm). Not for ward, "
            "centroid, median and rows, where a height is no RMSD. With gromos, the RMSD of neighbours.",
        ),
    ] = None,
    leader_method: Annotated[
        str | None,
        typer.Option(
            help="faithful: the medoids, then the frames that bring most first-pass labels back. medoid: the "
            "medoid, then farthest first. random: without replacement.  [default: faithful, or medoid with "
            "--leaders-per-cluster]"
        ),
    ] = None,
    leaders_per_cluster: Annotated[
        int | None, typer.Option(min=1, help="Leaders of each cluster, for medoid and random.  [default: 1]")
    ] = None,
    faithfulness: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Add faithful leaders until this share of the subset frames is nearest to a leader of their "
            "own cluster.  [default: 0.95]",
        ),
    ] = None,
    max_leaders: Annotated[
        int | None,
        typer.Option(min=1, help="Faithful leaders at most, in all.  [default: 5 for each cluster]"),
    ] = None,
    leader_frames: Annotated[
        str | None,
        typer.Option(
            metavar="I,J,...", help="Frames of the store that lead instead; they must lie in the subset."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="For random leaders.")] = 0,
    linkage_input: Annotated[
        str,
        typer.Option(
            help="condensed takes the RMSDs as distances, which is right. rows takes each frame's row of the "
            "RMSD matrix for a vector and clusters those: what scipy does when handed a square matrix, as "
            "MDTraj's worked example does; kept to reproduce such results."
        ),
    ] = "condensed",
    memory: Memory = None,
    workers: Workers = None,
    restart: Restart = False,
    break_lock: BreakLock = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """First pass: cluster a subset of the frames by RMSD and pick leaders.

    Give --n-clusters or --cutoff. Distances and linkage are kept: under a new --name, another cut or other
    leaders of the same subset take seconds.
    """
    from .guard import guarded

    with guarded(debug=debug):
        from twopass_store.cluster import cluster_subset
        from twopass_store.config import ClusterConfig, validated

        from .clusterings import print_clustering
        from .console import make_progress

        frames = validated(ClusterConfig, {"leader_frames": leader_frames}).leader_frames
        result = cluster_subset(
            store,
            name=name,
            select=select,
            mass_weighted=mass_weighted,
            masses=masses,
            no_fit=no_fit,
            align_to=align_to,
            align_select=align_select,
            subset_frames=subset_frames,
            stride=stride,
            method=method,
            linkage=linkage,
            linkage_input=linkage_input,
            n_clusters=n_clusters,
            cutoff=cutoff,
            leader_method=leader_method,
            leaders_per_cluster=leaders_per_cluster,
            faithfulness=faithfulness,
            max_leaders=max_leaders,
            leader_frames=frames,
            seed=seed,
            memory=memory,
            workers=workers,
            restart=restart,
            break_lock=break_lock,
            progress=make_progress(quiet=quiet),
        )
        print_clustering(store, result, n_clusters)
