# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was applied and proved, and the way back to it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._agent import releases
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.facts import of_new
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.manifests import Stamps, sealed
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.releases import Release
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from tests.unit.builders import DIGEST, IMAGE, OTHER_DIGEST, REPOSITORY, agent, deployment


def applied(image: str = IMAGE, version: str = "4", restart: str = "") -> dict[str, Any]:
    return sealed(deployment(agent(image=image), Stamps(version, restart)))


def kept(count: int) -> list[Release]:
    past: list[Release] = []
    for number in range(count):
        past.append(releases.new(past, applied(restart=f"job-{number}"), "4", "alice"))
    return past


def config_map(past: list[Release]) -> dict[str, Any]:
    return releases.manifest(agent(), past, None)


def test_a_release_tells_image_tag_version_time_and_who() -> None:
    release = releases.new([], applied(), "4", "job 812 (alice)")
    assert (release.id, release.image, release.tag) == ("r1", f"{REPOSITORY}@{DIGEST}", "latest")
    assert (release.secret_version, release.by) == ("4", "job 812 (alice)")
    assert release.at.endswith("Z")
    assert "r1 (sha256:a1a1a1a1a1a1, " in release.shown()


def test_releases_are_read_back_as_they_were_written() -> None:
    written = config_map(kept(3))
    assert releases.read(written) == [Release(**entry) for entry in json.loads(written["data"]["releases.json"])]
    assert [release.id for release in releases.read(written)] == ["r1", "r2", "r3"]


def test_the_last_ten_are_kept_and_the_numbers_go_on() -> None:
    found = releases.read(config_map(kept(13)))
    assert [release.id for release in found] == [f"r{number}" for number in range(4, 14)]
    assert releases.new(found, applied(), "4", "alice").id == "r14"


def test_a_release_named_by_hand_does_not_stop_the_numbering() -> None:
    odd = Release("golden", applied(), IMAGE, "", "4", "", "")
    assert releases.new([odd], applied(), "4", "alice").id == "r1"


@pytest.mark.parametrize("found", [None, {}, {"data": None}, {"data": {}}, {"data": {"releases.json": ""}}])
def test_without_a_record_there_is_no_release(found: Any) -> None:
    assert releases.read(found) == []
    assert releases.last_good(found) is None
    assert not releases.is_recorded(found, applied())


@pytest.mark.parametrize(
    "text", ["{", "{}", '""', "3", "null", '{"a": 1}', "[3]", '["x"]', '[{"id": "r1"}]', '[{"id": "r1", "unknown": 1}]']
)
def test_a_record_edited_by_hand_is_told_and_not_guessed_at(text: str) -> None:
    with pytest.raises(AgentError, match="roberval-releases was edited by hand") as caught:
        releases.read({"metadata": {"name": "roberval-releases"}, "data": {"releases.json": text}})
    assert caught.value.kind is ErrorKind.INVALID


def test_the_newest_is_the_last_good_one() -> None:
    newest = releases.last_good(config_map(kept(3)))
    assert newest is not None
    assert newest.id == "r3"


def test_only_the_very_deployment_counts_as_recorded() -> None:
    found = config_map([releases.new([], applied(), "4", "alice")])
    assert releases.is_recorded(found, applied())
    assert not releases.is_recorded(found, applied(version="5"))
    assert not releases.is_recorded(found, applied(image=f"{REPOSITORY}@{OTHER_DIGEST}"))


def test_a_recorded_release_that_is_no_longer_the_newest_does_not_count() -> None:
    older = releases.new([], applied(), "4", "alice")
    found = config_map([older, releases.new([older], applied(version="5"), "5", "alice")])
    assert not releases.is_recorded(found, applied())


def test_a_release_is_found_by_its_id() -> None:
    assert releases.find(config_map(kept(3)), "r2").deployment == applied(restart="job-1")


@pytest.mark.parametrize("asked", ["r9", "", "R1", "r", "latest"])
def test_an_unknown_release_is_refused_with_those_that_are(asked: str) -> None:
    with pytest.raises(AgentError) as caught:
        releases.find(config_map(kept(2)), asked)
    assert (caught.value.kind.value, caught.value.hint) == ("not_found", "Recorded: r2, r1")


def test_a_release_comes_back_with_the_secret_that_its_new_pod_will_really_have() -> None:
    release = releases.new([], applied(), "4", "alice")
    revived = releases.revived(release, "7", of_new("roberval"))
    assert revived["spec"]["template"]["metadata"]["annotations"]["agents.digitalsys/secret-version"] == "7"
    assert revived == applied(version="7")
    assert release.deployment == applied(), "the record itself stays"


@pytest.mark.parametrize("image", [f"{REPOSITORY}:latest@{DIGEST}", f"{REPOSITORY}@{DIGEST}"])
def test_a_release_with_the_same_secret_is_the_same_object(image: str) -> None:
    was = applied(image=image)
    assert releases.revived(releases.new([], was, "4", "alice"), "4", of_new("roberval")) == was


def test_a_release_of_a_template_without_stamps_can_come_back() -> None:
    bare = sealed(deployment(agent(), Stamps()))
    assert releases.revived(releases.new([], bare, "unproved", "alice"), "5", of_new("roberval")) == applied(
        version="5"
    )


def test_the_record_is_ours_and_holds_no_secret() -> None:
    made = config_map(kept(1))
    assert made["metadata"]["name"] == "roberval-releases"
    assert made["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "digitalsys.agents"
    assert made["kind"] == "ConfigMap"
