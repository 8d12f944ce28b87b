"""Choices of storage that a store keeps from its beginning; no value depends on them."""

from dataclasses import replace

from ..config import IngestConfig
from ..partition import chunks_per_shard
from ..store import LOSSLESS, Packing, Store

__all__ = ["is_packed_otherwise", "kept_choices"]


def kept_choices(store: Store, config: IngestConfig) -> list[str]:
    """Say what is asked for, but stays as it was when the store was begun."""
    n_frames, n_atoms, _ = store.shape("position")
    remarks = []
    codec = store.codec("position")
    if config.codec not in (None, codec):
        remarks.append(f"the store was begun with `codec` {codec} and keeps it")
    per_file = store.unit_length("position") // store.chunk_length("position")
    if config.shard is not None and per_file != chunks_per_shard(n_frames, n_atoms, shard=config.shard):
        remarks.append(f"the store was begun with another `shard`, {per_file} chunks a file, and keeps it")
    if is_packed_otherwise(store, config):
        dtype = store.packing().dtype
        remarks.append(
            f"the store has the same positions as {dtype} and keeps them so; `restart` changes that"
        )
    return remarks


def is_packed_otherwise(store: Store, config: IngestConfig) -> bool:
    """Whether the type asked for is another than that in which the store has positions."""
    if not store.has("position"):
        return False
    packing = store.packing()
    return packing != _asked_for(packing, config)


def _asked_for(present: Packing, config: IngestConfig) -> Packing:
    if config.precision == "lossless":
        return LOSSLESS
    return replace(present, dtype="int32") if config.wide and present.dtype == "int16" else present
