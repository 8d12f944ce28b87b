"""The command in a process forked from one that has its imports done: they take longer than most runs.

It is the same program, from its arguments to its exit code. The process that forks only imports, and neither
opens a store nor begins a thread: what another thread holds at that moment, such as a lock, the child would
never get.
"""

import atexit
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

__all__ = ["ForkedCommand"]

_IMPORTS = (
    "fastcluster",
    "mdtraj",
    "netCDF4",
    "rich.progress",
    "scipy.cluster.hierarchy",
    "scipy.optimize",
    "tables",
    "twopass_cli.main",
    "twopass_cli.summary_tables",
    "twopass_store.assign.unit",
    "twopass_store.cluster.outside",
    "twopass_store.cluster.scan",
    "twopass_store.cluster.steps",
    "twopass_store.ingest.estimate",
    "twopass_store.pipeline",
    "twopass_store.report.convergence",
    "twopass_store.report.summary",
    "xarray",
)
"""What commands import when they need it."""

_THREADS_OF_LIBRARIES = {"OPENBLAS_NUM_THREADS", "NUMEXPR_MAX_THREADS"}
"""Threads that libraries begin when they are imported."""


class ForkedCommand:
    """A process that forks others, which run ``twopass``."""

    def __init__(self, command: str) -> None:
        self._command = command
        self._environment = _environment()
        self._server = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    @property
    def fits(self) -> bool:
        """Whether the environment is the one that everything was imported in."""
        return _environment() == self._environment

    def run(
        self, arguments: list[str], *, cwd: Path, folder: Path, timeout: float
    ) -> "subprocess.CompletedProcess[str]":
        """Run the command as `subprocess.run` does with its output captured, in files of a folder."""
        out, err = folder / "stdout", folder / "stderr"
        argv = [self._command, *arguments]
        asked = {"argv": argv, "cwd": str(cwd), "out": str(out), "err": str(err), "timeout": timeout}
        assert self._server.stdin is not None and self._server.stdout is not None
        print(json.dumps(asked), file=self._server.stdin, flush=True)
        code = json.loads(self._server.stdout.readline())
        if code is None:
            raise subprocess.TimeoutExpired(argv, timeout, out.read_text(), err.read_text())
        return subprocess.CompletedProcess(argv, code, out.read_text(), err.read_text())

    def close(self) -> None:
        self._server.communicate(timeout=60)


def _environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key != "PYTEST_CURRENT_TEST"}


def _serve() -> dict[str, Any] | None:
    """Fork for each line of JSON on stdin; returns what was asked in the child, None at the end."""
    single = dict.fromkeys(_THREADS_OF_LIBRARIES.difference(os.environ), "1")
    os.environ.update(single)
    for name in _IMPORTS:
        importlib.import_module(name)
    for name in single:
        del os.environ[name]
    for line in sys.stdin:
        asked: dict[str, Any] = json.loads(line)
        n_threads = len(list(Path("/proc/self/task").iterdir()))
        assert n_threads == 1, "a thread is there that a child would not have"
        child = os.fork()
        if not child:
            return asked
        print(json.dumps(_wait(child, asked["timeout"])), flush=True)
    return None


def _wait(child: int, timeout: float) -> int | None:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def _become(asked: dict[str, Any]) -> NoReturn:
    """Run the command in this process, and end it: tearing down all that is imported takes half a second."""
    for number, path in enumerate((os.devnull, asked["out"], asked["err"])):
        flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        opened = os.open(path, flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(asked["cwd"])
    sys.argv[:] = asked["argv"]
    sys.path.pop(0)  # the folder of this file
    code = 1
    try:
        from twopass_cli.main import app

        app()
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else int(left.code is not None)
    except BaseException:
        traceback.print_exc()
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    found = _serve()
    if found is not None:
        _become(found)
