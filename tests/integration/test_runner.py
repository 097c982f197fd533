"""As AWX runs it: every job by ansible-runner, with what AWX gives it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.fleet import Fleet, gateway, get, pods
from tests.integration.runner import Job
from tests.sandbox.existing import Existing

Make = Callable[..., Fleet]
NAME = "corredora"


@pytest.fixture
def job(sandbox: Existing, tmp_path: Path) -> Job:
    return Job(tmp_path / "job", NAME)


def test_rollout_and_restart_as_awx_runs_them(make_fleet: Make, needs: Callable[..., None], job: Job) -> None:
    needs("kubelet")
    fleet = make_fleet(NAME)
    rolled = job.run("playbooks/rollout.yml", 3, "job3")
    live = get("deployment", NAME)
    assert live
    told = rolled["artifact_data"]["fleet_result"][NAME]
    assert told["image"] == live["spec"]["template"]["spec"]["containers"][0]["image"]
    assert (told["changed"], told["secret_version"]) == (True, "1")
    assert gateway(NAME, fleet.values(NAME)["OPENCLAW_GATEWAY_TOKEN"]) == 200
    releases = get("configmap", f"{NAME}-releases")
    assert releases
    assert "job 3 (admin)" in json.dumps(releases["data"])

    # The job's number is the restart's key: AWX's "relaunch after a lost connection" restarts nothing again.
    before = pods(NAME)[0]["metadata"]["uid"]
    restarted = job.run("playbooks/restart.yml", 4, "job4")
    after = pods(NAME)[0]["metadata"]["uid"]
    assert after != before
    assert restarted["artifact_data"]["fleet_result"][NAME]["changed"]
    again = job.run("playbooks/restart.yml", 4, "job4-again")
    assert again["artifact_data"]["fleet_result"] == {}
    assert again["changed"] == {}
    assert pods(NAME)[0]["metadata"]["uid"] == after

    written = job.written()
    hidden = (*fleet.values(NAME).values(), job.environment["K8S_AUTH_API_KEY"], job.environment["VAULT_SECRET_ID"])
    for value in hidden:
        assert value not in written
        assert base64.b64encode(value.encode()).decode().rstrip("=") not in written
