"""The cache of compiled kernels is an aid: whatever becomes of its folder, results are the same."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import twopass_store

PROGRAM = """
import resource, sys
sys.path.insert(0, sys.argv[1])
if len(sys.argv) > 2:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)  # what a full disk is like
import kernels
print(kernels.twice(21))
"""
MODULE = "from twopass_store.jit import kernel\n\n@kernel\ndef twice(x):\n    return 2 * x\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "kernels.py").write_text(MODULE)
    return tmp_path


def run(folder: Path, *arguments: object) -> list[Path]:
    """Call the kernel in a process of its own; return the machine code in the cache."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, folder, *map(str, arguments)],
        env={**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "42\n", "")
    return sorted((folder / "cache").rglob("*.nbc"))


def test_cache_on_a_full_disk__is_gone_without(folder: Path) -> None:
    assert not run(folder, 1000)
    assert run(folder)


def test_damaged_cache__is_begun_anew(folder: Path) -> None:
    run(folder)
    for pattern, size in (("*.nbi", 0), ("*.nbc", 40)):
        for file in (folder / "cache").rglob(pattern):
            os.truncate(file, size)
        assert not run(folder)
        (made,) = run(folder)
    before = made.stat()
    assert run(folder) == [made]
    assert made.stat() == before or made.stat().st_mtime_ns == before.st_mtime_ns


def test_cache__is_another_after_a_change_of_a_source(folder: Path) -> None:
    package = folder / "twopass_store"
    (package / "rmsd").mkdir(parents=True)
    (package / "__init__.py").touch()
    shutil.copy(Path(twopass_store.__file__).parent / "jit.py", package)
    (package / "rmsd" / "_pair.py").write_text("a = 1\n")
    assert len(run(folder)) == 1
    (package / "rmsd" / "_pair.py").write_text("a = 2\n")
    assert len(run(folder)) == 2
    assert not list(package.rglob("*.nb?"))
