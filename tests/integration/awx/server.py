"""Serves a controller over HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from .controller import Controller, Request
from .rules import Refused


@contextmanager
def serving(controller: Controller, before: Callable[[Request], int | None] = lambda _request: None) -> Iterator[str]:
    """Serve a controller on a free port of 127.0.0.1; yields its address.

    before: sees each request first. What it gives is the answer's status, of a page that a proxy made; 0: none at all.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def respond(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            raw = self.rfile.read(length)
            url = urlsplit(self.path)
            sent = json.loads(raw) if raw and self.command != "GET" else {}
            with controller.lock:
                request = Request(self.command, self.path, sent)
                controller.requests.append(request)
                if (broken := before(request)) is not None:
                    self.break_off(broken)
                    return
                try:
                    if self.headers.get("Authorization") != f"Bearer {controller.token}":
                        raise Refused(401, {"detail": "Authentication credentials were not provided."})
                    if "format=txt" in url.query and self.headers.get("Accept") == "application/json":
                        raise Refused(406, {"detail": "Could not satisfy the request Accept header."})
                    status, body = controller.answer(self.command, url.path, parse_qsl(url.query), sent)
                except Refused as refusal:
                    status, body = refusal.status, refusal.body
            form, text = ("text/plain", body) if isinstance(body, str) else ("application/json", json.dumps(body))
            payload = b"" if status == 204 else text.encode()
            self.send_response(status)
            self.send_header("X-API-Product-Name", "AWX")
            self.send_header("X-API-Product-Version", "24.6.1")
            self.send_header("Content-Type", form)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def break_off(self, status: int) -> None:
            self.close_connection = True
            if status:
                self.send_response(status)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(b"<html>a proxy's page</html>")

        do_GET = do_POST = do_PATCH = do_DELETE = respond

        def log_message(self, format: str, *args: Any) -> None:
            """The test's output is for the test."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
