"""ESO silent, stale, cut off or taken away in the middle of a rotation: explained, and both sides agree afterwards, or
the journal says that it goes back and the next run goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from tests.integration.disturbing import KEYS, PROMOTION, RESTART, agrees, meanwhile, running
from tests.integration.failing import message_of
from tests.integration.fleet import NAMESPACE, Fleet, gateway, get, kubectl, until
from tests.integration.renewing import ready
from tests.integration.rotating import OVERRIDE, TOKEN, bring, journal, secret, stamp, take_out, vault_version
from tests.sandbox import control
from tests.sandbox.proxy import Through

AGENT = "giro-eso"
_EXTERNAL, _STORE = f"externalsecret/{AGENT}-env-secret", f"secretstore/{AGENT}-vault"
fleet = running(AGENT)


@contextmanager
def _impatient(fleet: Fleet, seconds: int = 3) -> Iterator[None]:
    """A sync that is waited for in vain is waited for so long."""
    fleet.variables["agent_sync_timeout"] = seconds
    try:
        yield
    finally:
        del fleet.variables["agent_sync_timeout"]


@contextmanager
def _eso_comes_back() -> Iterator[None]:
    """Whatever stops ESO in here."""
    try:
        yield
    finally:
        if not control.part_runs("external-secrets"):
            control.start_part("external-secrets")


def _stop_eso() -> None:
    control.stop_part("external-secrets")


def _patch(what: str, *operations: object) -> None:
    kubectl("patch", what, "-n", NAMESPACE, "--type=json", "-p", json.dumps(operations))


def test_a_secret_edited_by_hand_is_put_right_on_the_way(fleet: Fleet) -> None:
    kubectl(
        "patch", "secret", f"{AGENT}-env", "-n", NAMESPACE, "--type=merge", "-p", '{"data":{"GITHUB_TOKEN":"eA=="}}'
    )
    fleet.rotate(AGENT, *KEYS).ok()
    agrees(fleet)


def test_with_eso_stopped_nothing_changes_for_the_pod_and_both_sides_agree(fleet: Fleet) -> None:
    old, pod = fleet.values(AGENT), stamp(AGENT)
    with _impatient(fleet), _eso_comes_back():
        _stop_eso()
        run = fleet.rotate(AGENT, *KEYS)
        # What it said last stands there still.
        assert ready(AGENT) == "True"
    message = message_of(run, AGENT)
    assert "the External Secrets Operator is silent" in message
    assert "Everything is back" in message
    assert fleet.values(AGENT) == old
    assert stamp(AGENT) == pod
    agrees(fleet, "rolled_back")


def test_eso_that_stops_after_the_sync_is_not_needed_any_more(fleet: Fleet, proxy: Through) -> None:
    old = fleet.values(AGENT)
    with _eso_comes_back():
        meanwhile(fleet, proxy, RESTART, _stop_eso).ok()
        agrees(fleet)
    assert gateway(AGENT, old[TOKEN]) == 401


def test_an_eso_that_says_ready_and_leaves_the_secret_stale_is_found_out(fleet: Fleet) -> None:
    """Somebody has pinned the version that it reads: it syncs, and says so, and the Secret stays as it is."""
    old, pod = fleet.values(AGENT), stamp(AGENT)
    where = "/spec/dataFrom/0/extract/version"
    _patch(_EXTERNAL, {"op": "add", "path": where, "value": str(vault_version(AGENT))})
    try:
        with _impatient(fleet):
            run = fleet.rotate(AGENT, *KEYS)
        assert ready(AGENT) == "True"
    finally:
        _patch(_EXTERNAL, {"op": "remove", "path": where})
    message = message_of(run, AGENT)
    assert f"ExternalSecret {AGENT}-env-secret says that it synced" in message
    assert "reads something else" in message
    assert "Everything is back" in message
    assert fleet.values(AGENT) == old
    assert stamp(AGENT) == pod
    agrees(fleet, "rolled_back")


def test_a_store_that_loses_its_vault_in_the_middle_is_named_and_all_goes_back(fleet: Fleet, proxy: Through) -> None:
    old, pod, where = fleet.values(AGENT), stamp(AGENT), "/spec/provider/vault/server"
    live = get("secretstore", f"{AGENT}-vault")
    assert live
    here = live["spec"]["provider"]["vault"]["server"]

    def point_elsewhere() -> None:
        _patch(_STORE, {"op": "replace", "path": where, "value": "http://127.0.0.1:9"})
        until(lambda: ready(AGENT, "secretstore", "vault") == "False", "ESO finds that nothing answers there", 60)

    try:
        with _impatient(fleet):
            run = meanwhile(fleet, proxy, PROMOTION, point_elsewhere)
    finally:
        _patch(_STORE, {"op": "replace", "path": where, "value": here})
        until(lambda: ready(AGENT, "secretstore", "vault") == "True", "the store is ready again", 60)
    message = message_of(run, AGENT)
    assert f"SecretStore {AGENT}-vault is not ready since" in message
    assert "Everything is back" in message
    assert fleet.values(AGENT) == old
    assert stamp(AGENT) == pod
    agrees(fleet, "rolled_back")


def test_an_external_secret_deleted_in_the_middle_keeps_it_going_back_until_it_is_there_again(
    fleet: Fleet, proxy: Through
) -> None:
    """With it the Secret goes, which it owns. The pod, which has read it, runs on."""
    old = fleet.values(AGENT)
    run = meanwhile(fleet, proxy, PROMOTION, lambda: _delete_external_secret())
    message = message_of(run, AGENT)
    assert f"ExternalSecret {AGENT}-env-secret has gone" in message
    assert "Going back is not finished" in message
    assert "run the same command again" in message
    assert journal(AGENT)["phase"] == "rolling_back"
    assert fleet.values(AGENT) == old
    assert gateway(AGENT, old[TOKEN]) == 200
    fleet.rollout(AGENT).failed("despite_rotation=true")
    fleet.rollout(AGENT, "-e", "despite_rotation=true").ok()
    assert "Everything is back" in message_of(fleet.rotate(AGENT, *KEYS), AGENT)
    assert fleet.values(AGENT) == old
    agrees(fleet, "rolled_back")


def _delete_external_secret() -> None:
    kubectl("delete", _EXTERNAL, "-n", NAMESPACE)
    until(lambda: not secret(AGENT), "the Secret is gone with it", 30)


def test_with_eso_stopped_on_the_way_back_the_next_run_goes_on(fleet: Fleet, proxy: Through) -> None:
    old, words = fleet.values(AGENT), ("-e", f"keys={OVERRIDE}")
    bring(AGENT, **{OVERRIDE: "another-one"})
    # The sync on the way there is one that comes, on a busy machine too.
    with _impatient(fleet, 15), _eso_comes_back():
        run = meanwhile(fleet, proxy, RESTART, _stop_eso, *words)
    message = message_of(run, AGENT)
    assert "refuses the token that stands in Vault" in message
    assert "Going back is not finished" in message
    assert "run the same command again" in message
    assert journal(AGENT)["phase"] == "rolling_back"
    message = message_of(fleet.rotate(AGENT, *words), AGENT)
    assert "Everything is back" in message
    assert fleet.values(AGENT) == old
    agrees(fleet, "rolled_back")
    take_out(AGENT)
