"""The store on disk: created, opened, read and written here, and nowhere else; the only importer of zarr."""

from .h5md import H5mdWriter
from .packing import LOSSLESS, Misfit, Packing
from .provenance import differing_versions, provenance
from .results import only_clustering, open_results
from .store import GROWTH, Store, check_name, lock_folder, store_path

__all__ = [
    "GROWTH",
    "LOSSLESS",
    "H5mdWriter",
    "Misfit",
    "Packing",
    "Store",
    "check_name",
    "differing_versions",
    "lock_folder",
    "only_clustering",
    "open_results",
    "provenance",
    "store_path",
]
