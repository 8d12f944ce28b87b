"""The kinds of options: their types, how they are written and checked, and those that several stages have.

In a description, the name of another option stands in backticks.
"""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator

from .quantities import parse_bytes, parse_length_nm, parse_time_ps


@dataclass(frozen=True, slots=True)
class Written:
    """How a value is written, for help and the reference; what is written as ``FILE`` holds a path."""

    as_: str


def _split(value: Any) -> Any:
    """Take ``1,2,3`` as well as a list."""
    return [part for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _listed(value: Any) -> Any:
    """Take one value as well as several."""
    if value is None:
        return ()
    if isinstance(value, str | Integral | os.PathLike):
        value = [value]
    if not isinstance(value, Sequence):
        return value
    return [os.fspath(each) if isinstance(each, os.PathLike) else each for each in value]


def _frame_or_path(value: Any) -> Any:
    """Take ``12`` as well as 12; another text is a path."""
    return int(value) if isinstance(value, str) and value.strip().isdecimal() else value


def _word_or(parse: Callable[[Any], float], *words: str) -> BeforeValidator:
    return BeforeValidator(lambda value: value if value in words else parse(value))


def _two_numbers(sign: str, wanted: str) -> BeforeValidator:
    """Take two numbers with a sign between them as well as a tuple."""

    def parsed(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        found = re.fullmatch(rf"\s*(\d+)\s*{sign}\s*(\d+)\s*", value)
        if not found:
            raise ValueError(wanted)
        return int(found[1]), int(found[2])

    return BeforeValidator(parsed)


def _check_part(part: tuple[int, int]) -> tuple[int, int]:
    if part[0] > part[1]:
        raise ValueError(NO_PART)
    return part


def _check_name(name: str) -> str:
    if not re.fullmatch("[A-Za-z0-9][A-Za-z0-9_-]{0,99}", name):
        raise ValueError(
            "can't be the name of a clustering: use letters, digits, _ and -, beginning with a letter or "
            "digit, at most 100"
        )
    return name


def _check_pattern(pattern: str) -> str:
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"is no regular expression: {error}") from None
    return pattern


def _check_image(image: str) -> str:
    if not re.fullmatch(r"none|whole|anchor=.*\S.*", image):
        raise ValueError("must be none, whole or anchor=SELECTION, such as anchor=protein")
    return image


NO_PART = "is no part; write it like 2/10, the second of ten"

# More than any disk holds, and products of two of them with any count of ours are exact in 64 bits.
MAX_COUNT = 10**12
Frame = Annotated[int, Field(ge=0, le=MAX_COUNT)]
Count = Annotated[int, Field(ge=1, le=MAX_COUNT)]
Seed = Annotated[int, Field(ge=0, lt=1 << 63)]
Length = Annotated[float, PlainValidator(parse_length_nm), Written("LENGTH")]
Time = Annotated[float, BeforeValidator(parse_time_ps), Written("TIME")]
Interval = Annotated[float, BeforeValidator(parse_time_ps), Field(gt=0), Written("TIME")]
File = Annotated[str, Written("FILE")]
Selection = Annotated[str, Written("SELECTION")]
Image = Annotated[str, AfterValidator(_check_image), Written("none|whole|anchor=SELECTION")]
FrameOrFile = Annotated[
    Annotated[Frame, Field(strict=True)] | Annotated[str, Field(min_length=1), Written("FILE")],
    BeforeValidator(_frame_or_path),
    Written("FRAME|FILE"),
]
Name = Annotated[str, AfterValidator(_check_name), Written("NAME")]
Files = Annotated[tuple[File, ...], BeforeValidator(_listed)]
Frames = Annotated[tuple[Frame, ...], BeforeValidator(_split), Written("I,J,...")]
Counts = Annotated[tuple[Count, ...], BeforeValidator(_listed)]
Range = Annotated[
    tuple[Count, Count], _two_numbers(":", "is no range; write it like 2:30"), Written("FIRST:LAST")
]
Part = Annotated[tuple[Count, Count], _two_numbers("/", NO_PART), AfterValidator(_check_part), Written("K/N")]
Pattern = Annotated[str, Field(max_length=1000), AfterValidator(_check_pattern), Written("REGEX")]
Precision = Annotated[
    Literal["auto", "lossless"] | Annotated[float, Field(ge=1e-6, le=0.1)],
    _word_or(parse_length_nm, "auto", "lossless"),
    Written("auto|lossless|LENGTH"),
]
Shard = Annotated[
    Literal["auto", "none"] | int, _word_or(parse_bytes, "auto", "none"), Written("auto|none|SIZE")
]
NClusters = Annotated[Count | Literal["auto"], Written("N|auto")]
Linkage = Literal["average", "ward", "complete", "single", "weighted", "centroid", "median"]
Linkages = Annotated[tuple[Linkage, ...], BeforeValidator(_listed), Field(min_length=1)]

# Options that several stages have.
Memory = Annotated[
    Annotated[int, BeforeValidator(parse_bytes), Written("SIZE")] | None,
    Field(description="Memory that all of it may use, such as 4GiB; by default half of what is available."),
]
Threads = Annotated[
    Annotated[int, Field(ge=1, le=4096)] | None,
    Field(description="Threads; by default as many as there are processors."),
]
Scheduler = Annotated[
    Annotated[str, Written("ADDRESS")] | None,
    Field(
        description="Run on the workers of a dask.distributed cluster, such as tcp://host:8786, or its "
        "scheduler file; they must see the store under the same path, and `memory` is that of each."
    ),
]
OnlyName = Annotated[
    Name | None, Field(description="Name of the clustering, if not default or the only one.")
]
RmsdAtoms = Annotated[
    Selection | None,
    Field(
        description="Atoms of the RMSD among those stored, in mdtraj's selection language; by default the "
        "C-alphas if there is a protein of at least 10 residues, else all heavy atoms."
    ),
]
SubsetFrames = Annotated[
    Count | None,
    Field(description="Cluster at most this many frames, evenly spaced; 10,000 unless `stride` is given."),
]
SubsetStride = Annotated[
    Count | None, Field(description="Cluster every nth frame of the store, instead of `subset_frames`.")
]

Equivalent = Literal["auto", "auto,chains"]


class Options(BaseModel):
    """A stage's options: frozen, and no others than its fields."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        protected_namespaces=(),
        defer_build=True,
        use_attribute_docstrings=True,
    )

    def takes_one_of(self, *names: str) -> None:
        """Refuse more than one of some options."""
        given = [f"`{name}`" for name in names if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} exclude each other: give one")
