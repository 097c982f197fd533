"""What is refused before a push, which tag a build gets, and how a registry's words are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from image_pipeline import archive, push, registry
from image_pipeline.tools import Failed
from tests.unit.pipeline import archives

PUBLIC = "registry.example.com/team/openclaw-agent"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("IMAGE_REPOSITORY", "RUN_NUMBER", "LATEST"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("IMAGE_REPOSITORY", ""),
        ("IMAGE_REPOSITORY", "registry.example.com"),
        ("IMAGE_REPOSITORY", "registry.example.com/Team/name"),
        ("IMAGE_REPOSITORY", "registry.example.com/team/name:latest"),
        ("IMAGE_REPOSITORY", "https://registry.example.com/team/name"),
        ("RUN_NUMBER", "12; id"),
        ("LATEST", "yes"),
    ],
)
def test_settings_that_cannot_be_are_refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGE_REPOSITORY", PUBLIC)
    monkeypatch.setenv(name, value)
    with pytest.raises(Failed, match=name):
        push.from_environment(Path("image.tar"))


def test_settings_left_empty_are_a_push_without_latest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGE_REPOSITORY", PUBLIC)
    monkeypatch.setenv("RUN_NUMBER", "")
    monkeypatch.setenv("LATEST", "")
    assert push.from_environment(Path("image.tar")) == push.Wanted(Path("image.tar"), PUBLIC, "", False)


def test_a_run_of_its_own_has_a_tag_of_its_own() -> None:
    assert push.tag_of(archives.REVISION, "") == "sha-0123456789ab"
    assert push.tag_of(archives.REVISION, "17") == "sha-0123456789ab-17"


def _refused(tmp_path: Path, labels: dict[str, str], repository: str) -> str:
    archives.write(tmp_path / "image.tar", labels)
    try:
        push.refuse(archive.read(tmp_path / "image.tar"), repository)
    except Failed as failure:
        return str(failure)
    return ""


def test_an_image_of_no_commit_goes_nowhere(tmp_path: Path) -> None:
    assert "no commit has" in _refused(tmp_path, {archive.REVISION: archives.REVISION + "-dirty"}, PUBLIC)
    assert "names no commit" in _refused(tmp_path, {archive.REVISION: "main"}, PUBLIC)
    assert not _refused(tmp_path, {}, PUBLIC)


@pytest.mark.parametrize("repository", ["127.0.0.1:15000/team/name", "localhost:5000/team/name"])
def test_an_image_on_the_stand_in_stays_on_this_machine(tmp_path: Path, repository: str) -> None:
    assert "stand-in" in _refused(tmp_path, {archive.STAND_IN: "x"}, PUBLIC)
    assert "stand-in" in _refused(tmp_path, {archive.STAND_IN: "x"}, "127.0.0.1.example.com/team/name")
    assert not _refused(tmp_path, {archive.STAND_IN: "x"}, repository)


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ("reading manifest latest in x: unauthorized: authentication required", "refuses the login"),
        ("requested access to the resource is denied", "refuses the login"),
        ("received unexpected HTTP status: 405 Method Not Allowed", "takes no pushes now"),
        ("pinging container registry x: dial tcp: lookup x: no such host", "cannot be reached"),
        ("dial tcp 127.0.0.1:1: connect: connection refused", "cannot be reached"),
        ("context deadline exceeded", "does not answer in time"),
        ('writing blob: Patch "…": write: connection reset by peer', "loses the connection"),
        ("http: server gave HTTP response to HTTPS client", "no certificate"),
        ("tls: failed to verify certificate: x509: signed by unknown authority", "no certificate"),
        ("received unexpected HTTP status: 503 Service Unavailable", "is busy"),
        ("denied: the registry is in read-only mode", "takes no pushes now"),
        ("something that nobody foresaw", "refuses: something that nobody foresaw"),
    ],
)
def test_a_registrys_words_are_told_with_what_to_do(said: str, what: str) -> None:
    failure = registry.told(PUBLIC, f'first\ntime="2026-01-01T00:00:00Z" level=fatal msg={said}')
    assert str(failure).startswith("the registry registry.example.com ")
    assert what in str(failure)
    assert said in str(failure)
    assert failure.hint


def test_only_the_registrys_own_word_means_that_a_tag_is_not_there() -> None:
    assert registry.is_unknown("reading manifest sha-1 in x/y: manifest unknown")
    assert registry.is_unknown("name unknown: repository name not known to registry")
    for said in ("unauthorized", "connection refused", "404 page not found", ""):
        assert not registry.is_unknown(said)
