"""What a tag releases: `.ci/release` as the workflow calls it, with stand-ins for gh and Galaxy that take notes."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

CHECKOUT = Path(__file__).resolve().parents[3]
GH_TOKEN, GALAXY_TOKEN = "ghs_a-token-of-github", 'a "token": of\\Galaxy'
NAME = "digitalsys-agents-1.2.3.tar.gz"
CHANGELOG = """\
# digitalsys\\.agents Release Notes

<a id="v1-2-3"></a>
## v1\\.2\\.3

### Bugfixes

* agent \\- it works\\.

<a id="v1-2-30"></a>
## v1\\.2\\.30

* another one
"""

#: gh with one repository, whose releases lie in the folder in HUB: NAME/assets/…, and a file `draft` where it is one.
GH = r"""
import json, os, pathlib, shutil, sys
words = sys.argv[1:]
hub = pathlib.Path(os.environ["HUB"])
with (hub / "calls").open("a") as calls:
    calls.write(json.dumps({"words": words, "token": os.environ.get("GH_TOKEN")}) + "\n")
assert words[0] == "release" and words[words.index("--repo") + 1] == "digitalsys/agents"
verb, tag, rest = words[1], words[2], words[3:]
assets = hub / tag / "assets"
def after(option):
    return rest[rest.index(option) + 1]
if (hub / "down").exists():
    sys.exit("HTTP 503 for " + os.environ["GH_TOKEN"])
if not assets.is_dir() and verb != "create":
    sys.exit("release not found")
if verb == "view":
    assert after("--json") == "assets,isDraft"
    names = [{"name": path.name} for path in sorted(assets.iterdir())]
    print(json.dumps({"assets": names, "isDraft": (hub / tag / "draft").exists()}))
elif verb == "create":
    assert "--verify-tag" in rest
    assets.mkdir(parents=True)
    shutil.copy(rest[0], assets)
    shutil.copy(after("--notes-file"), hub / tag / "notes")
elif verb == "upload":
    shutil.copy(rest[0], assets)
elif verb == "download":
    shutil.copy(assets / after("--pattern"), after("--dir"))
elif verb == "edit":
    assert "--draft=false" in rest
    (hub / tag / "draft").unlink()
else:
    sys.exit("unknown command " + verb)
"""

ANSIBLE_GALAXY = r"""
import json, os, pathlib, stat, sys
path = pathlib.Path(os.environ["ANSIBLE_GALAXY_TOKEN_PATH"])
seen = {"words": sys.argv[1:], "token": path.read_text(), "mode": stat.S_IMODE(path.stat().st_mode), "path": str(path)}
(pathlib.Path(os.environ["HUB"]) / "galaxy").write_text(json.dumps(seen))
if (pathlib.Path(os.environ["HUB"]) / "down").exists():
    sys.exit("ERROR! 401 for " + path.read_text())
