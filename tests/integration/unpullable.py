"""Images that a registry shows and a kubelet cannot get."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _described(kind: str, data: bytes) -> dict[str, object]:
    return {"mediaType": kind, "digest": _digest(data), "size": len(data)}


def _send(registry: str, method: str, path: str, body: bytes, kind: str) -> tuple[int, str]:
    connection = HTTPConnection(registry, timeout=30)
    try:
        connection.request(method, path, body=body, headers={"Content-Type": kind})
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.getheader("Location", "")
    finally:
        connection.close()


def broken_image(registry: str, repository: str) -> str:
    """Pushes an image whose only layer is no archive; its reference by digest. Every registry takes it."""
    layer = b"this is no archive\n" * 20
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [_digest(b"tar")]},
        }
    ).encode()
    for blob in (layer, config):
        status, where = _send(registry, "POST", f"/v2/{repository}/blobs/uploads/", b"", "application/octet-stream")
        assert status == 202, status
        path = where.split(registry, 1)[-1]
        joint = "&" if "?" in path else "?"
        status, _where = _send(
            registry, "PUT", f"{path}{joint}digest={_digest(blob)}", blob, "application/octet-stream"
        )
        assert status == 201, status
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": _described(_CONFIG, config),
            "layers": [_described(_LAYER, layer)],
        }
    ).encode()
    status, _where = _send(registry, "PUT", f"/v2/{repository}/manifests/{_digest(manifest)}", manifest, _MANIFEST)
    assert status == 201, status
    return f"{registry}/{repository}@{_digest(manifest)}"


@contextmanager
def refusing_registry(status: int) -> Iterator[str]:
    """A registry on this machine that shows us its image (HEAD of the manifest) and answers `status` to whoever wants
    to pull it. Yields the image's reference by digest."""
    digest = _digest(b"nothing that anybody will ever see")

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            pulls = "containerd" in self.headers.get("User-Agent", "")
            self.send_response(status if pulls else 200)
            self.send_header("Docker-Content-Digest", digest)
            self.send_header("Content-Type", _MANIFEST)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"127.0.0.1:{server.server_port}/tests/refused@{digest}"
        finally:
            server.shutdown()
