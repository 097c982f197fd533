"""Awkward values on every way into an agent's entry: what a rotation says is finished runs in the pod byte for byte."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.disturbing import agrees, running
from tests.integration.failing import error_of, message_of
from tests.integration.fleet import KWOK, Fleet, pods, vault_admin
from tests.integration.rotating import TOKEN, bring, inbox, journal, secret, take_out, vault_version
from tests.integration.test_values import AWKWARD, NO_TEXT, environment_of
from tests.sandbox.proxy import Through

Make = Callable[..., Fleet]
AGENT = "valor-giro"
#: KEY=value and its NUL are all that Linux takes.
LONGEST = "x" * (131_072 - len("LONG=") - 1)
MULTI_LINE = {key: {"multi_line": True} for key in ("LINES", "RETURNS")}
WORKS = {
    "LINES": "a\nb\r\n\n\tc",
    "RETURNS": "a\rb\x85c",
    "TABS": "a\tb\x0bc\x1b[0m\x7f",
    "QUOTES": "\"'`{{ 6 * 7 }} {% raw %} $(LINEAR_API_KEY) $$ ${HOME} %s \\n #'\"",
    "LETTERS": "Cl\u00f3vis \U0001f511 \u2028 e\u0301 \ufeff.",
    "JSON": '{"a": "x&y <z>", "b": [1.0, null, "\\u0000"]}',
    "LONG": LONGEST,
    "A_TRUTH": "true",
    "A_NUMBER": "0071234",
}
fleet = running(AGENT)


def arrived(fleet: Fleet, **wanted: str) -> None:
    """In Vault, in the Secret and in the gateway's own environment."""
    agrees(fleet)
    for found in (fleet.values(AGENT), environment_of(AGENT)):
        other = {key: str(found.get(key))[:60] for key, value in wanted.items() if found.get(key) != value}
        assert other == {}


@pytest.fixture
def policies(fleet: Fleet) -> Iterator[None]:
    fleet.variables["agent_key_policy"] = MULTI_LINE
    yield
    del fleet.variables["agent_key_policy"]


@pytest.mark.usefixtures("policies")
def test_what_a_rotation_takes_from_the_inbox_runs_in_the_pod_as_it_is(fleet: Fleet) -> None:
    bring(AGENT, **WORKS)
    fleet.rotate(AGENT).ok()
    arrived(fleet, **WORKS)
    assert inbox(AGENT) == {}
    assert "nothing to do" in fleet.rollout(AGENT).ok().output
    # Another one in its place: of what is compared nothing takes the old for the new.
    newer = {"LINES": "a\nb\r\n\n\td", "QUOTES": "$(QUOTES)", "LONG": LONGEST[:-1] + "y", "JSON": "[]"}
    bring(AGENT, **newer)
    fleet.rotate(AGENT).ok()
    arrived(fleet, **{**WORKS, **newer})


@pytest.mark.usefixtures("policies")
def test_a_value_that_is_typed_runs_in_the_pod_as_it_is(fleet: Fleet, tmp_path: Path) -> None:
    """From a file, and marked as AWX marks it, so that ansible takes nothing of it for a template."""
    value = f"{WORKS['LINES']} {WORKS['QUOTES']} Clóvis"
    file = tmp_path / "typed.yml"
    file.write_text(f"new_value: !unsafe {json.dumps(value)}\n")
    fleet.rotate(AGENT, "-e", "keys=LINES", "-e", f"@{file}").ok()
    arrived(fleet, LINES=value)


def raw(agent: str) -> Any:
    """Of the newest version, numbers as they were written."""
    client = vault_admin()
    answer = client.session.get(f"{client.url}/v1/kv/data/agents/{agent}", headers={"X-Vault-Token": client.token})
    return json.loads(answer.text, parse_float=str, parse_int=str)["data"]["data"]


def put_raw(path: str, values: str) -> None:
    """As a JSON file gets into Vault, letter by letter."""
    client = vault_admin()
    body = f'{{"data": {values}}}'.encode()
    headers = {"X-Vault-Token": client.token}
    answer = client.session.post(f"{client.url}/v1/kv/data/{path}", data=body, headers=headers)
    assert answer.status_code == 200, answer.text


CANNOT = {
    "lines": ("a\r\nb", "line break"),
    "last-line": ("a\n", "ends with a line break"),
    "tab": ("\ta", "white space"),
    "nul": ("a\0b", "NUL"),
    "empty": ("", "empty"),
    "too-long": (LONGEST + "x", "too long"),
}
#: As a JSON file brings it. Of numbers Vault itself keeps some digits only: of an id of Discord not the last ones.
NOT_TEXT = {"null": "null", "number": "1234567890123456789", "map": '{"nome": "x"}'}


