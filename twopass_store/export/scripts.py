"""Scripts with which PyMOL, VMD and ChimeraX load exported structures, one object each, and colour them."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = ["SCRIPTS", "script"]

SCRIPTS = ("pml", "vmd", "cxc")  # their extensions
FIRST_VMD_COLOR = 17  # the first that is changed, up to 32; those before it have names


def script(kind: str, file: str, labels: NDArray[np.int32]) -> str:
    """Return a script that loads structures of some clusters from a multi-model PDB file beside it."""
    from ..analysis import color_of

    makers = {"pml": _pymol, "vmd": _vmd, "cxc": _chimerax}
    lines = makers[kind](file, list(_names(labels)), [color_of(int(label)) for label in labels])
    return "# The structures lie superposed in the file.\n" + "".join(f"{line}\n" for line in lines)


def _names(labels: NDArray[np.int32]) -> Iterator[str]:
    """Yield a name for each structure: cluster_1, or cluster_1_1, cluster_1_2 where it has several."""
    several, seen = Counter(labels.tolist()), Counter[int]()
    for label in labels.tolist():
        seen[label] += 1
        yield f"cluster_{label}" + (f"_{seen[label]}" if several[label] > 1 else "")


def _pymol(file: str, names: list[str], colors: list[str]) -> Iterator[str]:
    yield from ("python", "import os", "folder = os.path.dirname(__script__)")
    yield f'cmd.load(os.path.join(folder, {file!r}), "twopass_models")'
    yield from ("python end", "split_states twopass_models, prefix=twopass_model_", "delete twopass_models")
    for number, (name, color) in enumerate(zip(names, colors, strict=True), start=1):
        yield f"set_name twopass_model_{number:04d}, {name}"
        yield f"color 0x{color[1:]}, {name}"
    yield "orient"


def _vmd(file: str, names: list[str], colors: list[str]) -> Iterator[str]:
    number_of = {color: FIRST_VMD_COLOR + number for number, color in enumerate(dict.fromkeys(colors))}
    yield f"set structures [file join [file dirname [info script]] {{{file}}}]"
    for color, number in number_of.items():
        rgb = (int(color[place : place + 2], 16) / 255 for place in (1, 3, 5))
        yield f"color change rgb {number} " + " ".join(f"{part:.3f}" for part in rgb)
    for model, (name, color) in enumerate(zip(names, colors, strict=True)):
        yield f"mol new $structures type pdb first {model} last {model} waitfor all"
        yield f"mol rename top {name}"
        yield f"mol modcolor 0 top ColorID {number_of[color]}"


def _chimerax(file: str, names: list[str], colors: list[str]) -> Iterator[str]:
    yield f'open "{file}"'
    for model, (name, color) in enumerate(zip(names, colors, strict=True), start=1):
        spec = f"#1.{model}" if len(names) > 1 else "#1"
        yield f"rename {spec} {name}"
        yield f"color {spec} {color}"
    yield "view"
