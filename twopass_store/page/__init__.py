"""One file of HTML that shows a clustering, and the same pictures for papers."""

from .write import PageResult, write_pictures, write_report

__all__ = ["PageResult", "write_pictures", "write_report"]
