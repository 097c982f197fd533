"""What a run leaves that was killed at its very end, and what the next one makes of it."""

from __future__ import annotations

from pathlib import Path

from tests.integration.disturbing import agrees, killed, running
from tests.integration.fleet import Fleet, vault_admin
from tests.integration.rotating import bring, inbox, journal, stamp, vault_version
from tests.integration.writes import holder
from tests.sandbox.kill import AfterWrite

AGENT = "giro-depois"
#: The dead run's lock need not be waited for.
NOW = ("-e", "force_unlock=true")
#: All is done but the release of the lock.
SWEPT = AfterWrite(1, path="/v1/kv/destroy/agents-rotation/")
fleet = running(AGENT)


def _killed_at_its_release(fleet: Fleet, folder: Path) -> dict[str, str]:
    """A whole rotation of the token, which could not say so. The values that it left."""
    killed(fleet, folder, SWEPT)
    assert journal(AGENT)["phase"] == "finished"
    assert holder(AGENT)
    return fleet.values(AGENT)


def test_the_same_words_find_it_finished_and_change_nothing(fleet: Fleet, tmp_path: Path) -> None:
    left = _killed_at_its_release(fleet, tmp_path)
    version, pod = vault_version(AGENT), stamp(AGENT)
    run = fleet.rotate(AGENT, "-e", "keys=OPENCLAW_GATEWAY_TOKEN", *NOW).ok()
    assert "is finished already" in run.output
    assert not run.changed(AGENT)
    assert fleet.values(AGENT) == left
    assert (vault_version(AGENT), stamp(AGENT)) == (version, pod)
    agrees(fleet)


def test_other_keys_are_a_rotation_of_their_own(fleet: Fleet, tmp_path: Path) -> None:
    left = _killed_at_its_release(fleet, tmp_path)
    bring(AGENT, LINEAR_API_KEY="brought-since")
    run = fleet.rotate(AGENT, "-e", "keys=LINEAR_API_KEY", *NOW).ok()
    assert run.results[AGENT]["keys"] == ["LINEAR_API_KEY"]
    assert fleet.values(AGENT) == {**left, "LINEAR_API_KEY": "brought-since"}
    assert inbox(AGENT) == {}
    agrees(fleet)


def test_a_value_brought_since_is_not_taken_for_the_one_that_was_rotated(fleet: Fleet, tmp_path: Path) -> None:
    left = _killed_at_its_release(fleet, tmp_path)
    bring(AGENT, OPENCLAW_GATEWAY_TOKEN="brought-since-in-its-place")
    fleet.rotate(AGENT, "-e", "keys=OPENCLAW_GATEWAY_TOKEN", *NOW).ok()
    assert fleet.values(AGENT) == {**left, "OPENCLAW_GATEWAY_TOKEN": "brought-since-in-its-place"}
    agrees(fleet)


def test_killed_while_the_inbox_is_emptied_it_leaves_the_other_key_and_no_version_of_the_adopted_one(
    fleet: Fleet, tmp_path: Path
) -> None:
    bring(AGENT, LINEAR_API_KEY="adopted", GITHUB_TOKEN="waits")
    words = ("-e", "keys=LINEAR_API_KEY")
    killed(fleet, tmp_path, AfterWrite(1, path=f"/v1/kv/data/agents-inbox/{AGENT}"), *words)
    # Taken out of the newest version; the one before it still has the value.
    assert inbox(AGENT) == {"GITHUB_TOKEN": "waits"}
    assert "adopted" in _brought_ever()
    fleet.rotate(AGENT, *words, *NOW).ok()
    assert fleet.values(AGENT)["LINEAR_API_KEY"] == "adopted"
    assert inbox(AGENT) == {"GITHUB_TOKEN": "waits"}
    assert "adopted" not in _brought_ever()
    agrees(fleet)


def _brought_ever() -> list[str]:
    """Every value in every version of the inbox that Vault can still read."""
    kv, path = vault_admin().secrets.kv.v2, f"agents-inbox/{AGENT}"
    states = kv.read_secret_metadata(path, mount_point="kv")["data"]["versions"]
    readable = [int(one) for one, state in states.items() if not (state["destroyed"] or state["deletion_time"])]
    return [
        value
        for one in readable
        for value in kv.read_secret_version(path, version=one, mount_point="kv", raise_on_deleted_version=True)["data"][
            "data"
        ].values()
    ]
