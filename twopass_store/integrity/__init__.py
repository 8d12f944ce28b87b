"""Damage to a store: found by the digests in its ledgers, named, and discarded so that it is made anew."""

from .damage import Damage, Repair, Verification
from .repair import repair_store
from .verify import verify_store

__all__ = ["Damage", "Repair", "Verification", "repair_store", "verify_store"]
