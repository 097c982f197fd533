"""What the pod reads is what is meant: awkward values arrive as they are, and what cannot is refused before a write."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.failing import error_of
from tests.integration.fleet import KWOK, NAMESPACE, Fleet, gateway, get, kubectl, pods, vault_admin, versions
from tests.integration.rotating import TOKEN, edit, stamp

Make = Callable[..., Fleet]
#: KEY=value and its NUL are all that Linux takes.
LONGEST = "x" * (131_072 - len("LONG=") - 1)
AWKWARD = {
    "EMPTY": "",
    "LINES": "a\nb\r\nc\n",
    "TABS": "\ta\t",
    "QUOTES": "\"'`{{ 6 * 7 }} $(LINEAR_API_KEY) $$ \\n",
    "LETTERS": "Clóvis \U0001f511",
    "LONG": LONGEST,
}
#: In Vault, and as External Secrets writes it.
NO_TEXT: dict[str, tuple[Any, str]] = {
    "NOTHING": (None, ""),
    "A_NUMBER": (8080, "8080"),
    "A_TRUTH": (True, "true"),
    "A_MAP": ({"nome": "Clóvis", "a": "x&y <z>"}, '{"a":"x\\u0026y \\u003cz\\u003e","nome":"Clóvis"}'),
    "A_LIST": ([1, "ü"], '[1,"ü"]'),
}
MEANT = {"PRICE": "pa$$word", "REFERENCE": "$(LINEAR_API_KEY)", "DOLLAR": "$", "QUOTED": 'it\'s "so"\n'}


def environment_of(agent: str) -> dict[str, str]:
    """Of the gateway's own process."""
    pod = pods(agent)[0]["metadata"]["name"]
    # As bytes: read as text, both kinds of line breaks would be one.
    text = kubectl("exec", "-n", NAMESPACE, pod, "-c", "openclaw", "--", "base64", "/proc/1/environ")
    return dict(line.split("=", 1) for line in base64.b64decode(text).decode().split("\0") if line)


def test_awkward_values_reach_the_gateway_as_they_are(make_fleet: Make) -> None:
    """Trials B10 and C10: "$" was read by the kubelet; values that are no text never seemed to be in sync."""
    agent = "valor-torto"
    fleet = make_fleet(agent, variables={"agent_env": MEANT})
    kept = {**fleet.values(agent), **AWKWARD, **{key: given for key, (given, _text) in NO_TEXT.items()}}
    vault_admin().secrets.kv.v2.create_or_update_secret(f"agents/{agent}", kept, mount_point="kv")
    fleet.rollout(agent).ok()
    wanted = {**AWKWARD, **{key: text for key, (_given, text) in NO_TEXT.items()}, **MEANT}
    found = environment_of(agent)
    other = {key: str(found.get(key))[:60] for key, value in wanted.items() if found.get(key) != value}
    assert other == {}
    # Nothing of it looks like a change afterwards; what is one is told as it was written.
    assert "nothing to do" in fleet.rollout(agent).ok().output
    fleet.variables["agent_env"] = {**MEANT, "PRICE": "pa$$port"}
    assert "env[PRICE].value: 'pa$$word' -> 'pa$$port'" in fleet.rollout(agent, "--check").ok().output


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("eco", {TOKEN: "token-of-echo\n"}, f"'{TOKEN}' cannot be used: it ends with a line break, as echo adds one"),
        ("nul", {"GITHUB_TOKEN": "a\0b"}, "'GITHUB_TOKEN' cannot be used: it is no UTF-8 text, or has a NUL in it"),
        ("longo", {"LONG": LONGEST + "x"}, "'LONG' cannot be used: it is too long"),
        ("nome", {"GITHUB_TOKEN ": "x"}, "'GITHUB_TOKEN ' is no name of a variable"),
        ("dois", {"BY": "vault-says"}, "'BY' is set by agent_env, too, and that is what the pod reads"),
    ],
)
@pytest.mark.usefixtures("fake_nodes")
def test_what_would_not_arrive_is_refused_before_anything_is_written(
    make_fleet: Make, name: str, values: dict[str, str], words: str
) -> None:
    """Trials C1, C3, C11 and C12."""
    agent = f"valor-{name}"
    fleet = make_fleet(agent, variables={"agent_env": {"BY": "the inventory"}}, host_variables={agent: KWOK})
    edit(agent, **values)
    before = versions(agent)
    run = fleet.rollout(agent).failed(words)
    assert error_of(run, agent)["kind"] == "secret"
    assert not run.changed(agent)
    assert {name: at for name, at in versions(agent).items() if not name.startswith("Lease/")} == before
    assert "token-of-echo" not in run.output


def test_a_token_that_cannot_be_sent_restarts_nobody_and_a_rotation_replaces_it(make_fleet: Make) -> None:
    """Trials C3: the pod was restarted with it, and the rotation that was to heal it went back to it."""
    agent = "valor-cura"
    fleet = make_fleet(agent)
    fleet.rollout(agent).ok()
    pod = pods(agent)[0]["metadata"]["uid"]
    edit(agent, **{TOKEN: "token-of-echo\n"})
    fleet.rollout(agent).failed("ends with a line break, as echo adds one", "vault kv patch")
    assert pods(agent)[0]["metadata"]["uid"] == pod
    fleet.rotate(agent, "-e", f"keys={TOKEN}").ok()
    assert gateway(agent, fleet.values(agent)[TOKEN]) == 200


def test_a_key_that_the_template_sets_is_not_rotated(make_fleet: Make) -> None:
    """Trials C1: "is finished", and the pod reads the other one."""
    agent = "valor-sombra"
    fleet = make_fleet(agent, variables={"agent_env": {"EXTRA": "inventory-says"}})
    fleet.rollout(agent).ok()
    edit(agent, EXTRA="vault-says")
    before, stamped = fleet.values(agent), stamp(agent)
    run = fleet.rotate(agent, "-e", f"keys={TOKEN}").failed("'EXTRA' is set by agent_env, too")
    assert "Take EXTRA out of agent_env, or out of Vault." in run.message(agent)
    assert (fleet.values(agent), stamp(agent)) == (before, stamped)
    live = get("deployment", agent)
    assert live
    assert live["status"]["availableReplicas"] == 1
