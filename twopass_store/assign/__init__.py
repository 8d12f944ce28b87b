"""The stage `assign`, the second pass: the nearest leader of every frame."""

from .stage import AssignResult, assign_frames, frames_left

__all__ = ["AssignResult", "assign_frames", "frames_left"]
