"""Choices of storage that a store keeps from its beginning; no value depends on them."""

from ..config import IngestConfig
from ..partition import chunks_per_shard
from ..store import Store

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
    """Tell whether the store has positions in another type than the one asked for."""
    if not store.has("position"):
        return False
    dtype = store.packing().dtype
    return (config.precision == "lossless" and dtype != "float32") or (config.wide and dtype == "int16")
