"""Parameters of the stages: frozen models, read from TOML or keywords, checked before anything runs."""

from .load import load_config, validated
from .manifest import InputFile, list_inputs, read_manifest
from .models import (
    HEIGHT_IS_RMSD,
    LINKAGE_METHODS,
    METRIC_OPTIONS,
    AssignConfig,
    ClusterConfig,
    CompareConfig,
    IngestConfig,
    RunConfig,
    SummaryConfig,
)
from .paths import expand_paths
from .quantities import (
    format_bytes,
    format_length,
    format_time,
    parse_bytes,
    parse_length_nm,
    parse_time_ps,
)
from .texts import expanded, read_text

__all__ = [
    "HEIGHT_IS_RMSD",
    "LINKAGE_METHODS",
    "METRIC_OPTIONS",
    "AssignConfig",
    "ClusterConfig",
    "CompareConfig",
    "IngestConfig",
    "InputFile",
    "RunConfig",
    "SummaryConfig",
    "expand_paths",
    "expanded",
    "format_bytes",
    "format_length",
    "format_time",
    "list_inputs",
    "load_config",
    "parse_bytes",
    "parse_length_nm",
    "parse_time_ps",
    "read_manifest",
    "read_text",
    "validated",
]
