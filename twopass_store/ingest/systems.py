"""Which atoms the files hold, and which of them are kept: one topology, or several that match."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from ..config import IngestConfig, expand_paths
from ..errors import ConfigError, SelectionError, TopologyMismatchError
from ..executors import PROCESS_BYTES, memory_budget, require_room
from ..trajectory import (
    ANCHOR,
    TOPOLOGY_BYTES_PER_ATOM,
    count_atoms,
    describe_selection,
    format_of,
    guessed_elements,
    make_imager,
    match_atoms,
    read_index_group,
    select_atoms,
    selection_remarks,
    shared_topology,
    solvent_remark,
    topology_to_json,
    unclear_bonds,
)

__all__ = ["System", "SystemTable", "listed", "short_hash"]


@dataclass(frozen=True, slots=True, eq=False)
class System:
    """The atoms of one or more trajectory files, small enough to be sent to another process."""

    topology_path: str  # the file that names them
    n_atoms: int
    atom_indices: NDArray[np.int64] | None  # those kept, ascending; None keeps all
    image: str | None = None  # how their periodic images are undone, see `make_imager`
    reader: str = "mdtraj"  # what reads the file that names them

    @property
    def images(self) -> tuple[str, str, str] | None:
        """How periodic images are undone, as `read_blocks` wants it."""
        return None if self.image is None else (self.topology_path, self.image, self.reader)

    @property
    def n_kept(self) -> int:
        """Count the atoms kept."""
        return self.n_atoms if self.atom_indices is None else len(self.atom_indices)

    def kept_atoms(self) -> NDArray[np.int64]:
        """Return the atoms kept, shape (n_kept,)."""
        return np.arange(self.n_atoms) if self.atom_indices is None else self.atom_indices

    def load_topology(self) -> md.Topology:
        """Return all atoms; not to be modified, since readers share it."""
        return shared_topology(self.topology_path, self.reader)

    def load_kept_topology(self) -> md.Topology:
        """Return the atoms kept."""
        topology = self.load_topology()
        return topology if self.atom_indices is None else topology.subset(self.atom_indices)

    def guessed_atoms(self) -> NDArray[np.int64]:
        """Return those of the atoms kept whose elements the file doesn't have, as indices among them."""
        guessed = guessed_elements(self.topology_path, self.load_topology(), reader=self.reader)
        return np.flatnonzero(guessed[self.kept_atoms()])

    def fingerprint(self) -> str:
        """Digest of which atoms are kept."""
        return f"{self.n_kept} of {self.n_atoms} atoms ({short_hash([self.kept_atoms().tobytes()])})"