"""


@dataclass
class Place:
    """A checkout with a version, its tarball, and the stand-ins."""

    root: Path
    hub: Path
    programs: Path
    summary: Path

    @property
    def tarball(self) -> Path:
        return self.root / NAME

    def run(self, step: str, **environment: str) -> subprocess.CompletedProcess[str]:
        given = {"TAG": "v1.2.3", "GH_TOKEN": GH_TOKEN, "GALAXY_TOKEN": GALAXY_TOKEN, **environment}
        # -S: what a runner's bare Python has, and nothing of this environment.
        return subprocess.run(
            [sys.executable, "-S", str(self.root / ".ci" / "release"), step],
            env={
                "PATH": f"{self.programs}:{os.environ['PATH']}",
                "HOME": str(self.hub),
                "HUB": str(self.hub),
                "GITHUB_REPOSITORY": "digitalsys/agents",
                "GITHUB_STEP_SUMMARY": str(self.summary),
                **given,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def calls(self) -> list[dict[str, Any]]:
        """What gh was told."""
        notes = self.hub / "calls"
        return [json.loads(line) for line in notes.read_text().splitlines()] if notes.exists() else []

    def verbs(self) -> list[str]:
        return [call["words"][1] for call in self.calls()]

    def told(self) -> str:
        return self.summary.read_text()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    root = tmp_path / "checkout"
    (root / ".ci").mkdir(parents=True)
    shutil.copy(CHECKOUT / ".ci" / "release", root / ".ci")
    shutil.copytree(CHECKOUT / "base/ci/image_pipeline", root / "base/ci/image_pipeline")
    (root / "galaxy.yml").write_text("---\nnamespace: digitalsys\nname: agents\nversion: 1.2.3\n")
    (root / "CHANGELOG.md").write_text(CHANGELOG)
    with tarfile.open(root / NAME, "w:gz"):
        pass
    (tmp_path / "hub").mkdir()
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, text in (("gh", GH), ("ansible-galaxy", ANSIBLE_GALAXY)):
        program = programs / name
        program.write_text(f"#!{sys.executable} -S\n{text}")
        program.chmod(0o755)
    return Place(root, tmp_path / "hub", programs, tmp_path / "summary")


def released(place: Place, content: bytes | None = None, draft: bool = False) -> None:
    """GitHub has the release already; without content, without its tarball."""
    assets = place.hub / "v1.2.3" / "assets"
    assets.mkdir(parents=True)
    if content is not None:
        (assets / NAME).write_bytes(content)
    if draft:
        (place.hub / "v1.2.3" / "draft").touch()


def test_the_tag_of_this_version_is_taken_and_names_the_tarball(place: Place) -> None:
    done = place.run("check")
    assert (done.returncode, done.stdout) == (0, f"tarball={NAME}\n")


def test_this_checkouts_version_could_be_released() -> None:
    version = yaml.safe_load((CHECKOUT / "galaxy.yml").read_text())["version"]
    done = subprocess.run(
        [str(CHECKOUT / ".ci" / "release"), "check"],
        env={"PATH": os.environ["PATH"], "TAG": f"v{version}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if list((CHECKOUT / "changelogs" / "fragments").glob("*.yml")):
        # Its changes are gathered still: what is missing is their page of the changelog, and that is what it says.
        assert done.returncode == 1
        assert f"CHANGELOG.md has no notes of version {version}" in done.stderr
    else:
        assert (done.returncode, done.stdout) == (0, f"tarball=digitalsys-agents-{version}.tar.gz\n"), done.stderr


@pytest.mark.parametrize(
    ("step", "tag"),
    [("check", "v1.2.4"), ("check", "1.2.3"), ("check", ""), ("github", "v1.2.3-rc1"), ("galaxy", "v1.2.30")],
)
def test_a_tag_of_another_version_releases_nothing(place: Place, step: str, tag: str) -> None:
    done = place.run(step, TAG=tag)
    assert done.returncode == 1
    assert "galaxy.yml has version 1.2.3" in done.stderr
    assert place.calls() == []
    assert not (place.hub / "galaxy").exists()


@pytest.mark.parametrize("text", ["# Release Notes\n", CHANGELOG.replace("v1\\.2\\.3\n", "v1\\.2\\.2\n")])
def test_a_version_without_notes_is_not_released(place: Place, text: str) -> None:
    (place.root / "CHANGELOG.md").write_text(text)
    done = place.run("github")
    assert done.returncode == 1
    assert "has no notes of version 1.2.3" in done.stderr
    assert place.calls() == []


def test_the_release_has_the_tarball_and_the_notes_of_its_version_alone(place: Place) -> None:
    assert place.run("github").returncode == 0
    assert (place.hub / "v1.2.3" / "assets" / NAME).read_bytes() == place.tarball.read_bytes()
    assert (place.hub / "v1.2.3" / "notes").read_text() == "### Bugfixes\n\n* agent \\- it works\\.\n"
    assert "v1.2.3 is a release on GitHub" in place.told()
    assert "--prerelease" not in place.calls()[-1]["words"]


def test_a_preview_is_called_one(place: Place) -> None:
    (place.root / "galaxy.yml").write_text("namespace: digitalsys\nname: agents\nversion: 1.3.0-rc1\n")
    (place.root / "CHANGELOG.md").write_text("## v1\\.3\\.0\\-rc1\n\n* soon\n")
    shutil.copy(place.tarball, place.root / "digitalsys-agents-1.3.0-rc1.tar.gz")
    assert place.run("github", TAG="v1.3.0-rc1").returncode == 0
    assert "--prerelease" in place.calls()[-1]["words"]


def test_a_second_run_changes_nothing(place: Place) -> None:
    place.run("github")
    assert place.run("github").returncode == 0
    assert place.verbs() == ["view", "create", "view", "download"]


def test_another_tarball_of_a_released_version_is_an_error(place: Place) -> None:
    released(place, b"another")
    done = place.run("github")
    assert done.returncode == 1
    assert f"the release v1.2.3 has another {NAME}" in done.stderr
    assert (place.hub / "v1.2.3" / "assets" / NAME).read_bytes() == b"another"


def test_a_release_that_broke_off_before_its_tarball_is_finished(place: Place) -> None:
    released(place, draft=True)
    assert place.run("github").returncode == 0
    assert place.verbs() == ["view", "upload", "edit"]
    assert (place.hub / "v1.2.3" / "assets" / NAME).read_bytes() == place.tarball.read_bytes()


def test_a_github_that_fails_is_not_taken_for_one_without_the_release(place: Place) -> None:
    (place.hub / "down").touch()
    done = place.run("github")
    assert done.returncode == 1
    assert "HTTP 503" in done.stderr
    assert place.verbs() == ["view"]


@pytest.mark.parametrize("step", ["github", "galaxy"])
def test_without_a_tarball_nothing_is_released(place: Place, step: str) -> None:
    place.tarball.unlink()
    done = place.run(step)
    assert done.returncode == 1
    assert "make tarball" in done.stderr
    assert not (place.hub / "galaxy").exists()


def test_without_a_token_nothing_goes_to_galaxy(place: Place) -> None:
    assert place.run("galaxy", GALAXY_TOKEN="").returncode == 0
    assert "GALAXY_TOKEN is not given" in place.told()
    assert not (place.hub / "galaxy").exists()


def test_galaxy_gets_its_token_by_a_file_that_is_gone_afterwards(place: Place) -> None:
    assert place.run("galaxy").returncode == 0
    seen = json.loads((place.hub / "galaxy").read_text())
    assert seen["words"][:3] == ["collection", "publish", str(place.tarball)]
    assert yaml.safe_load(seen["token"]) == {"token": GALAXY_TOKEN}
    assert seen["mode"] == stat.S_IRUSR | stat.S_IWUSR
    assert not Path(seen["path"]).exists()


def test_the_checkouts_own_ansible_galaxy_comes_first(place: Place) -> None:
    own = place.root / ".venv" / "bin" / "ansible-galaxy"
    own.parent.mkdir(parents=True)
    (place.programs / "ansible-galaxy").rename(own)
    assert place.run("galaxy").returncode == 0
    assert (place.hub / "galaxy").exists()


@pytest.mark.parametrize("down", [False, True])
def test_no_token_is_in_an_argument_or_in_what_is_said(place: Place, down: bool) -> None:
    if down:
        (place.hub / "down").touch()
    done = [place.run("github"), place.run("galaxy")]
    assert [one.returncode for one in done] == [int(down)] * 2
    said = "".join(one.stdout + one.stderr for one in done) + place.told()
    words = [*(call["words"] for call in place.calls()), json.loads((place.hub / "galaxy").read_text())["words"]]
    assert place.calls()[0]["token"] == GH_TOKEN
    for token in (GH_TOKEN, GALAXY_TOKEN, json.dumps(GALAXY_TOKEN)):
        assert token not in said
        assert not [word for line in words for word in line if token in word]


@dataclass
class Galaxy:
    """What a Galaxy was sent: method, path and authorization."""

    address: str = ""
    asked: list[tuple[str, str, str]] = field(default_factory=list)


@contextmanager
def listening() -> Iterator[Galaxy]:
    galaxy = Galaxy()

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            galaxy.asked.append((self.command, self.path, self.headers.get("Authorization", "")))
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            done = {"state": "completed", "finished_at": "2026-01-01T00:00:00Z", "messages": []}
            task = {"task": f"{galaxy.address}/api/v3/imports/collections/1/"}
            known = {"available_versions": {"v3": "v3/"}}
            found = task if self.command == "POST" else done if "/imports/" in self.path else known
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(found).encode())

        do_GET = do_POST = answer

        def log_message(self, *_words: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    galaxy.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield galaxy
    finally:
        server.shutdown()
        server.server_close()


def test_the_real_ansible_galaxy_logs_in_with_the_token_of_that_file(place: Place) -> None:
    real = Path(sys.prefix) / "bin" / "ansible-galaxy"
    (place.programs / "ansible-galaxy").unlink()
    (place.programs / "ansible-galaxy").symlink_to(real)
    with listening() as galaxy:
        done = place.run("galaxy", GALAXY_TOKEN="simple", ANSIBLE_GALAXY_SERVER=galaxy.address, no_proxy="127.0.0.1")
    assert done.returncode == 0, done.stderr
    assert ("POST", "/v3/artifacts/collections/", "Token simple") in galaxy.asked
