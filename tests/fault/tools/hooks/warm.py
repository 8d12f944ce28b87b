"""A process that has imported everything and forks a child for each command: imports take longer than runs.

Reads commands as lines of JSON on stdin and answers each with a line on stdout. No thread may be there when
it forks: what another thread holds, such as a lock, the child would never get.
"""

import contextlib
import json
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

import fault_hook


def main() -> None:
    settings = json.loads(sys.argv[1])
    fault_hook.shrink_chunks(settings["chunks"])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    _warm_up()
    # For the workers that the commands start.
    os.environ["PYTHONPATH"] = fault_hook.python_path()
    patience = time.monotonic() + 10
    while _n_threads() > 1 and time.monotonic() < patience:
        time.sleep(0.01)
    for line in sys.stdin:
        assert _n_threads() == 1, "a thread is there that a child would never get"
        answer = _run(json.loads(line))
        print(json.dumps(answer), file=answers, flush=True)


WARMING = (
    "ingest run.zarr example:alanine-dipeptide.xtc --top example:alanine-dipeptide.pdb --stride 20",
    "cluster run.zarr --stride 4 --n-clusters 3",
    "cluster run.zarr --stride 4 --name rows --n-clusters auto --linkage ward --linkage-input rows",
    "cluster run.zarr --stride 4 --name gromos --method gromos --cutoff 0.7A",
    "scan run.zarr --stride 4 --n-clusters 2:5",
    "assign run.zarr --name default --margin",
    "export run.zarr coordinates --to out.xtc",
)
"""A command of each kind: after them all is imported and the kernels are compiled."""


def _warm_up() -> None:
    from zarr.core.sync import cleanup_resources

    from twopass_cli.main import app

    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for command in WARMING:
            app(command.split(), standalone_mode=False)
        os.chdir(before)
    cleanup_resources()


def _n_threads() -> int:
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.is_dir() else threading.active_count()


def _run(asked: dict) -> dict:
    """Run one command in a child; kill it after `delay` seconds where that is given."""
    began = time.monotonic()
    child = os.fork()
    if not child:
        _be_command(asked)
    deadline = began + (asked.get("delay") or 240)
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            break
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
            break
        time.sleep(0.0005)
    return {"code": os.waitstatus_to_exitcode(status), "seconds": time.monotonic() - began}


def _be_command(asked: dict) -> None:
    code = 1
    try:
        os.chdir(asked["cwd"])
        out = os.open(asked["said"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(out, 1)
        os.dup2(out, 2)
        sys.stdin.close()
        sys.argv = ["twopass", *asked["arguments"]]
        os.environ[fault_hook.VARIABLE] = json.dumps(asked["settings"])
        fault_hook.install(asked["settings"], "driver")
        from twopass_cli.main import app

        app()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