class SystemTable:
    """The systems of an ingest, each topology read once; the others must match the first."""

    def __init__(self, config: IngestConfig) -> None:
        self._config = config
        self._by_path: dict[str, System] = {}
        self._by_content: dict[str, System] = {}
        self._remarks: dict[str, list[str]] = {}

    def of(self, path: Path, top: Path | None) -> System:
        """Return the atoms of a trajectory file, those of its own over those of `top` if they differ.

        Without either, they are those of the first file.
        """
        given = top or next(map(Path, self._by_path), None)
        if self._config.reader == "mdanalysis":
            given = top or path
        elif format_of(path, self._config.format).has_topology:
            is_same = top is not None and (
                top == path or _has_same_atoms(self._topology(path), self._topology(top))
            )
            given = top if is_same else path
        if given is None:
            raise ConfigError(
                f"{path.name} has no topology of its own. Give one with `top` (pdb, gro, prmtop, …)."
            )
        return self._system(given)

    @property
    def reference(self) -> System:
        """The first system."""
        return next(iter(self._by_path.values()))

    @property
    def systems(self) -> list[System]:
        """All systems, in the order in which they were met."""
        return list(dict.fromkeys(self._by_path.values()))

    def remarks(self) -> Iterable[str]:
        """Yield what a user should know about how atoms were matched."""
        name = Path(self.reference.topology_path).name
        for remark, paths in self._remarks.items():
            yield f"{listed(paths)} against {name}: {remark}" if paths else remark

    def _system(self, top: Path) -> System:
        if str(top) in self._by_path:
            return self._by_path[str(top)]
        topology = self._topology(top)
        if self._config.reader == "mdtraj" and (n_unclear := unclear_bonds(str(top))):
            records = f"{n_unclear} CONECT record{'s' if n_unclear > 1 else ''}"
            self._remarks[
                f"warning: {records} of {top.name} left out, as several atoms have the same number. Where "
                "`image` needs these bonds, give a topology that has them (prmtop, psf)"
            ] = []
        content = short_hash([topology_to_json(topology).encode()])
        # Files of their own topologies mostly hold the same one.
        system = self._by_content.get(content)
        if system is None:
            image = None if self._config.image == "none" else self._config.image
            atoms = self._selected(topology, str(top))
            system = System(str(top), topology.n_atoms, atoms, image, self._config.reader)
            if image is not None:
                if image.startswith(ANCHOR):
                    self._advise(topology, image.removeprefix(ANCHOR), str(top))
                # Missing bonds are reported before anything is read.
                make_imager(topology, image, system.atom_indices, path=str(top))
            if self._by_path:
                self._compare(system, topology)
            self._by_content[content] = system
        self._by_path[str(top)] = system
        return system

    def _topology(self, path: Path) -> md.Topology:
        """Return all atoms in a file, unless that would take more memory than there is."""
        n_atoms = count_atoms(path, self._config.reader)
        # To undo periodic images takes as much again.
        needed = TOPOLOGY_BYTES_PER_ATOM * n_atoms * (1 if self._config.image == "none" else 2)
        require_room(
            memory_budget(self._config.memory),
            PROCESS_BYTES + needed,
            stage=f"ingest of {n_atoms:,} atoms ({path.name})",
            mend="The reading of frames comes on top. Fewer atoms in trajectory and topology, as without the "
            "water, take less.",
        )
        return shared_topology(str(path), self._config.reader)

    def _selected(self, topology: md.Topology, path: str) -> NDArray[np.int64] | None:
        config = self._config
        if config.ndx is not None and config.group is not None:
            ndx = expand_paths([config.ndx])[0]
            indices, remark = read_index_group(ndx, config.group, n_atoms=topology.n_atoms)
            solvent, advice = solvent_remark(topology, indices)
            solvent = f"warning: {solvent}" if solvent else ""
            solvent += f'; to leave it out, use `select` "{advice}"' if advice else ""
            for text in filter(None, (remark, solvent)):
                self._remarks[f"group {config.group!r} of {ndx.name}: {text}"] = []
        elif config.select is not None:
            indices = select_atoms(topology, config.select)
            self._advise(topology, config.select, path)
        else:
            _refuse_solvent(topology)
            return None
        return None if len(indices) == topology.n_atoms else indices

    def _advise(self, topology: md.Topology, selection: str, path: str) -> None:
        def guessed() -> list[int]:
            elements = guessed_elements(path, topology, reader=self._config.reader)
            return np.flatnonzero(elements).tolist()

        self._remarks |= {remark: [] for remark in selection_remarks(topology, selection, guessed)}

    def _compare(self, system: System, topology: md.Topology) -> None:
        reference = self.reference
        match = match_atoms(topology, system.atom_indices, reference.load_topology(), reference.atom_indices)
        if match.difference is not None:
            raise TopologyMismatchError(
                f"The atoms kept of {system.topology_path} ({system.n_kept}) and of "
                f"{reference.topology_path} ({reference.n_kept}) differ: {match.difference}. Select atoms "
                'that all files have, in the same order (such as `select` "name CA"), or ingest them into '
                "separate stores."
            )
        name = Path(system.topology_path).name
        if match.mutated:
            shown = ", ".join(match.mutated[:5]) + (", …" if len(match.mutated) > 5 else "")
            number = f"{len(match.mutated)} residue{'s' if len(match.mutated) > 1 else ''}"
            remark = f"{number} of another name ({shown}), matched by number; the store has the first name"
            self._remarks.setdefault(remark, []).append(name)
        if match.is_renumbered:
            remark = "residues have other numbers, matched in order; the store has the first numbers"
            self._remarks.setdefault(remark, []).append(name)


def _has_same_atoms(own: md.Topology, other: md.Topology) -> bool:
    """Tell whether a trajectory's own topology names the same atoms as the one given."""
    return own.n_atoms == other.n_atoms and all(
        (atom.name, atom.residue.name) == (expected.name, expected.residue.name)
        for atom, expected in zip(own.atoms, other.atoms, strict=True)
    )


def _refuse_solvent(topology: md.Topology) -> None:
    remark, advice = solvent_remark(topology, np.arange(topology.n_atoms))
    if not remark:
        return
    mend = "`select` all if that is meant"
    if advice:
        left = describe_selection(topology, select_atoms(topology, advice))
        mend = f'`select` "{advice}", which leaves {left}, or {mend}'
    raise SelectionError(f"{remark}, and clustering by RMSD needs few atoms. Use {mend}.")


def listed(names: Sequence[str]) -> str:
    """Name a few, count the rest."""
    return ", ".join(names) if len(names) <= 3 else f"{names[0]} and {len(names) - 1} more"


def short_hash(pieces: Iterable[bytes]) -> str:
    """Hash for parameters that people may read."""
    digest = blake2b(digest_size=6)
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()
