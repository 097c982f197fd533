# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which image a run means, and which stamps its pod gets."""

from __future__ import annotations

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._agent.live import Live
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.manifests import Stamps
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._options import image as images
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.decisions import (
    decide,
    settled_image,
    stamps_for,
)
from tests.unit.builders import IMAGE, OTHER_DIGEST, REPOSITORY, agent, deployment, live_of

STAMPS = Stamps("4", "job-1")


# Which image


@pytest.mark.parametrize(
    ("asked", "tag", "meant"),
    [
        ("", "", IMAGE),
        ("", "v2", f"{REPOSITORY}:v2"),
        ("ghcr.io/a/b:c", "", "ghcr.io/a/b:c"),
        ("ghcr.io/a/b:c", "v2", "ghcr.io/a/b:v2"),
        (f"{REPOSITORY}@{OTHER_DIGEST}", "", f"{REPOSITORY}@{OTHER_DIGEST}"),
    ],
)
def test_the_runs_image_or_tag_comes_before_the_inventorys(asked: str, tag: str, meant: str) -> None:
    assert settled_image(agent(), Live("roberval"), asked, tag) == images.parse(meant)


def test_current_is_the_digest_that_runs_now_though_the_tag_moved() -> None:
    live = live_of(agent(image=f"{REPOSITORY}:v1@{OTHER_DIGEST}"), STAMPS)
    assert settled_image(agent(), live, "current", "") == images.parse(f"{REPOSITORY}:v1@{OTHER_DIGEST}")


def test_current_of_an_agent_that_never_ran_is_refused() -> None:
    with pytest.raises(AgentError, match="image=current"):
        settled_image(agent(), Live("roberval"), "current", "")


@pytest.mark.parametrize(("asked", "tag"), [("nginx", ""), ("", "a b"), ("Current", "")])
def test_a_bad_image_or_tag_of_the_command_line_is_refused(asked: str, tag: str) -> None:
    with pytest.raises(AgentError) as caught:
        settled_image(agent(), Live("roberval"), asked, tag)
    assert caught.value.kind is ErrorKind.INVALID


# Which stamps


def test_vaults_version_is_the_stamp_and_a_restart_id_is_carried_on() -> None:
    assert stamps_for(agent(), live_of(agent(), STAMPS), "5", "") == Stamps("5", "job-1")
    assert stamps_for(agent(), live_of(agent(), STAMPS), "4", "job-2") == Stamps("4", "job-2")
    assert stamps_for(agent(), Live("roberval"), "1", "") == Stamps("1", "")


def test_without_proof_a_stamp_stays_only_while_nothing_makes_a_new_pod() -> None:
    live = live_of(agent(), STAMPS)
    assert stamps_for(agent(), live, None, "") == STAMPS
    assert stamps_for(agent(), live, None, "job-2") == Stamps("unproved", "job-2")
    assert stamps_for(agent(grace_seconds=60), live, None, "") == Stamps("unproved", "job-1")
    assert stamps_for(agent(image=f"{REPOSITORY}@{OTHER_DIGEST}"), live, None, "").secret_version == "unproved"


def test_a_first_rollout_without_proof_is_stamped_unproved_and_never_guessed() -> None:
    assert stamps_for(agent(), Live("roberval"), None, "") == Stamps("unproved", "")
    assert stamps_for(agent(), live_of(agent(), Stamps()), None, "") == Stamps("unproved", "")


def test_an_unproved_run_of_an_unproved_agent_has_nothing_to_do() -> None:
    live = live_of(agent(), Stamps("unproved", ""))
    assert not decide(agent(), live, stamps_for(agent(), live, None, "")).todo


def test_a_changed_seed_alone_restarts_nothing() -> None:
    live, asked = live_of(agent(), STAMPS), {"gateway": {"mode": "remote"}}
    for version in ("4", None):
        wanted = agent(config_seed=asked)
        plan = decide(wanted, live, stamps_for(wanted, live, version, ""))
        assert (plan.reasons, plan.restarts) == ([], False)


@pytest.mark.parametrize(("version", "restart"), [("5", ""), ("4", "job-2")])
def test_a_changed_seed_comes_with_the_next_new_pod(version: str, restart: str) -> None:
    live, asked = live_of(agent(), STAMPS), agent(config_seed={"gateway": {"mode": "remote"}})
    stamps = stamps_for(asked, live, version, restart)
    init = deployment(asked, stamps)["spec"]["template"]["spec"]["initContainers"][0]
    seeds = [one["value"] for one in init["env"] if "value" in one]
    assert seeds == ['{"gateway":{"mode":"remote"}}']
    assert decide(asked, live, stamps).restarts
