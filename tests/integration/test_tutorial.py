"""The tutorial runs as it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from reference import DOCS


def test_tutorial__runs(tmp_path):
    for package in ("deeptime", "plotly", "ipymolstar"):
        pytest.importorskip(package)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    blocks = re.findall(r"```(sh|python)\n(.*?)```", (DOCS / "tutorial.md").read_text(encoding="utf-8"), re.S)
    for kind, text in blocks:
        program = ["bash", "-e", "-c", text] if kind == "sh" else [sys.executable, "-c", text]
        done = subprocess.run(
            program,
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            timeout=200,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
    assert (tmp_path / "report.html").stat().st_size < 15e6
    assert (tmp_path / "cluster2.pdb").exists()
