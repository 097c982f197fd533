"""People at the same keys, values that do not work, words that cannot be: what a rotation does then."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.failing import error_of, message_of
from tests.integration.fleet import Fleet, Run, gateway, pods, vault_admin
from tests.integration.podwatch import PodWatch
from tests.integration.rotating import TOKEN, bring, edit, inbox, journal, secret, stamp, values_left, vault_version
from tests.integration.test_rotate_faults import _frozen
from tests.integration.test_rotate_lock import killed_after_its_journal
from tests.integration.writes import holder
from tests.sandbox.existing import Existing
from tests.sandbox.proxy import Match, Through, hold

AGENT = "giro-gente"
KEYS = ("-e", f"keys={TOKEN}")
BEFORE_PROMOTION = Match(methods={"PATCH"}, path="/v1/kv/data/agents/")
AFTER_PROMOTION = Match(methods={"PATCH"}, path="/deployments/")


@pytest.fixture(scope="module")
def fleet(sandbox: Existing, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One agent that runs well; every test leaves it so."""
    if lacking := {"kubelet", "processes", "vault-admin"} - sandbox.capabilities:
        pytest.skip(f"this backend lacks: {', '.join(sorted(lacking))}")
    fleet = Fleet(tmp_path_factory.mktemp("rotate"), [AGENT], {"agent_secret_refresh": "1h"})
    try:
        fleet.provide()
        fleet.rollout(AGENT).ok()
        yield fleet
    finally:
        fleet.remove()


def _meanwhile(fleet: Fleet, proxy: Through, where: Match, do: Callable[[], None]) -> Run:
    """A rotation of the token that stands before a request while this is done."""
    standing = proxy.proxy.add(hold(where))

    def act() -> None:
        standing.wait_fired(timeout=60)
        do()
        standing.release()

    thread = threading.Thread(target=act)
    thread.start()
    run = fleet.rotate(AGENT, *KEYS, env=proxy.environment)
    thread.join()
    return run


def test_another_key_that_a_person_writes_meanwhile_is_kept(fleet: Fleet, proxy: Through) -> None:
    """I9, and I1: the rest is theirs."""
    old, version = fleet.values(AGENT), vault_version(AGENT)
    _meanwhile(fleet, proxy, BEFORE_PROMOTION, lambda: edit(AGENT, LINEAR_API_KEY="by hand", EXTRA="more")).ok()
    new = fleet.values(AGENT)
    assert new == {**old, "LINEAR_API_KEY": "by hand", "EXTRA": "more", TOKEN: new[TOKEN]}
    assert new[TOKEN] != old[TOKEN]
    assert vault_version(AGENT) == version + 2
    assert secret(AGENT) == new
    assert stamp(AGENT) == str(version + 2)
    # Whoever writes fewer keys than there were is told what has gone.
    run = _meanwhile(fleet, proxy, BEFORE_PROMOTION, lambda: edit(AGENT, EXTRA=None)).ok()
    assert "EXTRA has gone from" in run.output
    assert "EXTRA" not in secret(AGENT)


def test_a_person_who_writes_the_same_key_first_is_not_overwritten(fleet: Fleet, proxy: Through) -> None:
    old, pod = fleet.values(AGENT), stamp(AGENT)
    run = _meanwhile(fleet, proxy, BEFORE_PROMOTION, lambda: edit(AGENT, **{TOKEN: "a-persons-own-token"}))
    message = message_of(run, AGENT)
    assert "somebody wrote other values" in message
    assert "nothing of them was overwritten" in message
    assert fleet.values(AGENT) == {**old, TOKEN: "a-persons-own-token"}
    assert stamp(AGENT) == pod
    assert journal(AGENT)["phase"] == "aborted"
    assert not values_left(AGENT)
    assert not holder(AGENT)
    # As it says: what they wrote comes into the pod by a rollout.
    fleet.rollout(AGENT).ok()
    assert gateway(AGENT, "a-persons-own-token") == 200


def test_a_person_who_writes_the_same_key_while_the_pod_comes_up_keeps_theirs(fleet: Fleet, proxy: Through) -> None:
    old = fleet.values(AGENT)
    run = _meanwhile(fleet, proxy, AFTER_PROMOTION, lambda: edit(AGENT, **{TOKEN: "another-token-by-hand"}))
    assert "after the promotion. Theirs stand" in message_of(run, AGENT).replace("\n", " ")
    assert fleet.values(AGENT) == {**old, TOKEN: "another-token-by-hand"}
    assert journal(AGENT)["phase"] == "superseded"
    assert not values_left(AGENT)
    fleet.rollout(AGENT).ok()
    assert gateway(AGENT, "another-token-by-hand") == 200


def test_an_open_rotation_is_the_only_one_and_ends_also_in_a_freeze(fleet: Fleet, tmp_path: Path) -> None:
    version = vault_version(AGENT)
    killed_after_its_journal(fleet, AGENT, tmp_path / "killed")
    run = fleet.rotate(AGENT, "-e", "keys=GITHUB_TOKEN", "-e", "force_unlock=true")
    error = error_of(run, AGENT)
    assert error["kind"] == "rotation_open"
    assert error["keys"] == [TOKEN]
    assert "abort=true" in message_of(run, AGENT)
    with _frozen():
        fleet.rotate(AGENT, "-e", "force_unlock=true").ok()
    assert vault_version(AGENT) == version + 1
    assert gateway(AGENT, fleet.values(AGENT)[TOKEN]) == 200


@pytest.mark.parametrize(
    ("key", "value", "story"),
    [
        ("TESTGATEWAY_TOKEN_OVERRIDE", "no-gateway-takes-what-vault-says", "refuses the token that stands in Vault"),
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
    assert "lies in kv/agents-inbox/giro-gente still" in message
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
    vault_admin().secrets.kv.v2.delete_metadata_and_all_versions(f"agents-inbox/{AGENT}", mount_point="kv")


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
