"""Hosts as network namespaces, with a Dask scheduler on the first and workers on any.

These are forked from one process that has imports done, which takes longer than what they do.
"""

import asyncio
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

__all__ = ["Hosts"]


class Hosts(ExitStack):
    """Hosts of which each reaches the first, by its device ``out``, and nothing else.

    Until they are closed the thread that makes them is on the first. Skips the test where they can't be made.

    Parameters
    ----------
    n_hosts
        How many.
    file
        The scheduler file to be written.
    chunks
        Arguments of `small_chunks`.
    """

    def __init__(self, n_hosts: int, file: Path, chunks: dict[str, int]) -> None:
        super().__init__()
        self._names = [f"host{number}-{os.getpid()}" for number in range(n_hosts)]
        try:
            self._link()
            self._server = subprocess.Popen(
                [sys.executable, __file__, file, json.dumps(chunks)],
                stdin=subprocess.PIPE,
                stderr=self.enter_context((file.parent / "log").open("wb")),
                text=True,
                cwd=file.parent,
                start_new_session=True,
            )
            self.callback(self._server.communicate)
            self.callback(os.killpg, self._server.pid, signal.SIGKILL)
            self.start(0)
            deadline = time.monotonic() + 60
            while not file.exists():  # a client would wait for ever
                assert time.monotonic() < deadline, (file.parent / "log").read_text()
                time.sleep(0.05)
        except BaseException:
            self.close()
            raise

    def start(self, host: int, command: str | None = None) -> None:
        """Start a worker on a host, with what it runs in a shell before each unit; the scheduler without."""
        print(json.dumps([self._names[host], command]), file=self._server.stdin, flush=True)

    def connect(self, host: int) -> None:
        """Set a host's device up, at first or after a worker there has set it down."""
        self._ip(f"-n {self._names[host]} link set out up")

    def _link(self) -> None:
        for name in self._names:
            self._ip(f"netns add {name}")
            self.callback(self._ip, f"netns del {name}")
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        self.callback(os.close, home)
        self.callback(_enter, home)
        _enter(_opened(self._names[0]))
        self._ip("link set lo up")
        for host, name in enumerate(self._names[1:], 1):
            near, far = "198.51.100.1", f"198.51.100.{host + 1}"
            self._ip(f"link add to{host} type veth peer name out netns {name}")
            self._ip(f"addr add {near} peer {far} dev to{host}")
            self._ip(f"link set to{host} up")
            self._ip(f"-n {name} addr add {far} peer {near} dev out")
            self.connect(host)

    def _ip(self, arguments: str) -> None:
        try:
            subprocess.run(["ip", *arguments.split()], capture_output=True, text=True, check=True)
        except FileNotFoundError as error:
            pytest.skip(f"network namespaces need the command ip: {error}")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"`ip {arguments}` isn't allowed here: {error.stderr.strip()}")


def _opened(host: str) -> int:
    return os.open(f"/run/netns/{host}", os.O_RDONLY)


def _enter(network: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(network, 0x40000000):  # CLONE_NEWNET
        raise OSError(ctypes.get_errno(), "setns")


def _serve(file: str, chunks: str) -> None:
    import distributed

    from small_chunks import small_chunks

    async def serve(kind, **options):
        async with kind(scheduler_file=file, **options) as server:
            await server.finished()

    with small_chunks(**json.loads(chunks)):
        for line in sys.stdin:
            if os.fork():
                continue
            host, command = json.loads(line)
            _enter(_opened(host))
            distributed.comm.tcp.set_tcp_timeout = _notice_soon
            if command is None:
                asyncio.run(serve(distributed.Scheduler, host="198.51.100.1", dashboard=False))
            else:
                _run_before_units(command)
                asyncio.run(serve(distributed.Worker, nthreads=1))
            os._exit(0)


def _run_before_units(command: str) -> None:
    from twopass_store.units import Sent

    do = Sent.__call__
    Sent.__call__ = lambda *given: (os.system(command), do(*given))[1]


def _notice_soon(comm) -> None:
    """Let the kernel look for the other end each second, and give it up after two.

    Dask's own timeout is at least 11 s.
    """
    for name, value in (("KEEPIDLE", 1), ("KEEPINTVL", 1), ("KEEPCNT", 1), ("USER_TIMEOUT", 2000)):
        comm.socket.setsockopt(socket.IPPROTO_TCP, getattr(socket, f"TCP_{name}"), value)
    comm.socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


if __name__ == "__main__":
    _serve(*sys.argv[1:])
