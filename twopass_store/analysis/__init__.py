"""What comes after the labels: the accessor ``results.twopass``, discrete trajectories, pictures."""

from .accessor import TwopassAccessor
from .distances import dendrogram, distance_map, square_distances
from .draw import COLORS, OTHERS, Plots, brief, color_of, draw_convergence, new_figure
from .frames import dtrajs, populations, rmsd_histogram, timeline, transitions
from .results import open_results

__all__ = [
    "COLORS",
    "OTHERS",
    "Plots",
    "TwopassAccessor",
    "brief",
    "color_of",
    "dendrogram",
    "distance_map",
    "draw_convergence",
    "dtrajs",
    "new_figure",
    "open_results",
    "populations",
    "rmsd_histogram",
    "square_distances",
    "timeline",
    "transitions",
]
