"""How the leaders of a clustering give frames their labels."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from ..config import format_length

__all__ = ["Rule"]


@dataclass(frozen=True, slots=True)
class Rule:
    """The rule of a clustering."""

    within_nm: float | None = None  # the first leader nearer than this takes a frame; if None, the nearest
    keeps_subset: bool = False  # frames of the subset keep their first-pass label

    @classmethod
    def of(cls, attrs: Mapping[str, Any]) -> Self:
        """Read the attributes of a clustering's group; where they say nothing, the nearest leader counts."""
        within = attrs["cutoff_nm"] if attrs.get("rule") == "first-within" else None
        return cls(within, bool(attrs.get("keep_subset_labels")))

    @property
    def text(self) -> str:
        """What gives a frame its label, in words."""
        text = "label of the nearest leader"
        if self.within_nm is not None:
            text = f"label of the first leader within {format_length(self.within_nm)}, else of the nearest"
        return f"{text}; subset frames keep their own" if self.keeps_subset else text
