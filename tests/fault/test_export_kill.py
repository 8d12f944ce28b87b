"""Exports that were killed: the next one of the same file removes what they left, and nothing else."""

import signal
import subprocess
import sys
from pathlib import Path

from twopass_store.export.target import replacing

# Begins to write a file, and says so; then waits.
_EXPORT = """
import sys
from pathlib import Path
from twopass_store.export.target import replacing
with replacing(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    print(temporary, flush=True)
    sys.stdin.read()
"""


def begun(target: Path) -> tuple["subprocess.Popen[str]", Path]:
    process = subprocess.Popen(
        [sys.executable, "-c", _EXPORT, target],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_killed_export__is_swept_by_the_next_of_the_same_file(tmp_path: Path) -> None:
    target = tmp_path / "out[1].pdb.gz"
    dead, left = begun(target)
    dead.send_signal(signal.SIGKILL)
    dead.communicate(timeout=60)
    assert left.exists() and not target.exists()
    of_another, other_file = begun(tmp_path / "other.pdb")
    of_another.send_signal(signal.SIGKILL)
    of_another.communicate(timeout=60)
    with replacing(target) as temporary:
        temporary.write_text("whole")
    assert target.read_text() == "whole"
    assert sorted(tmp_path.iterdir()) == sorted([target, other_file])


def test_running_export__fails_if_another_of_the_same_file_begins(tmp_path: Path) -> None:
    target = tmp_path / "out.pdb"
    first, _ = begun(target)
    with replacing(target) as temporary:
        temporary.write_text("whole")
    _, said = first.communicate(timeout=60)
    assert first.returncode
    assert "Cannot write" in said
    assert target.read_text() == "whole"
