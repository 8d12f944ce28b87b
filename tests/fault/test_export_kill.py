"""Exports that were killed: the next one of the same file removes what they left, and nothing else."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from twopass_store.export.target import replacing

# Begins to write a file, or a folder, and says so; then waits.
_EXPORT = """
import sys
from pathlib import Path
from twopass_store.export.target import replacing
with replacing(Path(sys.argv[1])) as temporary:
    temporary.mkdir() if sys.argv[1].endswith("zarrmd") else temporary.write_text("half")
    print(temporary, flush=True)
    sys.stdin.read()
"""


def begun(target: Path) -> tuple["subprocess.Popen[str]", Path]:
    process = subprocess.Popen(
        [sys.executable, "-c", _EXPORT, target], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


@pytest.mark.parametrize("name", ["out[1].pdb.gz", "out.zarrmd"])
def test_killed_export__is_swept_by_the_next_of_the_same_file(tmp_path: Path, name: str) -> None:
    living, its_file = begun(tmp_path / name)
    dead, left = begun(tmp_path / name)
    dead.send_signal(signal.SIGKILL)
    dead.communicate(timeout=60)
    # Of another host, which can't be asked whether the process lives, or of another file.
    elsewhere = tmp_path / left.name.replace(left.name.split("-")[1], "0" * 8)
    elsewhere.write_text("half")
    assert left.exists() and "out" in left.name
    with replacing(tmp_path / name) as temporary:
        temporary.write_text("whole")
    assert (tmp_path / name).read_text() == "whole"
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / name, its_file, elsewhere])
    living.send_signal(signal.SIGKILL)
    living.communicate(timeout=60)


def test_export_of_a_folder__killed_between_two_renames_leaves_the_older_one(tmp_path: Path) -> None:
    target = tmp_path / "out.zarrmd"
    dead, left = begun(target)
    dead.send_signal(signal.SIGKILL)
    dead.communicate(timeout=60)
    # As it is where the older folder was moved away, and the new one not yet put in its place.
    older = left.with_name(left.name.replace("-out", "-older-out"))
    older.mkdir()
    (older / "frames").write_text("of before")

    def fails() -> None:
        with replacing(target):
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        fails()
    assert (target / "frames").read_text() == "of before"
    assert list(tmp_path.iterdir()) == [target]