@pytest.mark.parametrize("name", [*CANNOT, *NOT_TEXT])
def test_what_cannot_be_as_it_is_is_refused_before_any_write(fleet: Fleet, proxy: Through, name: str) -> None:
    value, words = CANNOT.get(name, ("", "no text"))
    put_raw(f"agents-inbox/{AGENT}", f'{{"LONG": {NOT_TEXT.get(name) or json.dumps(value)}}}')
    before = (fleet.values(AGENT), vault_version(AGENT), journal(AGENT), pods(AGENT)[0]["metadata"]["uid"])
    try:
        run = fleet.rotate(AGENT, env=proxy.environment)
        message = message_of(run, AGENT)
    finally:
        take_out(AGENT)
    assert "the new value of LONG is not allowed" in message
    assert words in message
    assert error_of(run, AGENT)["kind"] == "invalid"
    assert not proxy.proxy.writes()
    assert (fleet.values(AGENT), vault_version(AGENT), journal(AGENT), pods(AGENT)[0]["metadata"]["uid"]) == before


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (b'{"new_value": "a\\u0000b"}', "NUL"),
        (b"new_value=a\xffb", "no UTF-8 text"),
        (b'{"new_value": 1.10}', "no text"),
    ],
    ids=["nul", "bytes", "number"],
)
def test_what_is_typed_and_cannot_be_is_refused_before_any_request(
    fleet: Fleet, proxy: Through, typed: bytes, words: str
) -> None:
    run = fleet.rotate(
        AGENT, "-e", "keys=LONG", "-e", typed.decode("utf-8", "surrogateescape"), env=proxy.environment
    ).failed(words)
    assert "internal error" not in run.output
    assert not proxy.proxy.requests()


def test_provision_adds_to_awkward_values_and_they_reach_the_pod_as_they_are(make_fleet: Make) -> None:
    agent = "valor-provido"
    fleet = make_fleet(agent, provide=False)
    no_text = {key: given for key, (given, _text) in NO_TEXT.items()}
    kept = {**WORKS, **AWKWARD, **no_text, "GITHUB_TOKEN": "\tg\n", "LINEAR_API_KEY": "l\r\nl\n"}
    vault_admin().secrets.kv.v2.create_or_update_secret(f"agents/{agent}", kept, mount_point="kv")
    before = raw(agent)
    fleet.provision(agent).ok()
    found = raw(agent)
    token = found.pop(TOKEN)
    assert found == before
    texts = {key: value for key, value in kept.items() if isinstance(value, str)}
    wanted = {**texts, **{key: text for key, (_given, text) in NO_TEXT.items()}, TOKEN: token}
    there = environment_of(agent)
    assert {key: str(there.get(key))[:60] for key, value in wanted.items() if there.get(key) != value} == {}


@pytest.mark.usefixtures("fake_nodes")
def test_what_would_not_arrive_is_kept_by_provision_and_refused_by_the_rollout_behind_it(make_fleet: Make) -> None:
    agent = "valor-guardado"
    fleet = make_fleet(agent, provide=False, host_variables={agent: KWOK})
    kept = {"GITHUB_TOKEN": "a\0b", "LINEAR_API_KEY": "l", "EMPTY": "", "LONG": LONGEST + "x", TOKEN: "of-echo\n"}
    vault_admin().secrets.kv.v2.create_or_update_secret(f"agents/{agent}", kept, mount_point="kv")
    run = fleet.provision(agent)
    message = message_of(run, agent)
    for words in (
        "'GITHUB_TOKEN' cannot be used",
        "'LONG' cannot be used: it is too long",
        f"'{TOKEN}' cannot be used",
    ):
        assert words in message
    assert fleet.values(agent) == kept
    assert not pods(agent)


@pytest.mark.usefixtures("fake_nodes")
def test_numbers_reach_the_secret_as_external_secrets_writes_them(make_fleet: Make) -> None:
    """Go and Python agree on most of them only: a price per token is none of those."""
    agent = "valor-numero"
    fleet = make_fleet(agent, host_variables={agent: KWOK}, variables={"agent_sync_timeout": 8})
    numbers = {
        "PORT": ("8080", "8080"),
        "WHOLE": ("1.0", "1"),
        "PRICE": ("1.10", "1.1"),
        "PER_TOKEN": ("0.00003", "0.00003"),
        "FEW": ("2.5e-7", "0.00000025"),
        "MANY": ("1e22", "10000000000000000000000"),
        "IN_A_MAP": ('{"a": 1.0, "b": 0.00003, "c": 2.5e-7, "d": 1e22}', '{"a":1,"b":0.00003,"c":2.5e-7,"d":1e+22}'),
        "IN_A_LIST": ("[0.00003]", "[0.00003]"),
    }
    written = [f'"{key}": {given}' for key, (given, _text) in numbers.items()]
    put_raw(f"agents/{agent}", ", ".join([json.dumps(fleet.values(agent))[:-1], *written]) + "}")
    fleet.rollout(agent).ok()
    found = secret(agent)
    assert {key: found.get(key) for key in numbers} == {key: text for key, (_given, text) in numbers.items()}
