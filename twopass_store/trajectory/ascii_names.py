"""Names of files for C readers that take ASCII only: mdtraj's of XTC, TRR and DCD."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

__all__ = ["ascii_name"]


@contextmanager
def ascii_name(path: str) -> Iterator[str]:
    """Yield a name in ASCII by which a file can be opened, to read or to write, while the context lasts.

    Parameters
    ----------
    path
        The file. If it is to be written, its own name must be in ASCII; its folder may have any.
    """
    if path.isascii():
        yield path
        return
    file = Path(path).absolute()
    with TemporaryDirectory(prefix="twopass-") as folder:
        if file.name.isascii():
            # Writers remove what is there and make it anew: that must happen in the folder itself.
            link = Path(folder) / "folder"
            link.symlink_to(file.parent)
            yield str(link / file.name)
        else:
            link = Path(folder) / "file"
            link.symlink_to(file)
            yield str(link)
