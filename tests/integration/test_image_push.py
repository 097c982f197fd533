"""base/ci/push at real registries: tags never move, and what goes wrong is told, with nothing tagged."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from image_pipeline import archive, registry
from tests.integration import registries
from tests.sandbox.paths import CHECKOUT
from tests.unit.pipeline import archives
from tests.unit.pipeline.archives import REVISION

TAG = f"sha-{REVISION[:12]}"
#: Larger than what a push says besides it, and of bytes that no compression makes fewer.
LAYER = os.urandom(3_000_000)


@dataclass(frozen=True)
class Pushed:
    code: int
    outputs: Mapping[str, str]
    said: str


@dataclass(frozen=True)
class Place:
    """A folder with an archive, and a repository to push it to."""

    folder: Path
    address: str

    @property
    def repository(self) -> str:
        return f"{self.address}/team/agent"

    @property
    def image(self) -> Path:
        return self.folder / "image.tar"

    def environment(self) -> dict[str, str]:
        return {**os.environ, "HOME": str(self.folder)}

    def push(self, **settings: str) -> Pushed:
        environment = {**self.environment(), "IMAGE_REPOSITORY": self.repository, **settings}
        command = [str(CHECKOUT / "base/ci/push"), f"--archive={self.image}"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        outputs = dict(line.split("=", 1) for line in done.stdout.splitlines())
        return Pushed(done.returncode, outputs, done.stderr)

    def tags(self) -> dict[str, str]:
        return registries.tags(self.repository)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with registries.registry(tmp_path) as address:
        yield Place(tmp_path, address)


def test_an_archive_arrives_byte_for_byte_under_the_tag_of_its_commit(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = archives.write(place.image)
    first = place.push()
    assert first.code == 0, first.said
    reference = f"{place.repository}:{TAG}@{digest}"
    wanted = {"image": reference, "digest": digest, "revision": REVISION, "version": "", "changed": "true"}
    assert first.outputs == wanted
    assert (place.folder / "digest").read_text() == f"{digest}\n"
    assert place.tags() == {TAG: digest}
    # As a run is repeated that broke off before or after `latest`: what comes after the push is not left out.
    for _ in range(2):
        again = place.push(LATEST="true")
        assert (again.code, again.outputs) == (0, wanted)
        assert "there already, and latest is this" in again.said
    assert place.tags() == {TAG: digest, "latest": digest}


def test_a_tag_that_is_there_with_another_digest_is_never_moved(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = archives.write(place.image)
    assert place.push(LATEST="true").code == 0
    other = archives.write(place.image, content=b"another build of the same commit\n")
    refused = place.push(LATEST="true")
    assert refused.code == 1
    assert f"{TAG} is there, and is another build ({digest})" in refused.said
    assert "next: Run the workflow by hand" in refused.said
    assert place.tags() == {TAG: digest, "latest": digest}
    by_hand = place.push(LATEST="true", RUN_NUMBER="17")
    assert by_hand.code == 0, by_hand.said
    assert place.tags() == {TAG: digest, f"{TAG}-17": other, "latest": other}


def test_the_content_that_latest_has_is_not_pushed_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = archives.write(place.image)
    assert place.push(LATEST="true").code == 0
    archives.write(place.image, {archive.REVISION: "f" * 40, archive.CREATED: "2027-01-01T00:00:00Z"})
    again = place.push(LATEST="true")
    assert again.code == 0, again.said
    assert (again.outputs["image"], again.outputs["changed"]) == (f"{place.repository}:{TAG}@{digest}", "false")
    assert again.outputs["revision"] == REVISION
    assert "nothing new" in again.said
    assert place.tags() == {TAG: digest, "latest": digest}


def test_latest_does_not_go_back_to_an_older_commit(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["git", "-C", str(CHECKOUT), "rev-parse", "HEAD", "HEAD~1"]
    newer, older = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    digest = archives.write(place.image, {archive.REVISION: newer})
    assert place.push(LATEST="true").code == 0
    archives.write(place.image, {archive.REVISION: older}, content=b"before\n")
    late = place.push(LATEST="true")
    assert (late.code, late.outputs["changed"]) == (0, "false")
    assert "latest stays: it is of a later commit" in late.said
    assert place.tags()["latest"] == digest


def _nothing_tagged(place: Place, pushed: Pushed, *words: str) -> None:
    assert pushed.code == 1
    assert not pushed.outputs
    assert pushed.said.startswith("push: ")
    assert [word for word in ("FAILED", "\n  next: ", *words) if word not in pushed.said] == []


def test_a_registry_that_refuses_the_login_is_told(tmp_path: Path) -> None:
    with registries.registry(
        tmp_path, auth={"htpasswd": {"realm": "team", "path": str(tmp_path / "nobody")}}
    ) as address:
        place = Place(tmp_path, address)
        archives.write(place.image)
        _nothing_tagged(place, place.push(LATEST="true"), "refuses the login", "DIGITALOCEAN_TOKEN")


def test_a_registry_that_takes_no_pushes_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with registries.registry(tmp_path, read_only=True) as address:
        place = Place(tmp_path, address)
        archives.write(place.image)
        _nothing_tagged(place, place.push(LATEST="true"), "takes no pushes now (read-only)")
        assert place.tags() == {}


def test_a_registry_out_of_reach_is_told(tmp_path: Path) -> None:
    place = Place(tmp_path, f"127.0.0.1:{registries.free_port()}")
    archives.write(place.image)
    _nothing_tagged(place, place.push(), "cannot be reached", place.address)


def test_a_registry_that_does_not_answer_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "LOOK_SECONDS", 1)
    with registries.silence() as address:
        for name, value in Place(tmp_path, address).environment().items():
            monkeypatch.setenv(name, value)
        with pytest.raises(registry.Failed, match="does not answer in time"):
            registry.look(f"{address}/team/agent", "latest")


def test_a_connection_that_breaks_in_a_layer_is_tried_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = archives.write(place.image, content=LAYER)
    with registries.line(place.address, cut_after=1_000_000, times=1) as address:
        pushed = Place(place.folder, address).push()
    assert pushed.code == 0, pushed.said
    assert place.tags() == {TAG: digest}


def test_a_connection_that_always_breaks_leaves_no_tag(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = archives.write(place.image, content=LAYER)
    monkeypatch.setattr(registry, "PAUSES", (0.0, 0.0))
    with (
        registries.line(place.address, cut_after=1_000_000) as address,
        pytest.raises(registry.Failed, match="loses the connection"),
    ):
        registry.push(place.image, f"{address}/team/agent", TAG, digest)
    assert place.tags() == {}
