"""Commands and calls of the library in processes forked from one that has imports done and kernels loaded.

These take longer than most runs. A command is the same program, from its arguments to its exit code. The
process that forks neither opens a store nor begins a thread: what another thread holds at that moment, such
as a lock, the child would never get.
"""

import atexit
import gc
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn, Self

__all__ = ["KILLED", "Forked"]

KILLED = "killed"

_IMPORTS = (
    "dask.array",
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
    "twopass_store.integrity",
    "twopass_store.pipeline",
    "twopass_store.report.convergence",
    "twopass_store.report.summary",
    "xarray",
)
"""What commands import when they need it."""


class Forked:
    """A process that forks others.

    Parameters
    ----------
    chunks
        Arguments of :func:`small_chunks.small_chunks`; None for chunks as they are.
    """

    def __init__(self, chunks: dict[str, int] | None = None) -> None:
        self._server = subprocess.Popen(
            [sys.executable, __file__, json.dumps(chunks)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.communicate(timeout=60)

    def command(
        self,
        *arguments: object,
        cwd: Path,
        env: dict[str, str] | None = None,
        terminal: str | None = None,
        file_bytes: int | None = None,
        kill_after: float | None = None,
        **disk: Any,
    ) -> "subprocess.CompletedProcess[str]":
        """Run ``twopass`` as `subprocess.run` does with its output captured.

        Parameters
        ----------
        arguments
            What follows ``twopass``.
        cwd
            Where.
        env
            Its environment, by default this one; what libraries read when they are imported, they have read.
        terminal
            Path of one that both outputs go to, instead of being captured.
        file_bytes
            How large a file may become.
        kill_after
            After how many seconds it is killed.
        disk
            Parameters of `SteppingDisk` to write by, and ``commit_seconds`` between two writes of a ledger.
        """
        argv = [str(Path(sys.executable).with_name("twopass")), *map(str, arguments)]
        asked = {"argv": argv, "cwd": str(cwd), "env": env, "terminal": terminal, "disk": disk}
        asked["file_bytes"] = file_bytes
        return self._run(asked, kill_after)

    def call(self, function: str, *arguments: Any, kill_at: int | None = None, **options: Any) -> str | None:
        """Call a function of `twopass_store` with JSON values; at that moment of its disk it is killed.

        Returns
        -------
        None where it ended well, `KILLED`, or the error's kind and message, with a traceback where it is none
        of ours.
        """
        asked = {
            "call": [function, arguments, options],
            "cwd": os.fspath(Path.cwd()),
            "env": None,
            "disk": {"kill_at": kill_at},
        }
        done = self._run(asked, None)
        if done.returncode == -signal.SIGKILL:
            return KILLED
        return None if done.returncode == 0 else done.stdout or f"exit {done.returncode}"

    def _run(self, asked: dict[str, Any], kill_after: float | None) -> "subprocess.CompletedProcess[str]":
        assert self._server.stdin is not None and self._server.stdout is not None
        with tempfile.TemporaryDirectory(prefix="twopass-said-") as folder:
            said = [Path(folder) / name for name in ("stdout", "stderr")]
            for path in said:
                path.touch()
            asked["env"] = asked["env"] or dict(os.environ)
            encoding = asked["env"].get("PYTHONIOENCODING", "utf-8")
            asked |= {"said": list(map(str, said)), "encoding": encoding, "seconds": kill_after or 240.0}
            print(json.dumps(asked, default=str), file=self._server.stdin, flush=True)
            code, is_late = json.loads(self._server.stdout.readline())
            texts = [path.read_text(encoding, errors="surrogateescape") for path in said]
        argv = asked.get("argv", [])
        if is_late and kill_after is None:
            raise subprocess.TimeoutExpired(argv, 240, *texts)
        return subprocess.CompletedProcess(argv, code, *texts)


def _serve() -> dict[str, Any] | None:
    """Fork for each line of JSON on stdin; returns what was asked in the child, None at the end."""
    for name in _IMPORTS:
        importlib.import_module(name)
    _fill_caches()
    gc.freeze()  # children need not look at all that
    os.fsync = lambda descriptor: None  # as for the tests themselves
    for line in sys.stdin:
        asked: dict[str, Any] = json.loads(line)
        assert _n_threads() == 1, "a thread is there that a child would not have"
        child = os.fork()
        if not child:
            return asked
        print(json.dumps(_wait(child, asked["seconds"])), flush=True)
    return None


def _fill_caches() -> None:
    import numpy as np

    from twopass_store.rmsd import PairwiseRmsd, nearest_leaders, nearest_other_leaders, prepare_leaders
    from twopass_store.store.provenance import identity, provenance

    xyz = np.random.default_rng(0).normal(size=(40, 9, 3)).astype(np.float32)
    pairs = PairwiseRmsd(xyz)
    pairs.pairs(0, pairs.n_pairs)
    leaders = prepare_leaders(xyz[:3])
    nearest_leaders(xyz, leaders)
    nearest_other_leaders(xyz, leaders, np.arange(3), np.zeros(len(xyz), int))
    provenance()
    identity()


def _wait(child: int, seconds: float) -> tuple[int, bool]:
    """Wait for a child, and kill it when its time is over; returns its exit code, and whether that came."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status), False
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), True


def _become(asked: dict[str, Any]) -> NoReturn:
    """Do what was asked, and end the process at once: tearing all imports down takes half a second."""
    terminal = asked.get("terminal")
    said = [terminal, terminal] if terminal else asked["said"]
    for number, path in enumerate((os.devnull, *said)):
        opened = os.open(path, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_TRUNC)
        os.dup2(opened, number)
        os.close(opened)
    from twopass_store.trajectory import containment

    containment.subprocess = SimpleNamespace(**{**vars(subprocess), "Popen": _popen_of_reader})
    if asked.get("file_bytes"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (asked["file_bytes"],) * 2)
    os.environ.clear()
    os.environ.update(asked["env"])
    # As Python makes them at its start.
    sys.stdout, sys.stderr = (os.fdopen(number, "w", encoding=asked["encoding"]) for number in (1, 2))
    os.chdir(asked["cwd"])
    code = 1
    try:
        if asked["disk"]:
            _change_disk(**asked["disk"])
        sys.path.pop(0)  # the folder of this file
        code = _called(*asked["call"]) if "call" in asked else _commanded(asked["argv"])
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


def _popen_of_reader(*arguments: Any, **options: Any) -> Any:
    return _ForkedReader() if _n_threads() == 1 else subprocess.Popen(*arguments, **options)


class _ForkedReader:
    """A reader process that need not do its imports either, with what its driver uses of `Popen`."""

    def __init__(self) -> None:
        questions, answers = os.pipe(), os.pipe()
        self._pid, self._code = os.fork(), None
        if not self._pid:
            os.setpgid(0, 0)
            null = os.open(os.devnull, os.O_WRONLY)
            for number, opened in enumerate((questions[0], answers[1], null)):
                os.dup2(opened, number)
            os.closerange(3, 1 << 10)
            from twopass_store.trajectory.containment import serve

            serve()
        os.close(questions[0])
        os.close(answers[1])
        self.stdin, self.stdout = os.fdopen(questions[1], "wb"), os.fdopen(answers[0], "rb")

    def kill(self) -> None:
        if self._code is None:
            os.kill(self._pid, signal.SIGKILL)

    def communicate(self) -> None:
        self.stdout.close()
        self.wait()
        self.stdin.close()

    def wait(self) -> int:
        if self._code is None:
            self._code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        return self._code


def _n_threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def _change_disk(commit_seconds: float | None = None, **disk: Any) -> None:
    from stepping_disk import SteppingDisk
    from twopass_store.journal import Writer, ledger

    Writer.disk = SteppingDisk(**disk)
    if commit_seconds is not None:
        ledger.COMMIT_SECONDS = commit_seconds


def _commanded(argv: list[str]) -> int:
    from twopass_cli.main import app

    sys.argv[:] = argv
    app()
    return 0


def _called(function: str, arguments: list[Any], options: dict[str, Any]) -> int:
    import twopass_store
    from twopass_store.errors import TwopassError

    said = ""
    try:
        getattr(twopass_store, function)(*arguments, **options)
    except TwopassError as error:
        said = f"{type(error).__name__}: {error}"
    except BaseException:
        said = traceback.format_exc()
    os.write(1, said.encode())
    return int(bool(said))


if __name__ == "__main__":
    # Libraries that begin threads when they are imported do without.
    os.environ.update(OPENBLAS_NUM_THREADS="1", NUMEXPR_MAX_THREADS="1")
    from small_chunks import small_chunks

    chunks = json.loads(sys.argv[1])
    with nullcontext() if chunks is None else small_chunks(**chunks):
        found = _serve()
        if found is not None:
            _become(found)
