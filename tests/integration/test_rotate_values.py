"""Values that do not work, and words that cannot be: what a rotation does then."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.integration.disturbing import agrees, running
from tests.integration.failing import error_of, message_of
from tests.integration.fleet import Fleet, gateway, pods
from tests.integration.podwatch import PodWatch
from tests.integration.rotating import (
    OVERRIDE,
    TOKEN,
    bring,
    inbox,
    journal,
    secret,
    stamp,
    take_out,
    values_left,
    vault_version,
)
from tests.integration.writes import holder
from tests.sandbox.proxy import Through

AGENT = "giro-valor"
GOOD = "the-value-that-the-service-takes"
fleet = running(AGENT)


@pytest.fixture
def service() -> Iterator[str]:
    """A service that takes one value. Its address."""

    class Takes(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.headers["Authorization"] == f"Bearer {GOOD}" else 403)
            self.end_headers()

        def log_message(self, *_words: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Takes)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def test_a_value_is_tried_out_before_it_is_promoted(fleet: Fleet, service: str) -> None:
    """I4: one that its service refuses leaves Vault, the Secret and the pod as they are."""
    old, version, pod = fleet.values(AGENT), vault_version(AGENT), pods(AGENT)[0]["metadata"]["uid"]
    fleet.variables["agent_key_policy"] = {"LINEAR_API_KEY": {"test": {"url": service}}}
    try:
        bring(AGENT, LINEAR_API_KEY="one-that-it-refuses")
        message = message_of(fleet.rotate(AGENT), AGENT)
        assert "LINEAR_API_KEY did not pass its test" in message
        assert "nothing outside the journal was touched" in message
        assert fleet.values(AGENT) == secret(AGENT) == old
        assert vault_version(AGENT) == version
        assert pods(AGENT)[0]["metadata"]["uid"] == pod
        agrees(fleet, "aborted")
        bring(AGENT, LINEAR_API_KEY=GOOD)
        assert "the new LINEAR_API_KEY passed its test" in fleet.rotate(AGENT).ok().output
    finally:
        del fleet.variables["agent_key_policy"]
    assert fleet.values(AGENT) == {**old, "LINEAR_API_KEY": GOOD}
    assert inbox(AGENT) == {}
    agrees(fleet)


@pytest.mark.parametrize(
    ("key", "value", "story"),
    [
        (OVERRIDE, "no-gateway-takes-what-vault-says", "refuses the token that stands in Vault"),
        ("TESTGATEWAY_EXIT", "1", "exit"),
    ],
    ids=["refused", "crash"],
)
def test_a_value_that_does_not_work_is_taken_back_with_both_stories(
    fleet: Fleet, key: str, value: str, story: str
) -> None:
    old, old_stamp = fleet.values(AGENT), stamp(AGENT)
    bring(AGENT, **{key: value})
    with PodWatch() as watch:
        run = fleet.rotate(AGENT)
    message, error = message_of(run, AGENT), error_of(run, AGENT)
    assert error["kind"] == "rotation"
    assert story in message.splitlines()[0]
    assert error["evidence"]["pod"]
    assert f"Everything is back: {AGENT} runs with the old values, verified." in message
    assert f"lies in kv/agents-inbox/{AGENT} still" in message
    assert value not in run.output or len(value) < 6
    assert fleet.values(AGENT) == secret(AGENT) == old
    assert stamp(AGENT) not in ("", old_stamp)
    assert gateway(AGENT, old[TOKEN]) == 200
    assert journal(AGENT)["phase"] == "rolled_back"
    assert not values_left(AGENT)
    assert inbox(AGENT) == {key: value}
    assert not holder(AGENT)
    # I6: the one that did not work, and the one that runs again.
    assert len(watch.seen[AGENT]) <= 3
    assert not [names for names in watch.together if names[0].startswith(f"{AGENT}-")]
    assert len(pods(AGENT)) == 1
    take_out(AGENT)


def test_a_value_given_beside_another_one_in_the_inbox_is_refused(fleet: Fleet, proxy: Through) -> None:
    old = fleet.values(AGENT)
    bring(AGENT, LINEAR_API_KEY="the-one-in-the-inbox")
    words = ("-e", "keys=LINEAR_API_KEY", "-e", "new_value=the-one-that-is-given")
    for more in ((), ("--check",)):
        run = fleet.rotate(AGENT, *words, *more, env=proxy.environment)
        assert error_of(run, AGENT)["kind"] == "invalid"
        assert f"another one lies in kv/agents-inbox/{AGENT}" in run.message(AGENT)
        assert "that-is-given" not in run.output
    assert not proxy.proxy.writes()
    assert fleet.values(AGENT) == old
    take_out(AGENT)
    # Nobody brought one: known before the lock is taken, and in check mode too.
    for more in ((), ("--check",)):
        run = fleet.rotate(AGENT, "-e", "keys=LINEAR_API_KEY", *more, env=proxy.environment)
        assert "is brought by a person, and the inbox has none" in run.message(AGENT)
    assert not proxy.proxy.writes()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("keys=lower-case",), "keys"),
        (('{"keys": ["A", "../B"]}',), "keys"),
        ((f"keys={TOKEN}", '{"new_value": "two\\nlines"}'), "line break"),
        ((f"keys={TOKEN}", '{"new_value": " padded"}'), "white space"),
        ((f"keys={TOKEN},GITHUB_TOKEN", "new_value=x"), "new_value is for one key"),
        (("new_value=x",), "new_value is for one key"),
        ((f"keys={TOKEN}", "abort=true"), "abort and keys are both given"),
        ((f"keys={TOKEN}", "rotation_id=../x"), "rotation_id"),
        ((f"keys={TOKEN}", '{"agent_key_policy": {"A": {"generate": 32}}}'), "key_policy.A"),
        ((f"keys={TOKEN}", '{"agent_key_policy": {"A": {"max_age": "soon"}}}'), "max_age"),
    ],
)
def test_words_that_cannot_be_are_refused_before_any_request(
    fleet: Fleet, proxy: Through, words: tuple[str, ...], said: str
) -> None:
    given = [part for word in words for part in ("-e", word)]
    run = fleet.rotate(AGENT, *given, env=proxy.environment)
    assert error_of(run, AGENT)["kind"] == "invalid"
    assert said in run.message(AGENT), run.output
    assert not proxy.proxy.requests()
