"""Damage to a store: found by the digests in its ledgers, named, and discarded so that it is made anew."""

from .damage import Damage, Verification
from .verify import verify_store

__all__ = ["Damage", "Verification", "verify_store"]
