"""A look at a few frames before all are read: broken periodic images, and atoms in another order."""

from collections.abc import Sequence
from pathlib import Path

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from ..errors import TopologyMismatchError
from ..partition import FrameList
from ..trajectory import BondCheck, JumpCheck, OddBonds, read_blocks, with_bonds
from .runs import Source

__all__ = ["look_at_frames"]

FILES_LOOKED_AT = 32
FRAMES_LOOKED_AT = 32  # of all files together, but at least 3 and at most 16 of each


def look_at_frames(
    sources: Sequence[Source], kept_topology: md.Topology, guessed: NDArray[np.int64], *, for_jumps: bool
) -> tuple[str, list[str]]:
    """Look at a few frames each of at most 32 files, `for_jumps` across the box, too.

    Returns in how many frames atoms jump, such as "3 of 32", or "", and what the user should see. `guessed`
    are the atoms kept whose elements are guesses.
    """
    usable = [source for source in sources if len(source.kept)]
    bonded = with_bonds(kept_topology)
    bonds, jumping = BondCheck(bonded, guessed), JumpCheck(bonded)
    n_looked, n_jumps, first = 0, 0, ""
    odd: list[tuple[Source, OddBonds]] = []
    places = np.unique(np.linspace(0, len(usable) - 1, FILES_LOOKED_AT).astype(int)) if usable else ()
    for source in (usable[place] for place in places):
        frames = source.kept.part(0, 1)
        if source.info.format.can_seek:
            n_frames = min(16, max(3, FRAMES_LOOKED_AT // len(usable)))
            chosen = np.unique(np.linspace(0, len(source.kept) - 1, n_frames).astype(int))
            frames = FrameList.from_indices(source.kept.at(chosen))
        numbers, n_read = frames.to_array(), 0
        blocks = list(read_blocks(source.info, frames=frames, atom_indices=source.system.atom_indices))
        if (found := bonds.look(blocks)) is not None:
            if found.is_other_order:
                raise _other_order(source, found)
            odd.append((source, found))
        for block in blocks if for_jumps and source.info.has_unitcell else ():
            for row, what in jumping.look(block).items():
                n_jumps += 1
                first = first or f"{Path(source.info.path).name}, frame {numbers[n_read + row]}: {what}"
            n_read += block.n_frames
        n_looked += n_read
    remarks = [_odd_lengths(odd)] if odd else []
    if n_jumps:
        remarks.append(
            f"warning: atoms jump across the box in {n_jumps} of the {n_looked} frames looked at; the first "
            f"is {first}. RMSDs would measure the jump: use `image` whole, or `image` with an anchor such as "
            '"anchor=protein"'
        )
    return (f"{n_jumps} of {n_looked}" if n_jumps else ""), remarks


def _other_order(source: Source, found: OddBonds) -> TopologyMismatchError:
    return TopologyMismatchError(
        f"The atoms of {source.info.path} are in another order than in {source.system.topology_path}: of "
        f"{found.n_pairs:,} bonds and neighbouring C-alphas {found.n_odd:,} ({found.share:.0%}) have lengths "
        f"that they can't have (the worst: {found.worst}). Give the topology that this file was "
        "written with (`top`)."
    )


def _odd_lengths(odd: Sequence[tuple[Source, OddBonds]]) -> str:
    source, found = max(odd, key=lambda one: one[1].share)
    more = f", and {len(odd) - 1} more" if len(odd) > 1 else ""
    return (
        f"warning: {found.n_odd:,} of {found.n_pairs:,} bonds and neighbouring C-alphas ({found.share:.1%}) "
        f"have odd lengths in {Path(source.info.path).name}{more}; the worst is {found.worst}. Check that "
        f"{Path(source.system.topology_path).name} has the atoms in the order of the trajectory, and that "
        "lengths are in the units of its format"
    )
