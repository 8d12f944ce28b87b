"""The store on disk: created, opened, read and written here, and nowhere else; the only importer of zarr."""

from .arrays import Rows
from .confined import inside, open_regular, read_regular, regular_file
from .journal_files import COPIES, JournalFiles, checksum_holds, copies_problem, ledger_problem
from .limits import MAX_METADATA_BYTES
from .names import CHUNK_PREFIX
from .packing import LOSSLESS, Misfit, Packing
from .provenance import differing_versions, provenance
from .recorded import group_of
from .results import only_clustering, open_results, plain_attributes
from .stage import (
    Stage,
    Step,
    discard,
    is_complete,
    present_journal,
    require_clustering,
    require_ingest,
    run_stage,
)
from .store import GROWTH, Store, check_name, lock_folder, store_path
from .watch import Watch, at_one_state

__all__ = [
    "CHUNK_PREFIX",
    "COPIES",
    "GROWTH",
    "LOSSLESS",
    "MAX_METADATA_BYTES",
    "JournalFiles",
    "Misfit",
    "Packing",
    "Rows",
    "Stage",
    "Step",
    "Store",
    "Watch",
    "at_one_state",
    "check_name",
    "checksum_holds",
    "copies_problem",
    "differing_versions",
    "discard",
    "group_of",
    "inside",
    "is_complete",
    "ledger_problem",
    "lock_folder",
    "only_clustering",
    "open_regular",
    "open_results",
    "plain_attributes",
    "present_journal",
    "provenance",
    "read_regular",
    "regular_file",
    "require_clustering",
    "require_ingest",
    "run_stage",
    "store_path",
]
