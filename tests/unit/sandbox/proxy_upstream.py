"""A small server to stand behind the fault proxy: the standard library's own HTTP, so that two codes must agree."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.sandbox.proxy import Front


class Upstream(ThreadingHTTPServer):
    """Keeps what it received, and steps its streams when told."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.received: list[tuple[str, str, bytes, dict[str, str]]] = []
        self.step = threading.Semaphore(0)
        self.stream_ended = threading.Event()
        self.peers: set[object] = set()

    def front(self, name: str = "api", errors: str = "kubernetes") -> Front:
        """This server as something to stand in front of."""
        return Front(name, "127.0.0.1", self.server_address[1], errors=errors)

    def handle_error(self, request: object, client_address: object) -> None:
        """A proxy that hangs up is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Upstream

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        whole = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            whole += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return whole

    def _any(self) -> None:
        body = self._body()
        self.server.peers.add(self.client_address)
        self.server.received.append((self.command, self.path, body, dict(self.headers)))
        if "Upgrade" in self.headers and not self.path.startswith("/no-upgrade"):
            self._echo_raw()
        elif self.path.startswith("/stream"):
            self._stream()
        elif self.path.startswith("/until-close"):
            self.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end")
            self.close_connection = True
        elif self.path.startswith("/status/"):
            self._send(int(self.path.split("/")[2]), b"" if self.path.endswith("204") else b"as asked")
        else:
            self._send(200, body or b"hello")

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_LIST = _any

    def _send(self, status: int, body: bytes) -> None:
        # Odd names and a repeated field: the proxy must not tidy up.
        head = f"HTTP/1.1 {status} As It Is\r\nX-oDD-Case:  two  spaces\r\nX-Twice: a\r\nX-Twice: b\r\n"
        if status != 204:
            head += f"Content-Length: {len(body)}\r\n"
        self.wfile.write(head.encode() + b"\r\n" + (b"" if self.command == "HEAD" else body))

    def _stream(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            for line in range(3):
                if not self.server.step.acquire(timeout=60):
                    return
                text = f'{{"line": {line}}}\n'
                self.wfile.write(f"{len(text):x}\r\n{text}\r\n".encode())
            if self.path.endswith("forever"):
                self.rfile.read(1)  # returns when the proxy hangs up
                return
            self.wfile.write(b"0\r\n\r\n")
        finally:
            self.server.stream_ended.set()

    def _echo_raw(self) -> None:
        self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nready:")
        while data := self.connection.recv(65536):
            self.connection.sendall(data[::-1])
        self.close_connection = True


@contextmanager
def upstream(tls: ssl.SSLContext | None = None) -> Iterator[Upstream]:
    """A running server, on HTTPS when given TLS."""
    server = Upstream()
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def ask(port: int, method: str = "GET", path: str = "/", body: bytes | None = None) -> tuple[int, bytes]:
    """One request on a connection of its own: status and body."""
    client = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        client.request(method, path, body)
        answer = client.getresponse()
        return answer.status, answer.read()
    finally:
        client.close()
