"""A real HTTP proxy on a socket of its own, between a client and the server. It loses requests and answers, as networks do."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

FORWARD = "forward"
LOSE_REQUEST = "lose the request"
LOSE_ANSWER = "lose the answer"
CUT_ANSWER = "cut the answer in the middle"
SILENCE = "never answer, though the server does"


@dataclass
class Fault:
    """An answer that the proxy gives instead of the server's. With `afterwards`, the server has answered before."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    afterwards: bool = False
    body: bytes = b'{"message":"out of order"}'


@dataclass
class Seen:
    """A request that reached the proxy."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    # The client's end of the connection.
    peer: object


@dataclass
class Proxy:
    """Its address, what it does to the next requests, and the requests that it has seen."""

    url: str
    faults: list[str | Fault] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)


@contextmanager
def proxy_to(server: str) -> Iterator[Proxy]:
    """Runs a proxy to the server. Its faults are used up one a request; then everything passes."""
    behind = urlsplit(server)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

        def hang_up(self) -> None:
            self.close_connection = True
            # The client may have hung up before.
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)

        def forward(self) -> None:
            length = int(self.headers.get("content-length", 0))
            body = self.rfile.read(length)
            if len(body) < length:
                # The client has hung up in the middle, as a task does that is cancelled. The server would wait for the rest.
                return self.hang_up()
            proxy.seen.append(
                Seen(
                    self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body, self.client_address
                )
            )
            fault = proxy.faults.pop(0) if proxy.faults else FORWARD
            if fault == LOSE_REQUEST:
                return self.hang_up()
            status, headers, answer = 0, {}, b""
            if not isinstance(fault, Fault) or fault.afterwards:
                with closing(http.client.HTTPConnection(behind.hostname or "", behind.port, timeout=30)) as upstream:
                    upstream.request(self.command, self.path, body or None, dict(self.headers))
                    response = upstream.getresponse()
                    status, answer = response.status, response.read()
                headers = {name: value for name, value in response.getheaders() if name.lower() != "transfer-encoding"}
            if isinstance(fault, Fault):
                status, headers, answer = fault.status, dict(fault.headers), fault.body
            if fault == LOSE_ANSWER:
                return self.hang_up()
            if fault == SILENCE:
                proxy.released.wait(30)
                return self.hang_up()
            headers = {name: value for name, value in headers.items() if name.lower() != "content-length"}
            self.send_response_only(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if status not in (204, 304):
                self.send_header("content-length", str(len(answer)))
            self.end_headers()
            if fault == CUT_ANSWER:
                self.wfile.write(answer[: len(answer) // 2])
                return self.hang_up()
            self.wfile.write(answer)
            return None

        do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = forward  # noqa: N815

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.daemon_threads = True
    proxy = Proxy(f"http://127.0.0.1:{listener.server_address[1]}")
    thread = threading.Thread(target=listener.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield proxy
    finally:
        proxy.released.set()
        listener.shutdown()
        listener.server_close()
        thread.join()
