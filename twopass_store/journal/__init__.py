"""All crash safety: durable writes, plans and fingerprints, the ledger, locks.

The protocol: a stage plans and records its plan; a unit writes its data whole and durably; only the
driver writes the ledger, after the data that it speaks of; ``complete`` comes last. A unit is finished
when it is in the ledger, and nothing else proves that it is: a chunk that is present may be half of a
unit, and a chunk that is absent reads as fill.

Storage is handed to the journal (`JournalStorage`): it knows nothing of Zarr.
"""

from .disk import Disk, Writer, digest, file_digest
from .ledger import ABSENT, METADATA, JournalStorage, Record, StageJournal, in_batches
from .locks import Kept, Lock, clear_dead, closing_job, hold, kept_for, naming_writer, restarting
from .plan import Plan, Product, differences, fingerprint, pack_json, unpack_json

__all__ = [
    "ABSENT",
    "METADATA",
    "Disk",
    "JournalStorage",
    "Kept",
    "Lock",
    "Plan",
    "Product",
    "Record",
    "StageJournal",
    "Writer",
    "clear_dead",
    "closing_job",
    "differences",
    "digest",
    "file_digest",
    "fingerprint",
    "hold",
    "in_batches",
    "kept_for",
    "naming_writer",
    "pack_json",
    "restarting",
    "unpack_json",
]
