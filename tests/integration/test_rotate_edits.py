"""People at the same keys while a rotation is open: theirs is kept, or the rotation stops; nothing is overwritten."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

from tests.integration.disturbing import (
    KEYS,
    PROMOTION,
    RESTART,
    SYNC,
    agrees,
    killed_after_its_journal,
    killed_after_its_promotion,
    meanwhile,
    running,
)
from tests.integration.failing import error_of, message_of
from tests.integration.fleet import NAMESPACE, Fleet, gateway, get, kubectl, pods
from tests.integration.rotating import (
    OVERRIDE,
    TOKEN,
    bring,
    edit,
    frozen,
    journal,
    secret,
    stamp,
    take_out,
    values_left,
    vault_version,
)
from tests.integration.writes import holder
from tests.sandbox.proxy import Through

AGENT = "giro-gente"
NOW = ("-e", "force_unlock=true")
fleet = running(AGENT)


def test_another_key_that_a_person_writes_meanwhile_is_kept(fleet: Fleet, proxy: Through) -> None:
    """I9, and I1: the rest is theirs."""
    old, version = fleet.values(AGENT), vault_version(AGENT)
    meanwhile(fleet, proxy, PROMOTION, lambda: edit(AGENT, LINEAR_API_KEY="by hand", EXTRA="more")).ok()
    new = fleet.values(AGENT)
    assert new == {**old, "LINEAR_API_KEY": "by hand", "EXTRA": "more", TOKEN: new[TOKEN]}
    assert new[TOKEN] != old[TOKEN]
    assert vault_version(AGENT) == version + 2
    assert secret(AGENT) == new
    assert stamp(AGENT) == str(version + 2)
    # Whoever writes fewer keys than there were is told what has gone.
    run = meanwhile(fleet, proxy, PROMOTION, lambda: edit(AGENT, EXTRA=None)).ok()
    assert "EXTRA has gone from" in run.output
    assert "EXTRA" not in secret(AGENT)


def test_a_person_who_writes_the_same_key_first_is_not_overwritten(fleet: Fleet, proxy: Through) -> None:
    old, pod = fleet.values(AGENT), stamp(AGENT)
    run = meanwhile(fleet, proxy, PROMOTION, lambda: edit(AGENT, **{TOKEN: "a-persons-own-token"}))
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
    run = meanwhile(fleet, proxy, RESTART, lambda: edit(AGENT, **{TOKEN: "another-token-by-hand"}))
    assert "after the promotion. Theirs stand" in message_of(run, AGENT).replace("\n", " ")
    assert fleet.values(AGENT) == {**old, TOKEN: "another-token-by-hand"}
    assert journal(AGENT)["phase"] == "superseded"
    assert not values_left(AGENT)
    fleet.rollout(AGENT).ok()
    assert gateway(AGENT, "another-token-by-hand") == 200


def test_an_open_rotation_is_the_only_one_and_ends_also_in_a_freeze(fleet: Fleet, tmp_path: Path) -> None:
    version = vault_version(AGENT)
    killed_after_its_journal(fleet, tmp_path / "killed")
    run = fleet.rotate(AGENT, "-e", "keys=GITHUB_TOKEN", *NOW)
    error = error_of(run, AGENT)
    assert error["kind"] == "rotation_open"
    assert error["keys"] == [TOKEN]
    assert "abort=true" in message_of(run, AGENT)
    with frozen():
        fleet.rotate(AGENT, *NOW).ok()
    assert vault_version(AGENT) == version + 1
    assert gateway(AGENT, fleet.values(AGENT)[TOKEN]) == 200


def test_another_key_that_a_person_writes_while_the_pod_comes_up_is_kept(fleet: Fleet, proxy: Through) -> None:
    """It is not in this pod yet, and the stamp says so: the next rollout brings it."""
    old, version = fleet.values(AGENT), vault_version(AGENT)
    meanwhile(fleet, proxy, RESTART, lambda: edit(AGENT, LINEAR_API_KEY="while it came up")).ok()
    new = fleet.values(AGENT)
    assert new == {**old, "LINEAR_API_KEY": "while it came up", TOKEN: new[TOKEN]}
    assert vault_version(AGENT) == version + 2
    assert stamp(AGENT) == str(version + 1)
    assert gateway(AGENT, new[TOKEN]) == 200
    fleet.rollout(AGENT).ok()
    assert stamp(AGENT) == str(version + 2)
    agrees(fleet)


def test_an_abort_takes_back_what_was_promoted(fleet: Fleet, tmp_path: Path) -> None:
    old, version, pod = fleet.values(AGENT), vault_version(AGENT), pods(AGENT)[0]["metadata"]["uid"]
    killed_after_its_promotion(fleet, tmp_path / "killed")
    assert fleet.values(AGENT)[TOKEN] != old[TOKEN]
    foretold = fleet.rotate(AGENT, "-e", "abort=true", *NOW, "--check").ok()
    assert f"would take back {TOKEN}" in foretold.output
    assert vault_version(AGENT) == version + 1
    run = fleet.rotate(AGENT, "-e", "abort=true", *NOW).ok()
    assert "is rolled back" in run.output
    assert fleet.values(AGENT) == old
    # The pod never had the new token: it is the same one.
    assert pods(AGENT)[0]["metadata"]["uid"] == pod
    agrees(fleet, "rolled_back")


def test_a_person_who_writes_the_same_key_while_it_goes_back_keeps_theirs(fleet: Fleet, proxy: Through) -> None:
    old, theirs = fleet.values(AGENT), {OVERRIDE: fleet.values(AGENT)[TOKEN]}
    bring(AGENT, **{OVERRIDE: "with-this-it-refuses-its-own-token"})
    try:
        second = replace(SYNC, first=2)
        run = meanwhile(fleet, proxy, second, lambda: edit(AGENT, **theirs), "-e", f"keys={OVERRIDE}")
        message = message_of(run, AGENT)
        assert "refuses the token that stands in Vault" in message
        assert "Theirs stand" in message
        assert "Everything is back" not in message
        assert journal(AGENT)["phase"] == "superseded"
        assert fleet.values(AGENT) == {**old, **theirs}
        fleet.rollout(AGENT).ok()
        assert gateway(AGENT, old[TOKEN]) == 200
        agrees(fleet, "superseded")
    finally:
        edit(AGENT, **{OVERRIDE: None})
        take_out(AGENT)
    fleet.rollout(AGENT).ok()


def test_a_person_at_the_deployment_is_left_alone_and_it_goes_on_later(fleet: Fleet, proxy: Through) -> None:
    old, version = fleet.values(AGENT), vault_version(AGENT)
    scale = ("scale", f"deployment/{AGENT}", "-n", NAMESPACE)

    def stop() -> None:
        proxy.proxy.wait_for(lambda one: one.is_write and "/deployments/" in one.path and one.status == 200, timeout=90)
        kubectl(*scale, "--replicas=0")

    thread = threading.Thread(target=stop)
    thread.start()
    run = fleet.rotate(AGENT, *KEYS, env=proxy.environment)
    thread.join()
    message = message_of(run, AGENT)
    assert "Nothing was undone, for somebody else is at work" in message
    assert journal(AGENT)["phase"] == "promoted"
    live = get("deployment", AGENT)
    assert live
    assert live["spec"]["replicas"] == 0
    kubectl(*scale, "--replicas=1")
    fleet.rotate(AGENT).ok()
    assert vault_version(AGENT) == version + 1
    assert gateway(AGENT, old[TOKEN]) == 401
    agrees(fleet)
