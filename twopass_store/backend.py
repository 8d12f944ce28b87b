"""``xr.open_dataset(store, engine="twopass")``; light, since xarray imports it whenever it seeks engines."""

import os
from collections.abc import Iterable
from typing import Any, ClassVar

import xarray as xr
from xarray.backends import BackendEntrypoint

__all__ = ["TwopassBackend"]


class TwopassBackend(BackendEntrypoint):
    """Opens the results of a clustering, as `open_results` does; only where it is asked for by name."""

    description: ClassVar[str] = "Results of a clustering in a twopass store"
    open_dataset_parameters: ClassVar[tuple[str, ...]] = (
        "filename_or_obj",
        "drop_variables",
        "name",
        "partial",
    )

    def open_dataset(  # type: ignore[override]  # as xarray's guide to new engines has it
        self,
        filename_or_obj: str | os.PathLike[str],
        *,
        drop_variables: str | Iterable[str] | None = None,
        name: str | None = None,
        partial: bool = False,
    ) -> xr.Dataset:
        """Open a clustering by its name."""
        from .analysis import open_results

        found = open_results(os.fspath(filename_or_obj), name, partial=partial)
        return found.drop_vars(drop_variables or (), errors="ignore")

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Never: a folder called .zarr may be anything."""
        return False
