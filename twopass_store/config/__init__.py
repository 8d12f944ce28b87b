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
    ExportConfig,
    IngestConfig,
    LeadersConfig,
    RecutConfig,
    RunConfig,
    ScanConfig,
    SummaryConfig,
)
from .options import (
    AssignOptions,
    ClusterOptions,
    ExportOptions,
    IngestOptions,
    LeadersOptions,
    Paths,
    RecutOptions,
    ScanOptions,
    SummaryOptions,
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
from .reference import Option, options_of, options_page
from .texts import expanded, read_text

__all__ = [
    "HEIGHT_IS_RMSD",
    "LINKAGE_METHODS",
    "METRIC_OPTIONS",
    "AssignConfig",
    "AssignOptions",
    "ClusterConfig",
    "ClusterOptions",
    "CompareConfig",
    "ExportConfig",
    "ExportOptions",
    "IngestConfig",
    "IngestOptions",
    "InputFile",
    "LeadersConfig",
    "LeadersOptions",
    "Option",
    "Paths",
    "RecutConfig",
    "RecutOptions",
    "RunConfig",
    "ScanConfig",
    "ScanOptions",
    "SummaryConfig",
    "SummaryOptions",
    "expand_paths",
    "expanded",
    "format_bytes",
    "format_length",
    "format_time",
    "list_inputs",
    "load_config",
    "options_of",
    "options_page",
    "parse_bytes",
    "parse_length_nm",
    "parse_time_ps",
    "read_manifest",
    "read_text",
    "validated",
]
