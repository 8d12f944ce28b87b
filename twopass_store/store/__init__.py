"""The store on disk: created, opened, read and written here, and nowhere else; the only importer of zarr."""

from .arrays import Rows
from .files import (
    MAX_METADATA_BYTES,
    checksum_holds,
    copies_problem,
    ledger_problem,
    open_regular,
    read_regular,
    regular_file,
)
from .journal_files import COPIES, JournalFiles
from .local import inside
from .packing import LOSSLESS, Misfit, Packing
from .places import CHUNK_PREFIX, HOLDERS, chunk_name, group_of, spec_at
from .provenance import differing_versions, provenance
from .reading import GROWTH, Watch, at_one_state
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
from .store import Store, check_name, lock_folder, store_path
from .taking import take
from .wall import metadata_problem

__all__ = [
    "CHUNK_PREFIX",
    "COPIES",
    "GROWTH",
    "HOLDERS",
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
    "chunk_name",
    "copies_problem",
    "differing_versions",
    "discard",
    "group_of",
    "inside",
    "is_complete",
    "ledger_problem",
    "lock_folder",
    "metadata_problem",
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
    "spec_at",
    "store_path",
    "take",
]
