# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The volume with the memory is the recorded one, or a person has said otherwise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._agent import releases
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.facts import Mount, Record, of_new
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.live import Live
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.manifests import Stamps
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._guards.volume import accepts, expected, require_volume
from tests.unit.builders import UID, agent, live_of

AGAIN = "ansible-playbook rollout.yml -e agent=roberval -e accept_volume="
KNOWN = Record(of_new("roberval"), UID, "pvc-1", "0a1b")


def live(record: Record | None = KNOWN, accepted: Mount | None = None) -> Live:
    """An agent that runs as it was recorded."""
    found = live_of(agent(), Stamps("4"))
    kept = releases.read(found.releases)
    return Live("roberval", {**found.objects, "ConfigMap": releases.manifest(agent(), kept, record)}, accepted=accepted)


def refused(found: Live) -> AgentError:
    with pytest.raises(AgentError) as caught:
        require_volume(found, agent())
    return caught.value


@pytest.mark.parametrize("record", [KNOWN, replace(KNOWN, volume_name=""), replace(KNOWN, claim_uid=""), None])
def test_the_recorded_volume_and_one_that_was_never_recorded_pass(record: Record | None) -> None:
    require_volume(live(record), agent())


def test_a_claim_that_was_made_anew_is_told_with_both_uids() -> None:
    found = live(replace(KNOWN, claim_uid="uid-before"))
    error = refused(found)
    assert error.kind is ErrorKind.CONFLICT
    assert "claim roberval-state was made anew at" in error.message
    assert "uid-before" in error.message
    assert UID in error.message
    assert f"{AGAIN}roberval-state" in error.hint


def test_a_claim_that_is_gone_is_told_and_not_made_anew() -> None:
    found = live()
    del found.objects["PersistentVolumeClaim"]
    assert "claim roberval-state" in refused(found).message
    assert "is not there any more" in refused(found).message


def test_a_claim_bound_to_another_volume_is_told_with_both() -> None:
    error = refused(live(replace(KNOWN, volume_name="pvc-before")))
    assert "bound to volume pvc-1" in error.message
    assert "pvc-before" in error.message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"claim": "roberval-other"}, "claim roberval-other at /root/.openclaw"),
        ({"path": "/data"}, "claim roberval-state at /data"),
        ({"sub_path": "x"}, "claim roberval-state at /root/.openclaw (subPath x)"),
    ],
)
def test_another_mount_names_both_and_how_to_choose_each(change: dict[str, Any], words: str) -> None:
    mount = replace(KNOWN.facts.mount, **change)
    error = refused(live(replace(KNOWN, facts=replace(KNOWN.facts, mount=mount))))
    for one in (mount, KNOWN.facts.mount):
        assert one.shown() in error.message
        assert f"{AGAIN}{one.word()}" in error.hint
    assert words in error.message


def test_a_volume_that_was_taken_out_of_the_template_names_the_one_that_can_be_chosen() -> None:
    found = live()
    assert found.deployment
    found.deployment["spec"]["template"]["spec"]["volumes"] = []
    error = refused(found)
    assert "the Deployment mounts no claim" in error.message
    assert error.hint.count(AGAIN) == 1


def test_where_the_recorded_claim_is_gone_it_is_not_offered() -> None:
    """Whoever chose it would get a new and empty one."""
    moved = live(replace(KNOWN, facts=replace(KNOWN.facts, mount=Mount("roberval-gone", "/root/.openclaw"))))
    del moved.objects["PersistentVolumeClaim"]
    error = refused(moved)
    assert "Claim roberval-gone is not there any more" in error.hint
    assert error.hint.count(AGAIN) == 1
    assert f"{AGAIN}roberval-state" in error.hint


def test_a_claim_that_is_not_there_is_not_made_for_a_slip_of_the_pen() -> None:
    found = live(accepted=Mount("robreval-state", ""))
    del found.objects["PersistentVolumeClaim"]
    error = refused(found)
    assert error.kind is ErrorKind.INVALID
    assert "there is no claim robreval-state in namespace bots" in error.message
    again = live(accepted=Mount("roberval-state", ""))
    del again.objects["PersistentVolumeClaim"]
    require_volume(again, agent())


def test_another_agents_claim_is_nobodys_to_accept() -> None:
    found = live(accepted=Mount("clovis-state", ""))
    found.objects["PersistentVolumeClaim"]["metadata"]["labels"]["app.kubernetes.io/instance"] = "clovis"
    assert "holds the memory of clovis" in refused(found).message
    found.objects["PersistentVolumeClaim"]["metadata"]["labels"]["app.kubernetes.io/managed-by"] = "Helm"
    require_volume(found, agent())


def test_to_name_the_recorded_one_where_another_is_mounted_puts_it_back_and_forgets_nothing() -> None:
    moved = live(KNOWN, Mount("roberval-state", "/root/.openclaw"))
    assert moved.deployment
    moved.deployment["spec"]["template"]["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] = "roberval-other"
    assert accepts(moved)
    assert expected(moved) == KNOWN
    assert expected(live(KNOWN, Mount("roberval-other", ""))) is None
    assert expected(live(KNOWN)) == KNOWN
    cut_off = replace(KNOWN, identity="", facts=replace(KNOWN.facts, mount=Mount("roberval-other", "/root/.openclaw")))
    assert expected(live(cut_off, Mount("roberval-other", ""))) is None, (
        "the same word again, after a run that was killed"
    )


def test_what_a_person_has_named_is_no_stop() -> None:
    named = Mount("roberval-state", "")
    for record in (replace(KNOWN, claim_uid="uid-before"), replace(KNOWN, volume_name="pvc-before")):
        require_volume(live(record, named), agent())
        assert accepts(live(record, named))


def test_a_claim_that_is_mounted_in_two_ways_is_to_be_named_with_its_folder() -> None:
    moved = replace(KNOWN, facts=replace(KNOWN.facts, mount=Mount("roberval-state", "/data")))
    error = refused(live(moved, Mount("roberval-state", "")))
    assert error.kind is ErrorKind.INVALID
    assert f"{AGAIN}roberval-state:/data" in error.hint
    require_volume(live(moved, Mount("roberval-state", "/data")), agent())


def test_a_claim_that_goes_is_no_persons_to_accept() -> None:
    found = live(accepted=Mount("roberval-state", ""))
    found.objects["PersistentVolumeClaim"]["metadata"]["deletionTimestamp"] = "2026-11-02T10:00:00Z"
    assert "was deleted at 2026-11-02T10:00:00Z" in refused(found).message


def test_what_is_so_already_needs_no_acceptance() -> None:
    assert not accepts(live(accepted=Mount("roberval-state", "")))
    assert not accepts(live())


def test_a_gateway_that_does_not_run_and_another_claim_do() -> None:
    down = live(accepted=Mount("roberval-state", ""))
    assert down.deployment
    down.deployment["status"]["conditions"] = []
    down.deployment["status"]["availableReplicas"] = 0
    assert accepts(down)
    assert accepts(live(accepted=Mount("roberval-other", "")))
