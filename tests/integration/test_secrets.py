"""One value that is hard to spell, looked for in every place that a rollout touches, in every spelling."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path

from tests.integration.canary import TELLS_ALL, assert_clean, canary, everything_in_the_cluster, processes
from tests.integration.failing import error_of
from tests.integration.fleet import NAMESPACE, Fleet, Run, get, kubectl, pods

Make = Callable[..., Fleet]
NAME = "canario"


def test_a_value_is_nowhere_but_in_vault_the_secret_and_the_pod(
    make_fleet: Make, needs: Callable[..., None], tmp_path: Path
) -> None:
    needs("kubelet", "admin", "vault-admin")
    value, betraying = canary()
    fleet = make_fleet(NAME, real=True)
    fleet.put(NAME, {**fleet.values(NAME), "CANARY": value})
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    folders = {"TMPDIR": str(temporary), "ANSIBLE_LOCAL_TEMP": str(temporary / "ansible"), "HOME": str(tmp_path)}

    def rollout() -> Run:
        with processes() as seen:
            run = fleet.rollout(NAME, "-vvv", "--diff", env=folders)
        assert any("ansible-playbook" in line for line in seen)
        for line in seen:
            assert_clean(line, betraying, "a process")
        assert_clean(run.output, betraying, "the output")
        assert_clean(json.dumps(run.results, ensure_ascii=False), betraying, "the results")
        for path in tmp_path.rglob("*"):
            if path.is_file():
                assert_clean(path.read_text(errors="replace"), betraying, str(path))
        assert_clean(everything_in_the_cluster(NAME), betraying, "the cluster")
        return run

    rollout().ok()
    # It arrived as it is: what is not found elsewhere is really there.
    kept = get("secret", f"{NAME}-env")
    assert kept
    assert base64.b64decode(kept["data"]["CANARY"]).decode() == value
    pod = pods(NAME)[0]["metadata"]["name"]
    assert kubectl("exec", "-n", NAMESPACE, pod, "-c", "openclaw", "--", "printenv", "CANARY") == f"{value}\n"

    # A release that says everything it knows before it dies: its last words are shown, without the value.
    fleet.variables.update({"agent_command": ["sh", "-c", TELLS_ALL], "agent_args": []})
    run = rollout().failed("could not log in with ***")
    assert "CANARY=***" in json.dumps(error_of(run, NAME), ensure_ascii=False)
    for other in (*fleet.values(NAME).values(), os.environ["VAULT_TOKEN"]):
        assert other not in run.output
