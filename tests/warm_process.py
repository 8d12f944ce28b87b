"""Library calls in processes of their own that may be killed, each forked from one that has all imports done.

The one that forks never opens a store: zarr and the stages begin threads then, and a fork beside threads may
inherit a lock that nobody gives back.
"""

import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, Self

__all__ = ["KILLED", "WarmProcess"]

KILLED = "killed"


class WarmProcess:
    """A process that forks others.

    Parameters
    ----------
    chunks
        Arguments of :func:`small_chunks.small_chunks`; None for chunks as they are.
    """

    def __init__(self, chunks: dict[str, int] | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, json.dumps(chunks)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=60)

    def run(self, function: str, *arguments: Any, kill_at: int | None = None, **options: Any) -> str | None:
        """Call a function of `twopass_store` with JSON values in a process of its own.

        Parameters
        ----------
        function
            Its name.
        kill_at
            SIGKILL it there: before its first step on the disk (1), after that (2), before its second (3), …

        Returns
        -------
        None where it ended well, `KILLED`, or the error's kind and message, with a traceback where it is none
        of ours.
        """
        pipes = self._process.stdin, self._process.stdout
        assert pipes[0] is not None and pipes[1] is not None
        print(json.dumps([function, arguments, options, kill_at], default=str), file=pipes[0], flush=True)
        outcome: str | None = json.loads(pipes[1].readline())
        return outcome


def _serve(chunks: dict[str, int] | None) -> None:
    from small_chunks import small_chunks

    with nullcontext() if chunks is None else small_chunks(**chunks):
        _warm_up()
        for line in sys.stdin:
            print(json.dumps(_forked(*json.loads(line))), flush=True)


def _warm_up() -> None:
    import numpy as np

    import twopass_store
    from twopass_store.rmsd import PairwiseRmsd, nearest_leaders, nearest_other_leaders, prepare_leaders

    for name in twopass_store.__all__:
        getattr(twopass_store, name)
    xyz = np.random.default_rng(0).normal(size=(40, 9, 3)).astype(np.float32)
    pairs = PairwiseRmsd(xyz)
    pairs.pairs(0, pairs.n_pairs)
    leaders = prepare_leaders(xyz[:3])
    nearest_leaders(xyz, leaders)
    nearest_other_leaders(xyz, leaders, np.arange(3), np.zeros(len(xyz), int))


def _forked(function: str, arguments: list[Any], options: dict[str, Any], kill_at: int | None) -> str | None:
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        with suppress(BaseException):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.write(write, _called(function, arguments, options, kill_at).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        said = pipe.read()
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return KILLED if os.WTERMSIG(status) == signal.SIGKILL else f"signal {os.WTERMSIG(status)}"
    return None if said == "done" else said


def _called(function: str, arguments: list[Any], options: dict[str, Any], kill_at: int | None) -> str:
    import twopass_store
    from twopass_store.errors import TwopassError
    from twopass_store.journal import Writer

    if kill_at is not None:
        Writer.disk = _killing_disk(kill_at)
    try:
        getattr(twopass_store, function)(*arguments, **options)
    except TwopassError as error:
        return f"{type(error).__name__}: {error}"
    except BaseException:
        return traceback.format_exc()
    return "done"


def _killing_disk(at: int) -> Any:
    from twopass_store.journal import Disk

    left = at

    def counted(step: Callable[..., None]) -> Callable[..., None]:
        def killing(*arguments: object) -> None:
            nonlocal left
            for action in (lambda: None, lambda: step(*arguments)):
                action()
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        return killing

    disk = Disk()
    for name in ("make_folder", "write", "sync", "rename", "sync_folder", "remove_tree"):
        setattr(disk, name, counted(getattr(disk, name)))
    return disk


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    _serve(json.loads(sys.argv[1]))
