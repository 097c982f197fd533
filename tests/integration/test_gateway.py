"""What the gateway says when it is asked: taken for what it means."""

from __future__ import annotations

from collections.abc import Callable

from tests.integration.failing import error_of, message_of
from tests.integration.fleet import Fleet, gateway, pods
from tests.integration.rotating import OVERRIDE, TOKEN

Make = Callable[..., Fleet]


def test_a_channel_that_is_down_is_a_warning_at_once(make_fleet: Make) -> None:
    """Trials C8: 90 s, and then "no answer that can be read"."""
    agent = "porta-canal"
    fleet = make_fleet(agent, variables={"agent_env": {"TESTGATEWAY_READY_FAILING": "discord,telegram"}})
    run = fleet.rollout(agent).ok()
    words = "the gateway says that it is not ready: discord, telegram"
    assert words in " ".join(run.output.split())
    one = fleet.play("playbooks/status.yml", "-e", f"agent={agent}").ok()
    assert f"{agent}: {words}" in one.output
    assert words not in fleet.play("playbooks/status.yml").ok().output, (
        "of a fleet the gateways are asked where it is said"
    )
    assert words in fleet.play("playbooks/status.yml", "-e", "gateway=true").ok().output


def test_a_token_that_no_release_would_take_takes_nothing_back(make_fleet: Make) -> None:
    """Trials C13: a second restart for nothing. What refuses it came with the secret, as any release would get it."""
    agent = "porta-arquivo"
    fleet = make_fleet(agent)
    fleet.rollout(agent).ok()
    fleet.put(agent, {**fleet.values(agent), OVERRIDE: "um-outro-token-qualquer"})
    for playbook, words in (
        ("rollout.yml", "This is the last good release itself"),
        ("playbooks/restart.yml", "would meet the same file and the same token. Nothing was undone."),
    ):
        run = fleet.play(playbook, "-e", f"agent={agent}")
        message = message_of(run, agent)
        assert error_of(run, agent)["cause"] == "token"
        assert "most often there is a gateway.auth.token in its openclaw.json" in message
        assert words in message
        assert "going back" not in run.output
        assert len(pods(agent)) == 1
    assert gateway(agent, fleet.values(agent)[TOKEN]) == 401
