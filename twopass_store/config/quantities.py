"""Numbers with units, as people write them: lengths, times and sizes of memory."""

import math
import re

from .texts import shown

__all__ = [
    "format_bytes",
    "format_length",
    "format_time",
    "parse_bytes",
    "parse_length_nm",
    "parse_time_ps",
]

_NUMBER = r"\s*([0-9]+\.?[0-9]*(?:[eE][+-]?[0-9]+)?|\.[0-9]+(?:[eE][+-]?[0-9]+)?)\s*"
_LENGTH = re.compile(_NUMBER + r"(nm|a|å|angstroms?|pm)?\s*", re.IGNORECASE)
_TIME = re.compile(_NUMBER + r"(fs|ps|ns|us|µs|μs|ms)?\s*")
_BYTES = re.compile(_NUMBER + r"([kmgt]?)(i?)b?\s*", re.IGNORECASE)
_NM_PER_UNIT = {"nm": 1.0, "a": 0.1, "å": 0.1, "angstrom": 0.1, "angstroms": 0.1, "pm": 0.001}
_PS_PER_UNIT = {"fs": 1e-3, "ps": 1.0, "ns": 1e3, "us": 1e6, "µs": 1e6, "μs": 1e6, "ms": 1e9}
# Far beyond any number that is meant, and short enough for a pattern that has to try each place.
_MAX_LENGTH = 100
_MAX_BYTES = 1 << 60
_POWER = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def parse_length_nm(text: str | float) -> float:
    """Read a length such as ``0.2``, ``0.2nm`` or ``2A``; a bare number is in nm.

    Raises
    ------
    ValueError
        If it is no positive length.
    """
    found = _match(_LENGTH, text)
    length = float(found[1]) * _NM_PER_UNIT[(found[2] or "nm").lower()] if found else math.nan
    if not (math.isfinite(length) and length > 0):
        raise ValueError(f"{shown(text)} is no length; write it like 0.2, 0.2nm or 2A")
    # 2 Å is 0.2 nm, not 0.2 + 3e-17.
    return round(length, 12)


def parse_time_ps(text: str | float) -> float:
    """Read a time such as ``100``, ``100 ps`` or ``0.1ns``; a bare number is in ps.

    Raises
    ------
    ValueError
        If it is no time, or negative.
    """
    found = _match(_TIME, text)
    time = float(found[1]) * _PS_PER_UNIT[found[2] or "ps"] if found else math.nan
    if not math.isfinite(time):
        raise ValueError(f"{shown(text)} is no time; write it like 100, '100 ps' or 0.1ns")
    # 2 fs are 0.002 ps, not 0.002 + 4e-19.
    return round(time, 12)


def parse_bytes(text: str | int) -> int:
    """Read a size such as ``500MB``, ``4GiB`` or ``8G``; K, M, G and T alone are powers of 1024.

    Raises
    ------
    ValueError
        If it is no positive size, or more than any machine has (2 to the power of 60).
    """
    found = _match(_BYTES, text)
    if found:
        # As SLURM and Java have it, 8G is 8 GiB; with a B and no i, it is the decimal unit.
        decimal = found[2] and not found[3] and str(text).strip().lower().endswith("b")
        size = float(found[1]) * (1000 if decimal else 1024) ** _POWER[found[2].lower()]
        if 1 <= size <= _MAX_BYTES:
            return int(size)
    raise ValueError(f"{shown(text)} is no size of memory; write it like 500MB, 4GiB or 8G")


def _match(pattern: re.Pattern[str], value: object) -> re.Match[str] | None:
    text = str(value)
    return pattern.fullmatch(text) if len(text) <= _MAX_LENGTH else None


def format_length(length_nm: float) -> str:
    """Write a length in both units that the field uses."""
    return f"{length_nm:.6g} nm ({10 * length_nm:.6g} Å)"


def format_time(time_ps: float) -> str:
    """Write a time in the unit in which its number is handy."""
    size = abs(time_ps)
    unit = "ps" if size < 1e3 else "ns" if size < 1e6 else "us"
    return f"{time_ps / _PS_PER_UNIT[unit]:.6g} {unit}"


def format_bytes(size: float) -> str:
    """Write a size in binary units, with three digits."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1000:
            return f"{size:.0f} B" if unit == "B" else f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.3g} TiB"
