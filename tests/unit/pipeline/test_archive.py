"""What is read out of an archive, and which two builds count as the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from image_pipeline import archive
from image_pipeline.tools import Failed
from tests.unit.pipeline import archives


def test_an_archive_tells_digest_labels_and_what_made_each_layer(tmp_path: Path) -> None:
    digest = archives.write(tmp_path / "image.tar", {archive.OPENCLAW_VERSION: "2026.9.2"})
    image = archive.read(tmp_path / "image.tar")
    assert image.digest == digest
    assert image.labels[archive.OPENCLAW_VERSION] == "2026.9.2"
    assert image.entrypoint == ["/usr/bin/tini", "--"]
    (layer,) = image.layers
    assert layer.made_by == "COPY content /etc/content"
    assert image.size == layer.size > 0


@pytest.mark.parametrize("content", [None, b"", b"no tar at all"])
def test_what_is_no_archive_is_told(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "image.tar").write_bytes(content)
    with pytest.raises(Failed, match=r"image\.tar is (not there|no OCI archive)") as told:
        archive.read(tmp_path / "image.tar")
    assert "base/ci/build" in told.value.hint


def test_a_damaged_archive_is_told(tmp_path: Path) -> None:
    archives.write(tmp_path / "image.tar")
    raw = (tmp_path / "image.tar").read_bytes()
    (tmp_path / "image.tar").write_bytes(raw.replace(b'"architecture": "amd64"', b'"architecture": "arm64"'))
    with pytest.raises(Failed, match=r"the content of sha256:.* is another"):
        archive.read(tmp_path / "image.tar")


def _content(tmp_path: Path, labels: dict[str, str], content: bytes = b"same", created: str = "") -> object:
    archives.write(tmp_path / "image.tar", labels, content, created)
    return archive.content(archive.read(tmp_path / "image.tar").config)


def test_the_commit_and_the_times_make_no_other_content(tmp_path: Path) -> None:
    one = _content(tmp_path, {archive.CREATED: "2026-01-01T00:00:00Z"})
    assert one == _content(tmp_path, {archive.REVISION: "f" * 40, archive.CREATED: "2027-01-01T00:00:00Z"}, created="x")


@pytest.mark.parametrize(
    ("labels", "content"),
    [({archive.OPENCLAW_VERSION: "1"}, b"same"), ({archive.BASE_DIGEST: "2"}, b"same"), ({}, b"x")],
)
def test_other_layers_or_settings_are_another_content(tmp_path: Path, labels: dict[str, str], content: bytes) -> None:
    assert _content(tmp_path, {}) != _content(tmp_path, labels, content)
