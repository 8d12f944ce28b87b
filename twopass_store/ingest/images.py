"""Whether periodic images are broken in the input, by a look at a few frames."""

from collections.abc import Sequence
from pathlib import Path

import mdtraj as md
import numpy as np

from ..partition import FrameList
from ..trajectory import JumpCheck, read_blocks
from .runs import Source

__all__ = ["warn_of_jumps"]

FILES_LOOKED_AT = 32
FRAMES_LOOKED_AT = 32
"""Of all files together, but at least 3 and at most 16 of each."""


def warn_of_jumps(sources: Sequence[Source], kept_topology: md.Topology) -> str | None:
    """Look for bonds and chains that jump across the box, in a few frames each of at most 32 files.

    Returns a warning with the file and frame of the first one; None if nothing jumps.
    """
    usable = [source for source in sources if source.info.has_unitcell and len(source.kept)]
    check, n_looked, n_jumps, first = JumpCheck(kept_topology), 0, 0, ""
    places = np.unique(np.linspace(0, len(usable) - 1, FILES_LOOKED_AT).astype(int)) if usable else ()
    for source in (usable[place] for place in places):
        frames = source.kept.part(0, 1)
        if source.info.format.can_seek:
            n_frames = min(16, max(3, FRAMES_LOOKED_AT // len(usable)))
            chosen = np.unique(np.linspace(0, len(source.kept) - 1, n_frames).astype(int))
            frames = FrameList.from_indices(source.kept.to_array()[chosen])
        numbers = iter(frames.to_array().tolist())
        for block in read_blocks(source.info, frames=frames, atom_indices=source.system.atom_indices):
            n_looked += block.n_frames
            jumps = check.look(block)
            n_jumps += len(jumps)
            of_block = [next(numbers) for _ in range(block.n_frames)]
            if jumps and not first:
                frame, what = next(iter(jumps.items()))
                first = f"{Path(source.info.path).name}, frame {of_block[frame]}: {what}"
    if not n_jumps:
        return None
    return (
        f"WARNING: atoms jump across the box in {n_jumps} of the {n_looked} frames looked at; the first is "
        f"{first}. RMSDs would measure the jump: use `image` whole, or `image` with an anchor such as "
        '"anchor=protein"'
    )
