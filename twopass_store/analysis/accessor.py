"""``results.twopass``: what comes after the labels, on the Dataset of `open_results`."""

from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..errors import ConfigError
from . import frames
from .draw import Plots

if TYPE_CHECKING:
    import mdtraj as md

__all__ = ["TwopassAccessor"]


@xr.register_dataset_accessor("twopass")  # type: ignore[no-untyped-call]
class TwopassAccessor:
    """Analyses of a clustering, of all frames of a Dataset or of a part of it along ``frame``."""

    def __init__(self, results: xr.Dataset) -> None:
        self._results = results

    @property
    def plot(self) -> Plots:
        """Pictures with matplotlib."""
        return Plots(self._results)

    @overload
    def dtrajs(self, *, return_frames: Literal[False] = ...) -> list[NDArray[np.int32]]: ...

    @overload
    def dtrajs(self, *, return_frames: Literal[True]) -> tuple[list[NDArray[np.int32]], list[range]]: ...

    def dtrajs(self, *, return_frames: bool = False) -> Any:
        """Return labels as discrete trajectories for Markov models, see `twopass_store.analysis.dtrajs`.

        With `return_frames`, return too which frames of the Dataset each covers, as ranges.
        """
        found, covered = frames.dtrajs(self._results)
        return (found, covered) if return_frames else found

    def transitions(self, lag: int = 1) -> xr.Dataset:
        """Count transitions at a lag in frames, see `twopass_store.analysis.transitions`."""
        return frames.transitions(self._results, lag)

    def populations(self, by: str | None = None, *, seed: int = 0) -> xr.Dataset:
        """Count the frames of clusters, see `twopass_store.analysis.populations`."""
        return frames.populations(self._results, by, seed=seed)

    def leaders(self) -> "md.Trajectory":
        """Return the leaders with all stored atoms, in the order of ``leader``."""
        return self._trajectory(self._results["leader_position"].values, self._results["leader_frame"].values)

    def frames_of(self, cluster: int, *, stride: int = 1) -> "md.Trajectory":
        """Return the frames of a cluster with all stored atoms, as they are stored.

        Parameters
        ----------
        cluster
            Its number.
        stride
            Take every nth of them.

        Raises
        ------
        ConfigError
            If no frame has that label.
        StageIncompleteError
            If assign has not finished.
        """
        label = frames.labelled(self._results)["label"].values
        found = np.flatnonzero(label == cluster)[::stride]
        if not len(found):
            known = ", ".join(map(str, np.unique(label[label >= 1])))
            raise ConfigError(f"No frame is in cluster {cluster}; there are: {known}.")
        return self._trajectory(self._results["position"][found].values, self._results["frame"].values[found])

    def _trajectory(self, xyz: NDArray[np.float32], frames: NDArray[np.int64]) -> "md.Trajectory":
        import mdtraj as md

        from ..trajectory import topology_from_json

        def at(name: str) -> Any:
            return self._results[name].reset_coords(drop=True).reindex(frame=frames).values

        topology = topology_from_json(self._results.attrs["topology"], n_atoms=xyz.shape[1])
        found = md.Trajectory(xyz, topology, time=at("time"))
        if "unitcell_lengths" in self._results:
            lengths, angles = at("unitcell_lengths"), at("unitcell_angles")
            if np.isfinite(lengths).all():
                found.unitcell_lengths, found.unitcell_angles = lengths, angles
        return found
