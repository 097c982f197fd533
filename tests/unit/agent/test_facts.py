# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stays as it is once an agent exists: read, recorded, and put into whatever is applied next."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._agent import releases
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.facts import (
    FOUND,
    NOWHERE,
    Facts,
    Mount,
    Record,
    as_data,
    of_data,
    of_deployment,
    of_new,
    of_word,
    put_into,
    settled,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.manifests import Stamps, rendered, sealed
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from tests.unit.builders import agent, deployment, served

STAMPS = Stamps("4")
#: As an agent made by hand has them.
BY_HAND = Facts(Mount("roberval-pvc", "/root/.openclaw/", "state"), "roberval", {"app": "roberval"})


def by_hand() -> dict[str, Any]:
    return served(put_into(deployment(agent(), STAMPS), BY_HAND))


def containers(made: dict[str, Any]) -> list[dict[str, Any]]:
    pod = made["spec"]["template"]["spec"]
    return [*pod["initContainers"], *pod["containers"]]


def test_what_is_put_in_is_read_back() -> None:
    assert of_deployment(by_hand()) == BY_HAND
    assert of_deployment(deployment(agent(), STAMPS)) == of_new("roberval")


def test_a_rendering_has_the_facts_everywhere_and_gives_its_own_away() -> None:
    before = deployment(agent(), STAMPS)
    made = put_into(before, BY_HAND)
    assert before == deployment(agent(), STAMPS), "what was given stays"
    pod = made["spec"]["template"]["spec"]
    assert made["spec"]["selector"] == {"matchLabels": {"app": "roberval"}}
    assert made["spec"]["template"]["metadata"]["labels"]["app"] == "roberval"
    assert pod["volumes"] == [{"name": "state", "persistentVolumeClaim": {"claimName": "roberval-pvc"}}]
    for container in containers(made):
        assert container["volumeMounts"] == [{"name": "state", "mountPath": "/root/.openclaw/", "subPath": "state"}]
    assert [one["name"] for one in containers(made)] == ["seed", "roberval"]
    assert pod["initContainers"][0]["workingDir"] == "/root/.openclaw/"


def test_the_claim_that_is_applied_is_the_one_that_is_mounted() -> None:
    objects = {one["kind"]: one for one in rendered(agent(), STAMPS, BY_HAND)}
    assert objects["PersistentVolumeClaim"]["metadata"]["name"] == "roberval-pvc"


def test_what_lives_counts_before_what_a_new_agent_would_get() -> None:
    assert settled("roberval", by_hand(), None) == BY_HAND
    assert settled("roberval", None, None) == of_new("roberval")


def test_where_the_deployment_is_gone_the_record_counts() -> None:
    assert settled("roberval", None, Record(BY_HAND)) == BY_HAND


def test_a_container_of_another_name_is_drift_and_a_selector_is_for_ever() -> None:
    """Where the live ones differ from the record."""
    live = by_hand()
    live["spec"]["template"]["spec"]["containers"][0]["name"] = "second"
    recorded = Record(replace(BY_HAND, selector={"app": "before"}))
    found = settled("roberval", live, recorded)
    assert (found.container, found.selector) == ("roberval", {"app": "roberval"})


@pytest.mark.parametrize(("mark", "replicas"), [({}, 1), ({"agents.digitalsys/suspended": "{}"}, 0)])
@pytest.mark.parametrize("live", [0, 1, 3])
def test_replicas_are_ours_to_say_whatever_stands_there(live: int, mark: dict[str, str], replicas: int) -> None:
    standing = by_hand()
    standing["spec"]["replicas"] = live
    standing["metadata"]["annotations"].update(mark)
    facts = settled("roberval", standing, Record(BY_HAND))
    assert facts.replicas == replicas
    assert put_into(deployment(agent(), STAMPS), facts)["spec"]["replicas"] == replicas


def test_a_deployment_that_mounts_no_claim_gets_its_own_again() -> None:
    live = by_hand()
    live["spec"]["template"]["spec"]["volumes"] = []
    assert of_deployment(live).mount == NOWHERE
    assert settled("roberval", live, Record(BY_HAND)).mount == BY_HAND.mount
    assert settled("roberval", live, None).mount == of_new("roberval").mount


@pytest.mark.parametrize(
    ("accepted", "mount"),
    [
        (Mount("new", ""), Mount("new", "/root/.openclaw")),
        (Mount("new", "/data"), Mount("new", "/data")),
        (Mount("roberval-pvc", ""), BY_HAND.mount),
        (Mount("roberval-state", ""), Mount("roberval-state", "/memory")),
    ],
)
def test_the_claim_that_a_person_names_is_mounted_as_it_was(accepted: Mount, mount: Mount) -> None:
    recorded = Record(replace(BY_HAND, mount=Mount("roberval-state", "/memory")))
    assert settled("roberval", by_hand(), recorded, accepted).mount == mount


@pytest.mark.parametrize(
    ("word", "mount"),
    [
        ("", None),
        ("roberval-state", Mount("roberval-state", "")),
        ("roberval-state:/data", Mount("roberval-state", "/data")),
        ("roberval-state:/data:sub", Mount("roberval-state", "/data", "sub")),
    ],
)
def test_a_mount_is_typed_as_it_is_told(word: str, mount: Mount | None) -> None:
    assert of_word(word) == mount
    assert mount is None or mount.word() == word


@pytest.mark.parametrize("word", ["true", "Roberval", "a b", ":/data", "x:data", "-x", "x\n"])
def test_what_can_be_no_claim_is_refused(word: str) -> None:
    if word == "true":
        assert of_word(word) == Mount("true", ""), "a claim may be called so; that there is none is told later"
        return
    with pytest.raises(AgentError, match="accept_volume") as caught:
        of_word(word)
    assert caught.value.kind is ErrorKind.INVALID


def record_of(what: Record | None, *, old: bool = False) -> dict[str, Any]:
    past = [releases.new([], sealed(deployment(agent(), STAMPS, what.facts if what and old else None)), "4", "alice")]
    return releases.manifest(agent(), past, None if old else what)


@pytest.mark.parametrize(
    "what", [Record(BY_HAND), Record(BY_HAND, "uid-1", "pvc-1", FOUND), Record(of_new("roberval"), "", "pvc-1", "x")]
)
def test_a_record_is_read_back_as_it_was_written(what: Record) -> None:
    assert of_data(json.loads(json.dumps(as_data(what))), what.identity) == what
    assert releases.recorded(record_of(what)) == what


def test_a_new_agent_has_no_record_and_0_1_0_recorded_its_releases_alone() -> None:
    assert releases.recorded(None) is None
    assert releases.recorded({"data": {}}) is None
    assert releases.recorded(record_of(Record(BY_HAND), old=True)) == Record(BY_HAND, identity=FOUND)


def test_the_volume_has_a_key_of_its_own_which_the_pod_reads() -> None:
    what = Record(BY_HAND, "uid-1", "pvc-1", "0a1b")
    assert record_of(what)["data"]["volume"] == "0a1b"
    init = deployment(agent(), STAMPS)["spec"]["template"]["spec"]["initContainers"][0]
    assert init["env"][-1]["valueFrom"] == {
        "configMapKeyRef": {"name": "roberval-releases", "key": "volume", "optional": True}
    }
    assert record_of(Record(BY_HAND))["data"]["volume"] == "", "written, so that no other hand's word stays there"


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "{}", '{"claim": 3}'])
def test_facts_that_were_edited_are_told_and_not_guessed_at(text: str) -> None:
    edited = record_of(Record(BY_HAND))
    edited["data"]["facts.json"] = text
    with pytest.raises(AgentError, match="edited by hand") as caught:
        releases.recorded(edited)
    assert caught.value.kind is ErrorKind.INVALID


