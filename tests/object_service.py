"""An S3 server on this machine, and a proxy before it that is slow, fails, or alters what is sent."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Proxy:
    """What the proxy does: `fault` gets the number and the line of a request, and names what happens to it.

    It is one of ``503``, ``drop`` (no answer), ``cut`` (half of one), ``alter`` (another body) or empty.
    """

    latency: float = 0.0
    fault: Callable[[int, str], str] = lambda number, line: ""
    requests: list[str] = field(default_factory=list)
    url: str = ""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_: Any) -> None:
        """Say nothing: connections are dropped on purpose."""


@contextmanager
def proxied(port: int) -> Iterator[Proxy]:
    """Stand before an HTTP server on this machine."""
    proxy = Proxy()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def handle_one(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            line = f"{self.command} {self.path}"
            proxy.requests.append(line)
            fault = proxy.fault(len(proxy.requests), line)
            time.sleep(proxy.latency)
            if fault == "drop":
                self.close_connection = True
                return
            if fault == "503":
                self.answer(503, {}, b"slow down")
                return
            if fault == "alter" and body:
                body = body[:-1] + bytes([body[-1] ^ 1])
            upstream = HTTPConnection("127.0.0.1", port)
            upstream.request(self.command, self.path, body, {**self.headers})
            found = upstream.getresponse()
            data = found.read()
            upstream.close()
            self.answer(found.status, dict(found.getheaders()), data, cut=fault == "cut")

        do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = handle_one  # noqa: N815

        def answer(self, status: int, headers: dict[str, str], data: bytes, *, cut: bool = False) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                    self.send_header(name, value)
            size = headers.get("Content-Length") if self.command == "HEAD" else None
            self.send_header("Content-Length", size or str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if cut else data)
            self.close_connection = cut

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = _Server(("127.0.0.1", 0), Handler)
    proxy.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
