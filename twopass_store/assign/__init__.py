"""The stage `assign`, the second pass: every frame gets its label from a leader."""

from .left import frames_left
from .rule import Rule
from .stage import AssignResult, assign_frames

__all__ = ["AssignResult", "Rule", "assign_frames", "frames_left"]
