"""The stage `assign`, the second pass: the nearest leader of every frame."""

from .stage import AssignResult, assign_frames

__all__ = ["AssignResult", "assign_frames"]
