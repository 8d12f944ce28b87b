"""Numbers with units, as people write them: lengths, times and sizes of memory."""

import math
import re
from collections.abc import Mapping

__all__ = [
    "WithUnit",
    "count",
    "doubt_of_unit",
    "format_bytes",
    "format_length",
    "format_time",
    "parse_bytes",
    "parse_length_nm",
    "parse_time_ps",
]

_QUANTITY = re.compile(
    r"\s*([0-9]+\.?[0-9]*(?:[eE][+-]?[0-9]+)?|\.[0-9]+(?:[eE][+-]?[0-9]+)?)\s*([^\W\d]*)\s*"
)
_NM_PER_UNIT = {"": 1.0, "nm": 1.0, "a": 0.1, "å": 0.1, "angstrom": 0.1, "angstroms": 0.1, "pm": 0.001}
_PS_PER_UNIT = {"": 1.0, "fs": 1e-3, "ps": 1.0, "ns": 1e3, "us": 1e6, "µs": 1e6, "μs": 1e6, "ms": 1e9}
# As SLURM and Java have it, 8G is 8 GiB; with a B and no i, it is the decimal unit.
_BYTES_PER_UNIT = {"": 1.0, "b": 1.0} | {
    letter + suffix: float(base**power)
    for power, letter in enumerate("kmgt", start=1)
    for suffix, base in (("", 1024), ("i", 1024), ("ib", 1024), ("b", 1000))
}
_MAX_BYTES = 1 << 60
PLAUSIBLE_NM = (0.01, 1.5)
"""RMSDs beyond these are rare."""


class WithUnit(float):
    """A length in nm that was written with its unit."""


def parse_length_nm(text: str | float) -> float:
    """Read a length such as ``0.2``, ``0.2nm`` or ``2A``; a bare number is in nm.

    What had a unit is a `WithUnit`.

    Raises
    ------
    ValueError
        If it is no positive length.
    """
    if isinstance(text, WithUnit):
        return text
    length = _parsed(str(text).lower(), _NM_PER_UNIT)
    if not 0 < length < math.inf:
        raise ValueError(f"{text!r:.120} is no length; write it like 0.2, 0.2nm or 2A")
    return WithUnit(length) if str(text).strip()[-1].isalpha() else length


def doubt_of_unit(option: str, rmsd_nm: float | None) -> str | None:
    """Doubt that an RMSD written without a unit is meant in nm, if few RMSDs are so large or small."""
    if rmsd_nm is None or isinstance(rmsd_nm, WithUnit) or PLAUSIBLE_NM[0] <= rmsd_nm <= PLAUSIBLE_NM[1]:
        return None
    return (
        f"warning: `{option}` {rmsd_nm:g} has no unit, so it is {format_length(rmsd_nm)}. If Å is meant, "
        f"write {rmsd_nm:g}A"
    )


def parse_time_ps(text: str | float) -> float:
    """Read a time such as ``100``, ``100 ps`` or ``0.1ns``; a bare number is in ps.

    Raises
    ------
    ValueError
        If it is no time, or negative.
    """
    time = _parsed(str(text), _PS_PER_UNIT)
    if not math.isfinite(time):
        raise ValueError(f"{text!r:.120} is no time; write it like 100, '100 ps' or 0.1ns")
    return time


def parse_bytes(text: str | int) -> int:
    """Read a size such as ``500MB``, ``4GiB`` or ``8G``; K, M, G and T alone are powers of 1024.

    Raises
    ------
    ValueError
        If it is no positive size, or more than any machine has (2 to the power of 60).
    """
    size = _parsed(str(text).lower(), _BYTES_PER_UNIT)
    if not 1 <= size <= _MAX_BYTES:
        raise ValueError(f"{text!r:.120} is no size of memory; write it like 500MB, 4GiB or 8G")
    return int(size)


def _parsed(text: str, units: Mapping[str, float]) -> float:
    """Number times its unit; NaN if the text is something else."""
    found = _QUANTITY.fullmatch(text)
    # 2 Å is 0.2 nm, not 0.2 + 3e-17.
    return round(float(found[1]) * units.get(found[2], math.nan), 12) if found else math.nan


def count(number: int, noun: str) -> str:
    """Write a number and what it counts, such as ``1 frame`` and ``2,000 frames``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def format_length(length_nm: float) -> str:
    """Write a length in both units that the field uses."""
    return f"{length_nm:.6g} nm ({10 * length_nm:.6g} Å)"


def format_time(time_ps: float) -> str:
    """Write a time in the unit in which its number is handy."""
    size = abs(time_ps)
    unit = "ps" if size < 1e3 else "ns" if size < 1e6 else "µs"
    return f"{time_ps / _PS_PER_UNIT[unit]:.6g} {unit}"


def format_bytes(size: float) -> str:
    """Write a size in binary units, with three digits."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1000:
            return f"{size:.0f} B" if unit == "B" else f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.3g} TiB"
