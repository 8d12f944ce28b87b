"""What a store holds and what came out of it, read from committed results only."""

from .status import StageStatus, StoreStatus, store_status
from .summary import ClusterRow, Summary, summarize

__all__ = ["ClusterRow", "StageStatus", "StoreStatus", "Summary", "store_status", "summarize"]
