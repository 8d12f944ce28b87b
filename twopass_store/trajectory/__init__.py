"""Trajectories: the only importer of mdtraj's readers.

Probe a file, read any range of its frames in blocks of bounded size, choose atoms, and turn topologies into
JSON and back. Importing this room imports mdtraj, so callers import it where they need it.
"""

from .atoms import default_rmsd_atoms, describe_selection
from .bonds import BondCheck, JumpCheck, OddBonds
from .containment import READER_BYTES, end_readers
from .formats import MAY_BE, TrajectoryFormat, output_format
from .imaging import ANCHOR, make_imager, with_bonds
from .info import TrajectoryInfo, check_unchanged, digest_file
from .masses import element_masses, guessed_elements, read_masses
from .matching import match_atoms, place_atoms
from .offsets import grid_step
from .probe import other_reader, probe, require_reader
from .reader import Block, load_structures, read_blocks, read_steps, read_times, reading_bytes
from .recognition import format_of
from .selection import read_index_group, select_atoms, selection_remarks, solvent_remark
from .symmetry import find_symmetry
from .times import Times, as_meant, rounding_of
from .topology import (
    TOPOLOGY_BYTES_PER_ATOM,
    count_atoms,
    load_topology,
    shared_topology,
    topology_bytes,
    topology_from_json,
    topology_to_json,
    unclear_bonds,
)
from .writers import open_writer

__all__ = [
    "ANCHOR",
    "MAY_BE",
    "READER_BYTES",
    "TOPOLOGY_BYTES_PER_ATOM",
    "Block",
    "BondCheck",
    "JumpCheck",
    "OddBonds",
    "Times",
    "TrajectoryFormat",
    "TrajectoryInfo",
    "as_meant",
    "check_unchanged",
    "count_atoms",
    "default_rmsd_atoms",
    "describe_selection",
    "digest_file",
    "element_masses",
    "end_readers",
    "find_symmetry",
    "format_of",
    "grid_step",
    "guessed_elements",
    "load_structures",
    "load_topology",
    "make_imager",
    "match_atoms",
    "open_writer",
    "other_reader",
    "output_format",
    "place_atoms",
    "probe",
    "read_blocks",
    "read_index_group",
    "read_masses",
    "read_steps",
    "read_times",
    "reading_bytes",
    "require_reader",
    "rounding_of",
    "select_atoms",
    "selection_remarks",
    "shared_topology",
    "solvent_remark",
    "topology_bytes",
    "topology_from_json",
    "topology_to_json",
    "unclear_bonds",
    "with_bonds",
]
