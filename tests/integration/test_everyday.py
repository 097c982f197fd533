"""What an operator does every day, on the small image: a rollout, a second one, a look, a changed value."""

from __future__ import annotations

from collections.abc import Callable

from tests.integration.fleet import Fleet, gateway, get, pods, versions

Make = Callable[..., Fleet]


def test_a_first_rollout_runs_and_a_second_changes_nothing(make_fleet: Make) -> None:
    fleet = make_fleet("dia-um", variables={"agent_secret_refresh": "1h"})
    first = fleet.rollout("dia-um").ok()
    assert first.changed("dia-um")
    pod = pods("dia-um")[0]["metadata"]["uid"]
    before = versions("dia-um")
    second = fleet.rollout("dia-um").ok()
    assert not second.changed("dia-um")
    assert "nothing to do for dia-um" in second.output
    assert versions("dia-um") == before
    assert pods("dia-um")[0]["metadata"]["uid"] == pod
    token = fleet.values("dia-um")["OPENCLAW_GATEWAY_TOKEN"]
    assert gateway("dia-um", token) == 200
    assert gateway("dia-um", token + "x") == 401


def test_a_hand_edit_in_vault_runs_in_the_pod_that_comes_up_next(make_fleet: Make) -> None:
    fleet = make_fleet("dia-dois")
    fleet.rollout("dia-dois").ok()
    old = fleet.values("dia-dois")
    version = fleet.put("dia-dois", {**old, "OPENCLAW_GATEWAY_TOKEN": "another-token-of-the-test"})
    fleet.rollout("dia-dois").ok()
    assert gateway("dia-dois", "another-token-of-the-test") == 200
    assert gateway("dia-dois", old["OPENCLAW_GATEWAY_TOKEN"]) == 401
    live = get("deployment", "dia-dois")
    assert live
    annotations = live["spec"]["template"]["metadata"]["annotations"]
    assert annotations["agents.digitalsys/secret-version"] == str(version)
