"""Runs of the command whose memory is measured, over all processes that they start."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

COMMAND = str(Path(sys.executable).with_name("twopass"))
MEBIBYTE = 1 << 20
REFUSED = 5
"""Exit code of a plan that needs more than its budget."""

# Measures in a process of its own: a child counts the peak of whoever forked it as its own. The kernel keeps
# the peak of each process, so that samples only have to catch which of them live at the same time. When the
# command ends, the peak of the largest of all is known exactly.
_MEASURE = """
import json, os, subprocess, sys, time
def number(text, key):
    start = text.find(key)
    return 0 if start < 0 else int(text[start + len(key):].split(None, 1)[0])
def peak(pid):
    with open(f"/proc/{pid}/status") as file:
        return number(file.read(), "VmHWM:")
def children(pid):
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children") as file:
            for child in map(int, file.read().split()):
                yield child
                yield from children(child)
def others(pid):
    total = 0
    try:
        for child in children(pid):
            try:
                total += peak(child)
            except OSError:
                pass
    except OSError:
        pass
    return total
began = time.monotonic()
with open(sys.argv[1], "w") as out, open(sys.argv[2], "w") as err:
    child = subprocess.Popen(sys.argv[3:], stdout=out, stderr=err)
most = 0
while True:
    pid, status, usage = os.wait4(child.pid, os.WNOHANG)
    if pid:
        break
    most = max(most, peak(child.pid) + others(child.pid))
    time.sleep(0.01)
print(json.dumps([os.waitstatus_to_exitcode(status), max(usage.ru_maxrss, most), time.monotonic() - began,
                  usage.ru_utime + usage.ru_stime]))
"""


@dataclass(frozen=True)
class Measured:
    """A finished run of the command: of its processes that live at one time, the sum of the peaks of each."""

    code: int
    peak_bytes: int
    seconds: float
    cpu_seconds: float
    stdout: str
    stderr: str


class Runs:
    """Runs of the command in one folder, each measured and printed (to be read with ``pytest -s``).

    A refusal, whose peak is of no interest, is a run of the fixture `twopass`.
    """

    def __init__(
        self,
        folder: Path,
        twopass: Callable[..., subprocess.CompletedProcess[str]],
        *,
        env: dict[str, str] | None = None,
        timeout: float = 240,
    ) -> None:
        self.folder = folder
        self._twopass = twopass
        self._env = env
        self._timeout = timeout

    def figure(self, *arguments: object) -> int:
        """Return the MiB that the command says it needs when it may use next to nothing.

        Where that is what it takes without the subset, it says what it needs when it may use that.
        """
        figure, said = 1, ""
        while not said or "comes on top" in said:
            said = self.refused(*arguments, memory=figure)
            named = re.search(r"--memory (\d+)MiB", said)
            assert named, said
            figure = int(named[1])
        return figure

    def refused(self, *arguments: object, memory: int) -> str:
        """Run with so many MiB, which must be too little; returns what it said."""
        return self._twopass(*arguments, "--memory", f"{memory}MiB", code=REFUSED).stderr

    def within(self, *arguments: object, memory: int) -> Measured:
        """Run with so many MiB and assert that it keeps to them."""
        return self._kept(self._run(*arguments, memory=memory), memory, arguments)

    def bounded(self, *arguments: object, memory: int) -> Measured:
        """Run a command that isn't told how much it may use, and assert that it takes no more than that."""
        return self._kept(self._run(*arguments), memory, arguments)

    def exactly(self, *arguments: object) -> int:
        """Run with the very figure that the command names, which is the least; returns it."""
        figure = self.figure(*arguments)
        self.refused(*arguments, memory=figure - 1)
        self.within(*arguments, memory=figure)
        return figure

    def _kept(self, result: Measured, memory: int, arguments: tuple[object, ...]) -> Measured:
        assert result.code == 0, result.stderr
        peak = result.peak_bytes / MEBIBYTE
        print(
            f"{peak:6.1f} of {memory} MiB, {result.cpu_seconds:5.1f} s of CPU: "
            f"twopass {' '.join(map(str, arguments))}"
        )
        assert peak <= memory
        return result

    def _run(self, *arguments: object, memory: int | None = None) -> Measured:
        option = () if memory is None else ("--memory", f"{memory}MiB")
        out, err = self.folder / "stdout.txt", self.folder / "stderr.txt"
        result = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _MEASURE, out, err, COMMAND, *map(str, arguments), *option],
            check=True,
            capture_output=True,
            text=True,
            timeout=self._timeout,
            cwd=self.folder,
            env={**os.environ, **(self._env or {})},
        )
        code, peak_kib, seconds, cpu_seconds = json.loads(result.stdout)
        return Measured(code, peak_kib << 10, seconds, cpu_seconds, out.read_text(), err.read_text())
