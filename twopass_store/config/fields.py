"""The options as data, for command lines and the reference page."""

from collections.abc import Iterator
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from .kinds import Written

__all__ = ["Option", "options_of"]


@dataclass(frozen=True, slots=True)
class Option:
    """A field of a model."""

    name: str
    help: str  # names of other options stand in backticks
    default: Any  # None if it depends on something else
    written: str  # how a value is written, such as LENGTH or N; empty for a flag
    choices: tuple[str, ...]  # empty if other values are allowed
    is_flag: bool
    is_repeatable: bool


def options_of(model: type[BaseModel]) -> list[Option]:
    """List the options of a model, in the order of its fields."""
    found = []
    for name, field in model.model_fields.items():
        outer = [each.as_ for each in field.metadata if isinstance(each, Written)]
        parts = list(_parts(field.annotation))
        choices = tuple(str(each) for each in parts if not isinstance(each, type | Written))
        kinds = {each for each in parts if isinstance(each, type)}
        written = [*outer, *(each.as_ for each in parts if isinstance(each, Written))]
        if not written:
            written = ["|".join(choices) or {bool: "", int: "N"}.get(next(iter(kinds), str), "TEXT")]
        found.append(
            Option(
                name=name,
                help=" ".join((field.description or "").split()),
                default=field.default,
                written=written[0],
                choices=() if kinds else choices,
                is_flag=kinds == {bool},
                is_repeatable=get_origin(field.annotation) is tuple and not outer,
            )
        )
    return found


def _parts(annotation: Any) -> Iterator[Any]:
    """Yield the types, literal values and markers that an annotation is made of, from outside inwards."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        yield from inner
    elif origin is Annotated:
        yield from (each for each in inner[1:] if isinstance(each, Written))
        yield from _parts(inner[0])
    elif origin in (Union, UnionType, tuple):
        for each in inner:
            yield from _parts(each)
    elif isinstance(annotation, type) and annotation is not type(None):
        yield annotation
