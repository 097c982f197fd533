"""From a change in base/ to a digest that an agent runs: the workflow's own steps, on this machine's registry."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from tests.integration.awx.server import serving
from tests.integration.fleet import Fleet, get
from tests.integration.registries import registry
from tests.integration.small_image import AWX_TOKEN, DOCTL_TOKEN, GITHUB_TOKEN, SECRETS, WORKFLOW, Flow
from tests.sandbox.existing import Existing
from tests.sandbox.paths import CACHE, CHECKOUT
from tests.unit.pipeline import hub, office
from tests.unit.pipeline.hub import git
from tests.workflow.event import Event
from tests.workflow.run import Run

BASE = "base/Dockerfile"
SETTINGS = "inventories/bots/group_vars/agents.yml"


class First(NamedTuple):
    """The first push to main, with AWX: the run, the registry's tags after it, AWX's jobs."""

    run: Run
    tags: dict[str, str]
    jobs: list[dict[str, object]]


@pytest.fixture(scope="module")
def flow(sandbox: Existing, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flow]:
    """A repository whose image was pushed once, from main."""
    if not {"registry", "processes"} <= sandbox.capabilities:
        pytest.skip("this backend has no registry of its own")
    store = CACHE / "tests" / f"store-{os.getpid()}"
    folder = tmp_path_factory.mktemp("flow")
    github = hub.Hub(hub.Bare.made(folder, (CHECKOUT / SETTINGS).read_text()), GITHUB_TOKEN)
    made = Flow(folder, store, github)
    made.prepare()
    with github.listening():
        yield made
    shutil.rmtree(store, ignore_errors=True)


@pytest.fixture(scope="module")
def first(flow: Flow) -> First:
    controller = office.furnished()
    controller.token = AWX_TOKEN
    with serving(controller) as address:
        run = flow.run(Event.push(changed=[BASE]), 1, {"AWX_URL": address, "ATTEST": "true"})
    return First(run, flow.tags(), controller.jobs.started)


def test_a_change_in_base_becomes_an_image_that_the_fleet_runs(
    flow: Flow,
    first: First,
    make_fleet: Callable[..., Fleet],
    needs: Callable[..., None],
) -> None:
    needs("kubelet")
    run, tags, jobs = first
    assert run.results == {"image": "success", "push": "success", "awx": "success", "pull-request": "skipped"}, run.log
    assert set(tags) == {flow.short, "latest"}
    digest = tags["latest"]
    reference = f"{flow.name}:{flow.short}@{digest}"
    outputs = run.jobs["push"].outputs
    assert (tags[flow.short], outputs["image"], outputs["changed"]) == (digest, reference, "true")
    assert run.jobs["push"].step("Attest what is in it").inputs["subject-digest"] == digest
    assert [job["extra_vars"] for job in jobs] == [{"image": reference}]
    assert [word for word in (reference, "Smoke test:", "### AWX") if word not in run.summary] == []
    labels = _labels(flow, digest)
    assert labels["io.digitalsys.openclaw.version"] == outputs["version"]
    assert labels["org.opencontainers.image.revision"].startswith(flow.short.removeprefix("sha-"))
    assert labels["org.opencontainers.image.base.digest"].startswith("sha256:")
    fleet = make_fleet("imagem-nova")
    fleet.rollout("imagem-nova", "-e", f"image={reference}").ok()
    live = get("deployment", "imagem-nova")
    assert live
    assert live["spec"]["template"]["spec"]["containers"][0]["image"] == f"{flow.name}@{digest}"


def _labels(flow: Flow, digest: str) -> dict[str, str]:
    words = ["skopeo", "inspect", "--tls-verify=false", "--config", f"docker://{flow.name}@{digest}"]
    shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    labels: dict[str, str] = json.loads(shown)["config"]["Labels"]
    return labels


def test_no_token_is_in_output_arguments_layers_or_what_is_kept(flow: Flow, first: First, tmp_path: Path) -> None:
    run = first.run
    kept = [path.read_bytes() for path in run.artifacts.rglob("*") if path.is_file()]
    assert kept
    assert "copy --preserve-digests" in flow.arguments.read_text()
    layers = tmp_path / "layers"
    copy = ("skopeo", "copy", "--quiet", "--src-tls-verify=false", "--dest-decompress")
    subprocess.run([*copy, f"docker://{flow.name}@{first.tags['latest']}", f"dir:{layers}"], check=True)
    kept += [path.read_bytes() for path in layers.iterdir()]
    assert any(b"usr/local/lib/openclaw-agent/package-lock.json" in raw for raw in kept)
    for secret in SECRETS:
        assert secret not in run.log + run.summary + flow.arguments.read_text()
        assert not any(secret.encode() in raw for raw in kept)


def test_a_change_to_the_pipeline_alone_restarts_nobody(flow: Flow, first: First) -> None:
    flow.commit(**{"base/ci/README.md": "words\n"})
    run = flow.run(Event.push(changed=["base/ci/README.md"]), 2, {"AWX_URL": "https://awx.invalid"})
    assert run.results == {"image": "success", "push": "success", "awx": "skipped", "pull-request": "skipped"}, run.log
    assert run.jobs["push"].outputs["changed"] == "false"
    assert "nothing new" in run.summary
    assert flow.tags() == first.tags


def test_by_hand_the_image_that_is_there_becomes_a_pull_request(flow: Flow, first: First) -> None:
    run = flow.run(Event.dispatch(), 3, {"HANDOVER_PULL_REQUEST": "true"})
    assert run.results == {"image": "success", "push": "success", "awx": "skipped", "pull-request": "success"}, run.log
    reference = run.jobs["push"].outputs["image"]
    assert reference.endswith(f"@{first.tags['latest']}")
    text, proposed = (flow.github.bare.text(branch) for branch in ("main", "new-image"))
    assert yaml.safe_load(proposed)["agent_image"] == reference
    assert proposed == text.replace(str(yaml.safe_load(text)["agent_image"]), reference)
    assert text == (CHECKOUT / SETTINGS).read_text()
    assert len(flow.github.pulls) == 1
    assert flow.tags() == first.tags


def test_a_gateway_that_is_not_well_is_not_pushed(flow: Flow, first: First) -> None:
    dockerfile = (flow.repository / BASE).read_text()
    flow.commit(**{BASE: dockerfile.replace("TESTGATEWAY_START_DELAY=0", "TESTGATEWAY_EXIT=78")})
    try:
        run = flow.run(Event.push(changed=[BASE]), 4)
    finally:
        flow.commit(**{BASE: dockerfile})
    assert run.results == {"image": "failure", "push": "skipped", "awx": "skipped", "pull-request": "skipped"}
    assert "smoke: FAILED: the image's gateway is not well, so nothing is pushed" in run.log
    assert "the gateway exited with 78" in run.log
    assert flow.tags() == first.tags


def test_a_finding_that_can_be_mended_stops_the_image(flow: Flow, first: First) -> None:
    bad = {
        "vulnerability": {"id": "CVE-2026-1", "severity": "High", "fix": {"state": "fixed", "versions": ["2"]}},
        "artifact": {"name": "curl", "version": "1"},
    }
    run = flow.run(Event.schedule(), 5, findings=[bad])
    assert run.results == {"image": "failure", "push": "skipped", "awx": "skipped", "pull-request": "skipped"}
    assert run.jobs["image"].step("Smoke test").conclusion == "success", run.log
    assert "High     CVE-2026-1  curl 1, mended in 2" in run.log
    assert flow.tags() == first.tags


def test_a_pull_request_pushes_nothing_and_has_no_credential(flow: Flow, first: First) -> None:
    git(flow.repository, "branch", "--force", "topic")
    run = flow.run(Event.pull_request("topic", changed=[BASE]), 6, {"AWX_URL": "https://awx.invalid"})
    assert run.results == {"image": "success", "push": "skipped", "awx": "skipped", "pull-request": "skipped"}, run.log
    assert not any(secret in str(run) for secret in (DOCTL_TOKEN, AWX_TOKEN))
    assert {job.environment for job in run.jobs.values()} == {""}
    assert not any(run.artifacts.rglob("*"))
    assert flow.tags() == first.tags


def test_what_a_registry_refuses_is_handed_over_to_nobody(flow: Flow, first: First, tmp_path: Path) -> None:
    with registry(tmp_path, read_only=True) as address:
        there = {"IMAGE_REPOSITORY": f"{address}/team/agent", "AWX_URL": "https://awx.invalid"}
        run = flow.run(Event.push(changed=[BASE]), 7, {**there, "HANDOVER_PULL_REQUEST": "true"})
    assert run.results == {"image": "success", "push": "failure", "awx": "skipped", "pull-request": "skipped"}, run.log
    assert "takes no pushes now (read-only)" in run.summary


def test_the_flows_are_those_of_the_workflow_in_this_checkout(flow: Flow) -> None:
    assert (flow.repository / WORKFLOW).read_text() == (CHECKOUT / WORKFLOW).read_text()
