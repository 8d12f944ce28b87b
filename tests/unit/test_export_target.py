"""Exported files are on the disk before they have their names, and these before they are reported."""

import os
from pathlib import Path

from twopass_store.export.target import replacing
from twopass_store.journal import Disk, Writer


class Watched(Disk):
    """Notes what is synced, and how large it was then."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.steps: list[tuple[int, int, bool]] = []

    def sync(self, file):
        super().sync(file)
        status = os.fstat(file.fileno())
        self.steps.append((status.st_ino, status.st_size, self.target.exists()))

    def sync_folder(self, path):
        super().sync_folder(path)
        self.steps.append((path.stat().st_ino, 0, self.target.exists()))


def test_replacing__syncs_the_file_and_then_its_name(tmp_path, monkeypatch):
    target = tmp_path / "out"
    disk = Watched(target)
    monkeypatch.setattr(Writer, "disk", disk)
    with replacing(target) as temporary:
        temporary.write_bytes(b"123")
    inode = target.stat().st_ino
    assert disk.steps == [(inode, 3, False), (tmp_path.stat().st_ino, 0, True)]
    assert list(tmp_path.iterdir()) == [target]
