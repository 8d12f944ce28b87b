"""The tutorial runs as it stands."""

import re
import shlex

import pytest

from reference import DOCS


@pytest.mark.filterwarnings("default")
def test_tutorial__runs(tmp_path, twopass, monkeypatch):
    for package in ("deeptime", "plotly", "ipymolstar"):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```(sh|python)\n(.*?)```", (DOCS / "tutorial.md").read_text(encoding="utf-8"), re.S)
    for kind, text in blocks:
        if kind == "python":
            exec(compile(text, "tutorial.md", "exec"), {})
        else:
            for line in text.replace("\\\n", " ").splitlines():
                program, *arguments = shlex.split(line, comments=True)
                assert program == "twopass"
                twopass(*arguments)
    assert (tmp_path / "report.html").stat().st_size < 15e6
    assert (tmp_path / "cluster2.pdb").exists()
