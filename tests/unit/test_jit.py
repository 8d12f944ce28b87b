"""The cache of compiled kernels is an aid: whatever becomes of its disk, results are the same."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_PROGRAM = """
import resource, sys
sys.path.insert(0, sys.argv[1])
if len(sys.argv) > 2:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)  # what a full disk is like
import kernels
print(kernels.twice(21), sum(kernels.twice.stats.cache_hits.values()))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    module = "from twopass_store.jit import kernel\n\n@kernel\ndef twice(x):\n    return 2 * x\n"
    (tmp_path / "kernels.py").write_text(module)
    return tmp_path


def run(folder: Path, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, folder, *map(str, arguments)],
        env={**os.environ, "XDG_CACHE_HOME": str(folder / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout.strip()


def test_cache_on_a_full_disk__is_gone_without(folder: Path) -> None:
    assert run(folder, 1000) == "42 0"
    assert run(folder) == "42 0"


@pytest.mark.parametrize(("pattern", "size"), [("*.nbi", 0), ("*.nbc", 40)])
def test_damaged_cache__is_begun_anew(folder: Path, pattern: str, size: int) -> None:
    assert run(folder) == "42 0"
    files = list((folder / "cache").rglob(pattern))
    assert files
    for file in files:
        os.truncate(file, size)
    assert run(folder) == "42 0"
    assert run(folder) == "42 1"
