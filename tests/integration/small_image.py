"""A repository whose base/ makes a small image on the tests' gateway, and its workflow, run as the file says: same
scripts, same order, same commands. The scanner, doctl and attestations are stand-ins; they have no place to ask here.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration import registries
from tests.integration.fleet import REGISTRY, TESTGATEWAY
from tests.sandbox import buildah
from tests.sandbox.paths import CHECKOUT
from tests.unit.pipeline import hub
from tests.unit.pipeline.hub import git
from tests.workflow.actions import JobContext
from tests.workflow.event import Event
from tests.workflow.run import Run, Runner

WORKFLOW = ".github/workflows/base-image.yml"
DOCTL_TOKEN = "dop_v1_registry-token-5d0c1e"
AWX_TOKEN = "awx-token-of-the-flows-91b2"
GITHUB_TOKEN = "ghs_token-of-the-flows-77aa"
SECRETS = (DOCTL_TOKEN, AWX_TOKEN, GITHUB_TOKEN)
_DOCKERFILE = f"""FROM {TESTGATEWAY}:latest AS base
FROM base
COPY package.json package-lock.json /usr/local/lib/openclaw-agent/
RUN echo "TESTGATEWAY_START_DELAY=0" > /etc/testgateway.env
"""
#: Notes each program's arguments, which everybody on a machine can read.
_RECORDER = """#!/bin/sh
printf '%s\\n' "$0 $*" >> "$ARGUMENTS_LOG"
exec {program} "$@"
"""
_DOCTL = """#!/bin/sh
printf '%s\\n' "doctl $*" >> "$ARGUMENTS_LOG"
test "$*" = "registry login --expiry-seconds=3600" && test -n "$DIGITALOCEAN_ACCESS_TOKEN" || exit 1
mkdir -p "$HOME/.docker" && echo '{"auths": {}}' > "$HOME/.docker/config.json"
"""


@dataclass(frozen=True)
class Flow:
    """`repository` is a clone with its history; `store` is where its builds keep images; `github` has pull requests."""

    folder: Path
    store: Path
    github: hub.Hub
    name: str = field(default_factory=lambda: f"{REGISTRY}/digitalsys/flow-{secrets.token_hex(4)}")

    @property
    def repository(self) -> Path:
        return self.folder / "repository"

    @property
    def arguments(self) -> Path:
        return self.folder / "arguments.log"

    def prepare(self) -> None:
        """The first commit: what a push, a build and a hand-over need of this checkout, and the small image."""
        left_out = shutil.ignore_patterns("__pycache__", "Dockerfile", "gh.txt")
        for part in ("base", ".github", "inventories/bots"):
            shutil.copytree(CHECKOUT / part, self.repository / part, ignore=left_out)
        (self.repository / "base/Dockerfile").write_text(_DOCKERFILE)
        git(self.repository, "init", "-q", "-b", "main")
        self.commit()
        programs = self.folder / "programs"
        programs.mkdir()
        self._program(programs / "doctl", _DOCTL)
        for name in ("buildah", "git", "npm", "skopeo"):
            self._program(programs / name, _RECORDER.format(program=shutil.which(name)))

    def _program(self, path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o755)

    def commit(self, **files: str) -> None:
        """A commit on main that gives files of the repository these texts."""
        for path, text in files.items():
            (self.repository / path).write_text(text)
        git(self.repository, "add", "--all")
        git(self.repository, "commit", "-qm", "a change")

    @property
    def short(self) -> str:
        """What the commit's build is tagged."""
        return f"sha-{git(self.repository, 'rev-parse', 'HEAD')[:12]}"

    def run(
        self,
        event: Event,
        number: int,
        variables: Mapping[str, str] | None = None,
        findings: list[dict[str, object]] | None = None,
    ) -> Run:
        """Runs the workflow; `number` is the run's. `findings` are the scanner's matches."""

        def scan(inputs: Mapping[str, str], job: JobContext) -> None:
            _list_contents(inputs, job)
            report = {"distro": {"name": "debian"}, "matches": findings or []}
            (job.workspace / inputs["output-file"]).write_text(json.dumps(report))

        runner = Runner(
            self.repository / WORKFLOW,
            self.repository,
            event,
            {"IMAGE_REPOSITORY": self.name, **(variables or {})},
            {},
            {
                "anchore/sbom-action": _list_contents,
                "anchore/scan-action": scan,
                "digitalocean/action-doctl": _doctl,
                "actions/attest": _attest,
                "actions/attest-build-provenance": _attest,
            },
            self.folder / f"run{number}",
            machine=self._machine(),
            environments={"registry": {"DIGITALOCEAN_TOKEN": DOCTL_TOKEN}, "fleet": {"AWX_TOKEN": AWX_TOKEN}},
            run_number=number,
            token=GITHUB_TOKEN,
            repository=hub.REPOSITORY,
            server_url=self.github.url,
            api_url=self.github.api,
        )
        return runner.run()

    def _machine(self) -> dict[str, str]:
        path = f"{self.folder / 'programs'}{os.pathsep}{os.environ['PATH']}"
        storage = buildah.storage(self.store, buildah.driver())
        return {**buildah.network(), **storage, "PATH": path, "ARGUMENTS_LOG": str(self.arguments)}

    def tags(self) -> dict[str, str]:
        return registries.tags(self.name)


def _list_contents(inputs: Mapping[str, str], job: JobContext) -> None:
    kind, _, archive = inputs["image"].partition(":")
    assert (kind, (job.workspace / archive).is_file()) == ("oci-archive", True)
    (job.workspace / inputs["output-file"]).write_text("{}")


def _doctl(inputs: Mapping[str, str], job: JobContext) -> None:
    assert dict(inputs) == {"no_auth": "true"}


def _attest(inputs: Mapping[str, str], job: JobContext) -> None:
    assert inputs["subject-digest"].startswith("sha256:")
    if path := inputs.get("sbom-path"):
        assert (job.workspace / path).is_file()
