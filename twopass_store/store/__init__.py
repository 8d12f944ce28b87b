"""The store on disk: created, opened, read and written here, and nowhere else; the only importer of zarr."""

from .arrays import Rows, empty_group, encoded_bytes, ledger_metadata
from .bucket import Bucket, is_url
from .job_files import JOB, RECEIPTS, Job, open_jobs, sealed
from .journal_files import JournalFiles
from .leaders import frames_kept, leader_positions, led_frames, read_leaders, require_cover
from .local import damaged_file, inside, naming_the_file
from .objects import ObjectPath, with_consolidated
from .packing import LOSSLESS, Misfit, Packing
from .places import (
    CHUNK_PREFIX,
    HOLDERS,
    METADATA_FILE,
    OF_A_CLUSTERING,
    chunk_key,
    clustering_stages,
    group_of,
    lock_folder,
    metadata_key,
    spec_at,
)
from .provenance import identity, note_versions, provenance
from .published import files_at, folder_sizes
from .reading import GROWTH, at_one_state, naming_restart
from .removal import RemoveResult, remove_clustering, unused_subsets
from .rename import rename_clustering
from .results import chosen_clustering, plain_attributes, read_results
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
from .store import Store, medoids_path, store_path
from .taking import StoredRows, read_distances, take

__all__ = [
    "CHUNK_PREFIX",
    "GROWTH",
    "HOLDERS",
    "JOB",
    "LOSSLESS",
    "METADATA_FILE",
    "OF_A_CLUSTERING",
    "RECEIPTS",
    "Bucket",
    "Job",
    "JournalFiles",
    "Misfit",
    "ObjectPath",
    "Packing",
    "RemoveResult",
    "Rows",
    "Stage",
    "Step",
    "Store",
    "StoredRows",
    "at_one_state",
    "chosen_clustering",
    "chunk_key",
    "clustering_stages",
    "damaged_file",
    "discard",
    "empty_group",
    "encoded_bytes",
    "files_at",
    "folder_sizes",
    "frames_kept",
    "group_of",
    "identity",
    "inside",
    "is_complete",
    "is_url",
    "leader_positions",
    "led_frames",
    "ledger_metadata",
    "lock_folder",
    "medoids_path",
    "metadata_key",
    "naming_restart",
    "naming_the_file",
    "note_versions",
    "open_jobs",
    "plain_attributes",
    "present_journal",
    "provenance",
    "read_distances",
    "read_leaders",
    "read_results",
    "remove_clustering",
    "rename_clustering",
    "require_clustering",
    "require_cover",
    "require_ingest",
    "run_stage",
    "sealed",
    "spec_at",
    "store_path",
    "take",
    "unused_subsets",
    "with_consolidated",
]
