"""What decides whether an image is built: its key, and what the registry says of it."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.sandbox import images, standin

KIND = "application/vnd.oci.image.manifest.v1+json"


class Registry(ThreadingHTTPServer):
    """Manifests by path, and the methods that were asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.manifests: dict[str, bytes] = {}
        self.asked: list[tuple[str, str]] = []
        self.status_of_puts = 201

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    def hold(self, image: images.Image, tag: str, manifest: bytes) -> None:
        self.manifests[f"/v2/{image.repository}/manifests/{tag}"] = manifest

    def held(self, image: images.Image, tag: str) -> bytes | None:
        return self.manifests.get(f"/v2/{image.repository}/manifests/{tag}")


class Handler(BaseHTTPRequestHandler):
    server: Registry

    def _answer(self, with_body: bool) -> None:
        self.server.asked.append((self.command, self.path))
        manifest = self.server.manifests.get(self.path)
        self.send_response(404 if manifest is None else 200)
        if manifest is not None:
            self.send_header("Docker-Content-Digest", f"sha256:{hashlib.sha256(manifest).hexdigest()}")
            self.send_header("Content-Type", KIND)
        self.send_header("Content-Length", str(len(manifest or b"")))
        self.end_headers()
        if with_body and manifest:
            self.wfile.write(manifest)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_PUT(self) -> None:
        self.server.asked.append((self.command, self.path))
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Content-Type"] == KIND and self.server.status_of_puts == 201:
            self.server.manifests[self.path] = body
        self.send_response(self.server.status_of_puts)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def registry() -> Iterator[Registry]:
    server = Registry()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def image(tmp_path: Path) -> images.Image:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    return images.Image("digitalsys/something", "latest", tmp_path)


@pytest.fixture
def no_build(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*words: object, **_: object) -> None:
        raise AssertionError(f"a program was started: {words}")

    monkeypatch.setattr(images.subprocess, "run", refuse)
    monkeypatch.setattr(images.subprocess, "Popen", refuse)


def test_key_follows_files_names_and_arguments(image: images.Image) -> None:
    keys = [image.key()]
    assert image.key() == keys[0]
    (image.context / "Dockerfile").write_text("FROM scratch\nLABEL a=b\n")
    keys.append(image.key())
    (image.context / "Dockerfile").rename(image.context / "Containerfile")
    keys.append(image.key())
    keys.append(images.Image(image.repository, image.tag, image.context, {"FAULT": "x"}).key())
    assert len(set(keys)) == len(keys)


def test_the_pipeline_that_builds_an_image_is_no_part_of_it(image: images.Image) -> None:
    before = image.key()
    (image.context / "smoke").write_text("#!/bin/sh\n")
    (image.context / "ci").mkdir()
    (image.context / "ci" / "push").write_text("#!/bin/sh\n")
    assert image.key() == before


def test_key_follows_the_base(image: images.Image, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NODE_EXTRA_CA_CERTS", raising=False)
    without = image.key()
    authorities = tmp_path.parent / f"{tmp_path.name}.pem"
    authorities.write_text("one")
    monkeypatch.setenv("NODE_EXTRA_CA_CERTS", str(authorities))
    one = image.key()
    authorities.write_text("another")
    assert len({without, one, image.key()}) == 3


def test_the_images_have_names_and_keys_of_their_own() -> None:
    assert len({image.name for image in images.IMAGES}) == len(images.IMAGES)
    assert len({image.key() for image in images.IMAGES}) == len(images.IMAGES)
    assert all((image.context / "Dockerfile").is_file() for image in images.IMAGES)


def test_nothing_is_started_when_the_registry_has_all(registry: Registry, no_build: None) -> None:
    for image in images.IMAGES:
        for tag in (f"key-{image.key()}", image.tag):
            registry.hold(image, tag, image.name.encode())
    images.ensure(registry.address)
    assert {method for method, _ in registry.asked} == {"HEAD"}


def test_a_tag_that_was_moved_comes_back(registry: Registry, image: images.Image) -> None:
    registry.hold(image, f"key-{image.key()}", b"ours")
    registry.hold(image, "latest", b"theirs")
    assert images.missing(registry.address, (image,)) == []
    assert registry.held(image, "latest") == b"ours"


def test_an_image_of_another_content_is_missing(registry: Registry, image: images.Image) -> None:
    registry.hold(image, f"key-{image.key()}", b"ours")
    registry.hold(image, "latest", b"ours")
    (image.context / "Dockerfile").write_text("FROM scratch\nLABEL a=b\n")
    assert images.missing(registry.address, (image,)) == [(image, f"key-{image.key()}")]
    assert registry.held(image, "latest") == b"ours"


def test_a_registry_that_refuses_is_an_error(registry: Registry, image: images.Image) -> None:
    registry.hold(image, f"key-{image.key()}", b"ours")
    registry.status_of_puts = 500
    with pytest.raises(SystemExit, match=r"refused digitalsys/something:latest: 500"):
        images.missing(registry.address, (image,))


@pytest.mark.usefixtures("no_build")
def test_an_image_that_is_missing_is_built(registry: Registry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(images.buildah, "STORE", tmp_path / "store")
    with pytest.raises(AssertionError, match="unshare"):
        images.ensure(registry.address)


def test_a_command_that_fails_shows_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images.buildah, "STORE", tmp_path)
    with pytest.raises(SystemExit, match=r"line 40\n$") as failed:
        images._run(["sh", "-c", 'seq -f "line %g" 40; exit 3'], "image a/b:c")
    assert "line 9\n" not in str(failed.value)
    assert (tmp_path / "image a-b-c.log").read_text().startswith("line 1\n")


def test_downloads_are_kept_beside_the_images_and_not_in_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images.buildah, "DOWNLOADS", tmp_path / "downloads")
    assert images.buildah.network()["TMPDIR"] == str(tmp_path / "downloads")
    for image in images.IMAGES:
        steps = (image.context / "Dockerfile").read_text().split("\nRUN ")[1:]
        fetching = [step for step in steps if "apt-get install" in step or "npm ci" in step]
        assert fetching
        assert all(step.startswith("--mount=type=cache,target=") for step in fetching)


def test_sources_are_those_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    listing = (
        "Debian|trixie|http://mirror.example/debian/|main\n"
        "Debian|trixie|http://mirror.example/debian/|contrib\n"
        "Debian-Security|trixie-security|http://mirror.example/sec/|main\n"
        "Other|stable|http://other.example/|main\n"
    )
    answer = type("Answer", (), {"stdout": listing})()
    monkeypatch.setattr(standin.subprocess, "run", lambda *_, **__: answer)
    assert standin.debian_sources() == [
        ("http://mirror.example/debian/", "bookworm", "main"),
        ("http://mirror.example/sec/", "bookworm-security", "main"),
    ]
    answer.stdout = ""
    with pytest.raises(SystemExit, match="apt knows no Debian archive"):
        standin.debian_sources()
