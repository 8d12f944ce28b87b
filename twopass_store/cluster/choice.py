"""Which frames lead, and how faithful they are to the first pass."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import ClusterConfig, format_length
from ..errors import ConfigError
from ..linkage import (
    Faithfulness,
    Leaders,
    choose_leaders,
    halves,
    held_out_labels,
    measure_faithfulness,
    second_pass,
)
from ..store import Store, take
from .methods import FirstPass
from .plan import DEFAULT_FAITHFULNESS, ClusterPlan

__all__ = ["LOW_FAITHFULNESS", "Choice", "choose", "choose_as", "noise_warning", "warning"]

LOW_FAITHFULNESS = 0.8
"""Below this, labels of frames outside the subset are too often wrong to pass without a warning."""


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """The leaders of a clustering and what they are worth."""

    leaders: Leaders
    measured: Faithfulness  # on the subset
    held_out: Faithfulness | None  # leaders chosen from one half, judged on the other; None if given
    split_by: str | None  # what the halves are made of
    rmsd: NDArray[np.float32]  # of each subset frame to its leader, shape (n_subset,), nm

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what is stored along ``cluster`` and ``confusion``."""
        nowhere = np.full(len(self.measured.of_cluster), np.nan)
        return {
            "faithfulness": self.measured.of_cluster,
            "faithfulness_held_out": nowhere if self.held_out is None else self.held_out.of_cluster,
            "confused_label": self.measured.confused_label,
            "confused_with": self.measured.confused_with,
            "n_confused": self.measured.n_confused,
        }

    def attrs(self) -> dict[str, Any]:
        """Return the clustering's attributes about it."""
        judged = self.held_out is not None and not math.isnan(self.held_out.overall)
        return {
            "faithfulness_overall": self.measured.overall,
            "faithfulness_held_out_overall": self.held_out.overall if self.held_out and judged else None,
            "held_out_split": self.split_by,
            "most_confused": ", ".join(
                f"{label} with {other} ({frames})" for label, other, frames in self.measured.most_confused
            ),
            "n_held_out_judged": None if self.held_out is None else self.held_out.n_judged,
        }


def choose(store: Store, distances: NDArray[np.float32], found: FirstPass, plan: ClusterPlan) -> Choice:
    """Choose leaders as planned, and judge them on frames that they weren't chosen from.

    `distances` are condensed, shape (n_pairs,), nm.
    """
    config, by_method = plan.config, partial(choose_as, plan.config, plan.workers)
    labels = found.labels
    held_out = split_by = None
    if config.leader_frames is not None:
        index = np.searchsorted(plan.subset_frame, config.leader_frames)
        leaders = Leaders(index, labels[index])
        if noise := plan.subset_frame[index[leaders.label < 1]].tolist():
            raise ConfigError(
                f"--leader-frames: the first pass left {', '.join(map(str, noise[:5]))} in no cluster, and a "
                "leader stands for one. Choose frames of clusters."
            )
    else:
        leaders = by_method(distances, labels, found.medoids)
        split_by, groups = _groups(store, plan)
        given = held_out_labels(distances, labels, halves(groups), by_method, within=config.within_nm)
        held_out = measure_faithfulness(labels, given)
    given, rmsd = second_pass(distances, leaders, within=config.within_nm)
    measured = measure_faithfulness(labels, given)
    return Choice(leaders, measured, held_out, split_by, rmsd)


def choose_as(
    config: ClusterConfig,
    n_threads: int,
    distances: NDArray[np.float32],
    labels: NDArray[np.int32],
    medoids: NDArray[np.int64] | None = None,
) -> Leaders:
    """Choose leaders by the method of a config."""
    return choose_leaders(
        distances,
        labels,
        method=config.chosen_by,
        per_cluster=config.leaders_per_cluster or 1,
        seed=config.seed,
        faithfulness=config.faithfulness or DEFAULT_FAITHFULNESS,
        max_leaders=config.max_leaders,
        cutoff=config.cutoff or 0.0,
        medoids=medoids,
        n_threads=n_threads,
    )


def warning(choice: Choice, config: ClusterConfig) -> str | None:
    """Say what to do if the second pass would bring too few labels back; None if all is well."""
    judged = {"subset": choice.measured}
    if choice.held_out is not None and not math.isnan(choice.held_out.overall):
        judged["held-out subset"] = choice.held_out
    where, worst = min(judged.items(), key=lambda each: each[1].overall)
    if worst.overall >= LOW_FAITHFULNESS:
        return None
    is_gromos = config.method == "gromos"
    advice = ["use a larger --cutoff" if is_gromos else "ask for fewer clusters or another linkage"]
    advice.append("take a larger subset (--subset-frames)")
    if config.chosen_by == "faithful":
        advice.insert(0, "allow more leaders (--max-leaders)")
    elif config.chosen_by != "centres":
        advice.insert(0, "use --leader-method faithful")
    elif config.within_nm is None:
        advice.insert(0, "use --rule first-within")
    confused = ", ".join(f"{label} with {other}" for label, other, _ in worst.most_confused)
    return (
        f"warning: only {worst.overall:.1%} of the {where} frames get their label back from the leaders, so "
        "the second pass will often give another label than the first (most often confused: "
        f"{confused}). To mend it, {'; or '.join(advice)}."
    )


def noise_warning(choice: Choice, labels: NDArray[np.int32]) -> str | None:
    """Say what the second pass makes of the first one's noise; None if there is none."""
    is_noise = labels < 1
    if not is_noise.any():
        return None
    cutoff = math.ceil(1e4 * float(choice.rmsd[~is_noise].max())) / 1e4
    n_noise, n_beyond = int(is_noise.sum()), int((choice.rmsd[is_noise] > cutoff).sum())
    return (
        f"warning: {n_noise:,} of {len(labels):,} subset frames ({n_noise / len(labels):.1%}) are noise, but "
        "the second pass gives frames the label of their nearest leader. To leave frames without a label, "
        f"use `twopass assign --noise-cutoff`: at {format_length(cutoff)}, within which all clustered subset "
        f"frames have a leader, {n_beyond:,} of the noise frames stay noise"
    )


def _groups(store: Store, plan: ClusterPlan) -> tuple[str, NDArray[np.int64]]:
    """Return what the subset is split by to judge leaders on frames that they weren't chosen from.

    That is ``runs`` or ``trajectories``, and the one of each subset frame, shape (n_subset,); if there is but
    one, ``blocks of time``, and zeros.
    """
    for path, kind in (("run", "runs"), ("trajectory", "trajectories")):
        if store.has(path):
            of_frame = take(store, path, plan.subset_frame)
            if (of_frame != of_frame[0]).any():
                return kind, of_frame
    return "blocks of time", np.zeros(len(plan.subset_frame), np.int64)
