"""Registries of a test's own, real ones, and lines to them that break."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from tests.integration.fleet import until


def tags(repository: str) -> dict[str, str]:
    """Each tag's digest in a registry on this machine, by skopeo; nothing where it has no such repository."""
    listed = _skopeo("list-tags", f"docker://{repository}")
    if listed.returncode:
        assert "404 (Not Found)" in listed.stderr
        return {}
    words = ("inspect", "--format={{.Digest}}")
    found = {tag: _skopeo(*words, f"docker://{repository}:{tag}") for tag in json.loads(listed.stdout)["Tags"]}
    assert not [answer.stderr for answer in found.values() if answer.returncode]
    return {tag: answer.stdout.strip() for tag, answer in found.items()}


def digest_of(repository: str, tag: str) -> str:
    """Of an image of one platform."""
    registry, _slash, path = repository.partition("/")
    request = Request(f"http://{registry}/v2/{path}/manifests/{tag}", method="HEAD")
    request.add_header("Accept", "application/vnd.oci.image.manifest.v1+json")
    with urlopen(request, timeout=10) as answer:
        return str(answer.headers["Docker-Content-Digest"])


def _skopeo(command: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["skopeo", command, "--tls-verify=false", *words], capture_output=True, text=True)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def registry(folder: Path, auth: dict[str, Any] | None = None, read_only: bool = False) -> Iterator[str]:
    """A registry's address, `host:port`. `auth` is its configuration's part of that name."""
    address = f"127.0.0.1:{free_port()}"
    settings: dict[str, Any] = {
        "version": "0.1",
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "registry")}},
        "http": {"addr": address},
    }
    if auth:
        settings["auth"] = auth
    if read_only:
        settings["storage"]["maintenance"] = {"readonly": {"enabled": True}}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "registry.yml").write_text(json.dumps(settings))
    program = shutil.which("docker-registry") or "/usr/bin/docker-registry"
    with subprocess.Popen([program, "serve", str(folder / "registry.yml")], stderr=subprocess.DEVNULL) as process:
        try:
            until(lambda: _listens(address), "a registry that listens")
            yield address
        finally:
            process.terminate()


def _listens(address: str) -> bool:
    host, port = address.split(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


@contextmanager
def line(upstream: str, cut_after: int, times: int = 10**6) -> Iterator[str]:
    """The address of a line to a registry that is cut when a client has sent so many bytes in one connection; the
    first `times` connections that send so many.
    """
    host, port = upstream.split(":")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        left = [times]

        def serve(client: socket.socket) -> None:
            with closing(client), closing(socket.create_connection((host, int(port)))) as server:
                threading.Thread(target=_pass_on, args=(server, client), daemon=True).start()
                sent = 0
                with suppress(OSError):
                    while piece := client.recv(65536):
                        sent += len(piece)
                        if sent > cut_after and left[0] > 0:
                            left[0] -= 1
                            client.shutdown(socket.SHUT_RDWR)
                            return
                        server.sendall(piece)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)


@contextmanager
def silence() -> Iterator[str]:
    """The address of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
