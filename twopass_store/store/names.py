"""Names of files in a store, and what they end with."""

__all__ = ["CHECKSUM_BYTES", "CHUNK_PREFIX", "METADATA_FILE"]

CHUNK_PREFIX = "c."
"""File names of chunks begin so: they lie flat in their array's folder (``c.12.0.0``)."""

METADATA_FILE = "zarr.json"
"""Each group and each array has one in its folder."""

CHECKSUM_BYTES = 4
"""Length of the crc32c that each chunk ends with."""