@pytest.mark.parametrize("field", ["claim", "mountPath", "container", "selector", "claimUid"])
def test_a_fact_that_is_no_text_is_told(field: str) -> None:
    edited = record_of(Record(BY_HAND))
    facts = json.loads(edited["data"]["facts.json"])
    edited["data"]["facts.json"] = json.dumps({**facts, field: {"x": 1} if field == "selector" else 1})
    with pytest.raises(AgentError, match="edited by hand"):
        releases.recorded(edited)


def test_a_recorded_release_is_taken_up_with_the_facts_of_today() -> None:
    release = releases.new([], sealed(deployment(agent(), STAMPS)), "4", "alice")
    revived = releases.revived(release, "5", BY_HAND)
    assert of_deployment(revived) == BY_HAND
    assert revived == sealed(deployment(agent(), Stamps("5"), BY_HAND))


def test_one_of_0_1_0_looks_at_the_volume_where_it_is_taken_up_again() -> None:
    """Its init container goes to the folder by a script, and reads no identity. What runs stays as it is."""
    old = deployment(agent(), STAMPS)
    init = old["spec"]["template"]["spec"]["initContainers"][0]
    del init["workingDir"], init["env"][-1]
    release = releases.new([], sealed(copy.deepcopy(old)), "4", "alice")
    assert releases.revived(release, "4", of_new("roberval"))["spec"] == old["spec"]
    looks = releases.revived(release, "4", of_new("roberval"), "roberval")["spec"]["template"]["spec"]
    init = looks["initContainers"][0]
    assert (init["workingDir"], init["env"][-1]["name"]) == ("/root/.openclaw", "OPENCLAW_VOLUME")
    script = init["command"][-1]
    assert script.index("exit 66") < script.index(old["spec"]["template"]["spec"]["initContainers"][0]["command"][-1])
