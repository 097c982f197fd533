"""What a build is made from: commit, time, address, base, version."""

from __future__ import annotations

from pathlib import Path

import pytest

from image_pipeline import archive, build, source
from image_pipeline.tools import Failed
from tests.sandbox import images, standin
from tests.unit.pipeline import archives
from tests.unit.pipeline.hub import git


def commit(folder: Path, name: str, time: int) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{time}\n")
    git(folder, "add", name)
    git(folder, "commit", "-qm", name, time=time)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("GITHUB_REPOSITORY", "GITHUB_SERVER_URL"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    commit(folder, "base/Dockerfile", 1_700_000_000)
    return folder


def test_the_time_is_that_of_the_last_commit_that_touched_the_image(repository: Path) -> None:
    head = commit(repository, "base/package.json", 1_700_000_100)
    assert source.read(repository / "base") == source.Source(head, 1_700_000_100, "")
    head = commit(repository, "base/ci/push", 1_700_000_200)
    assert source.read(repository / "base") == source.Source(head, 1_700_000_100, "")
    head = commit(repository, "base/smoke", 1_700_000_250)
    head = commit(repository, "README.md", 1_700_000_300)
    assert source.read(repository / "base").time == 1_700_000_100


def test_the_sandbox_means_the_same_parts_and_the_same_mark() -> None:
    assert images.NOT_IN_IMAGE == source.NOT_IN_IMAGE
    assert standin.MADE_OF == archive.STAND_IN


def test_changes_without_a_commit_are_marked_where_they_go_into_the_image(repository: Path) -> None:
    head = git(repository, "rev-parse", "HEAD")
    commit(repository, "base/ci/push", 1_700_000_100)
    (repository / "base/ci/push").write_text("changed\n")
    assert not source.read(repository / "base").revision.endswith(source.DIRTY)
    (repository / "base/new").write_text("changed\n")
    assert source.read(repository / "base").revision.endswith(source.DIRTY)
    assert head != source.read(repository / "base").revision


def test_a_shallow_clone_is_refused(repository: Path, tmp_path: Path) -> None:
    commit(repository, "README.md", 1_700_000_300)
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{repository}", "shallow")
    with pytest.raises(Failed, match="shallow") as told:
        source.read(tmp_path / "shallow" / "base")
    assert "fetch-depth: 0" in told.value.hint


def test_a_folder_that_no_commit_holds_is_refused(repository: Path, tmp_path: Path) -> None:
    (repository / "other").mkdir()
    with pytest.raises(Failed, match="no commit holds"):
        source.read(repository / "other")
    with pytest.raises(Failed, match="in no Git repository"):
        source.read(tmp_path)


@pytest.mark.parametrize(
    ("remote", "page"),
    [
        ("https://github.com/digitalsys/agents.git", "https://github.com/digitalsys/agents"),
        ("https://somebody:ghp_secret@github.com/digitalsys/agents", "https://github.com/digitalsys/agents"),
        ("git@github.com:digitalsys/agents.git", "https://github.com/digitalsys/agents"),
        ("ssh://git@git.example.com:2222/team/agents.git", "https://git.example.com/team/agents"),
        ("/srv/git/agents", ""),
        ("file:///srv/git/agents", ""),
        ("../agents", ""),
    ],
)
def test_a_remote_is_told_as_a_web_page_without_its_login(remote: str, page: str) -> None:
    assert source.web_page(remote) == page


def test_the_base_is_the_first_stages() -> None:
    text = "# FROM nothing\nFROM --platform=linux/amd64 docker.io/library/node:22 AS base\nFROM base\n"
    assert source.base_image(text) == "docker.io/library/node:22"
    for other in ("FROM ${BASE}\n", "FROM scratch\n", "RUN true\n"):
        with pytest.raises(Failed, match="first FROM names no image"):
            source.base_image(other)


def test_the_base_and_the_lock_file_of_the_agents_image_are_read() -> None:
    assert source.base_image((build.CONTEXT / "Dockerfile").read_text()).startswith("docker.io/library/node:")
    assert source.locked_version((build.CONTEXT / "package-lock.json").read_text(), "openclaw")[:2] == "20"
    with pytest.raises(Failed, match="no nothing"):
        source.locked_version((build.CONTEXT / "package-lock.json").read_text(), "nothing")


def test_the_lock_file_names_no_registry_and_a_hash_for_each_package() -> None:
    import json

    packages = json.loads((build.CONTEXT / "package-lock.json").read_text())["packages"]
    without = [name for name, package in packages.items() if name and not package.get("integrity")]
    assert not without
    assert not [name for name, package in packages.items() if "resolved" in package]


def test_labels_say_what_the_image_is_made_from() -> None:
    made_from = source.Source("a" * 40, 1_700_000_000, "https://github.com/digitalsys/agents")
    assert build.labels_of(made_from, "docker.io/library/node:22-bookworm", "sha256:b", "2026.9.2") == {
        "org.opencontainers.image.source": "https://github.com/digitalsys/agents",
        "org.opencontainers.image.revision": "a" * 40,
        "org.opencontainers.image.created": "2023-11-14T22:13:20Z",
        "org.opencontainers.image.base.name": "docker.io/library/node:22-bookworm",
        "org.opencontainers.image.base.digest": "sha256:b",
        "io.digitalsys.openclaw.version": "2026.9.2",
    }


def test_an_image_above_the_limit_is_told_and_does_not_stay(tmp_path: Path) -> None:
    path = tmp_path / "image.tar"
    archives.write(path)
    image = archive.read(path)
    build.refuse_large(path, image, image.size)
    assert path.exists()
    with pytest.raises(Failed, match=r"the image has .* more than the 0\.0 allowed") as told:
        build.refuse_large(path, image, image.size - 1)
    assert "base/ci/limits.toml" in told.value.hint
    assert not path.exists()


def test_the_size_limit_is_a_number_in_a_file(tmp_path: Path) -> None:
    assert build.size_limit(build.CONTEXT) > 0
    with pytest.raises(Failed, match="says no image_megabytes"):
        build.size_limit(tmp_path)
