"""Parameters of the stages: frozen models, read from TOML or keywords, checked before anything runs."""

from .load import load_config, validated
from .models import (
    HEIGHT_IS_RMSD,
    LINKAGE_METHODS,
    AssignConfig,
    ClusterConfig,
    IngestConfig,
    RunConfig,
)
from .paths import expand_paths
from .quantities import format_bytes, format_length, parse_bytes, parse_length_nm

__all__ = [
    "HEIGHT_IS_RMSD",
    "LINKAGE_METHODS",
    "AssignConfig",
    "ClusterConfig",
    "IngestConfig",
    "RunConfig",
    "expand_paths",
    "format_bytes",
    "format_length",
    "load_config",
    "parse_bytes",
    "parse_length_nm",
    "validated",
]
