# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Failed, as soon as it is certain and not before: W8 of the design's rollout page."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.verdict import (
    DONE,
    FAILED,
    MEMORY,
    WAITING,
    Memory,
    Wanted,
    judge,
)
from tests.unit.builders import (
    GRACE,
    NAME,
    RUNNING,
    SCHEDULED,
    WANTED,
    at_once,
    condition,
    last_of,
    observed,
    pod,
    running_deployment,
    starting,
    terminated,
    waiting,
)

# Images


@pytest.mark.parametrize("reason", ["InvalidImageName", "ErrImageNeverPull"])
def test_an_image_that_can_never_be_is_a_failure_at_once(reason: str) -> None:
    found = at_once(pod(SCHEDULED, state=waiting(reason, "words")))
    assert (found.state, found.cause, found.pod) == (FAILED, "image", NAME)
    assert found.words == f"{reason}: words"


@pytest.mark.parametrize("place", ["state", "init"])
def test_an_image_that_is_not_there_is_a_failure_at_once(place: str) -> None:
    states: dict[str, Any] = {
        "state": waiting("PodInitializing"),
        place: waiting("ErrImagePull", "manifest unknown: not found"),
    }
    found = at_once(pod(SCHEDULED, **states))
    assert (found.state, found.cause) == (FAILED, "image")


def pull_steps(*reasons: str) -> list[Any]:
    return [
        (float(second), [pod(SCHEDULED, state=waiting(reason, "dial tcp: i/o timeout"))], ())
        for second, reason in enumerate(reasons)
    ]


@pytest.mark.parametrize(
    "reasons",
    [
        ("ErrImagePull",),
        ("ErrImagePull", "ErrImagePull"),
        ("ErrImagePull", "ImagePullBackOff"),
        ("ErrImagePull", "ImagePullBackOff", "ImagePullBackOff"),
        ("ImagePullBackOff",),
        ("ErrImagePull", "ContainerCreating"),
    ],
)
def test_one_failed_pull_may_be_the_network(reasons: tuple[str, ...]) -> None:
    assert last_of(pull_steps(*reasons)).state == WAITING


@pytest.mark.parametrize(
    "reasons",
    [
        ("ErrImagePull", "ImagePullBackOff", "ErrImagePull"),
        ("ImagePullBackOff", "ErrImagePull"),
        ("ErrImagePull", "ImagePullBackOff", "ErrImagePull", "ImagePullBackOff"),
    ],
)
def test_a_second_failed_pull_is_a_failure(reasons: tuple[str, ...]) -> None:
    found = last_of(pull_steps(*reasons))
    assert (found.state, found.cause) == (FAILED, "image")
    assert "i/o timeout" in found.words


# Configuration


@pytest.mark.parametrize("reason", ["CreateContainerConfigError", "CreateContainerError", "RunContainerError"])
def test_a_container_that_cannot_be_made_is_a_failure_at_once(reason: str) -> None:
    found = at_once(pod(SCHEDULED, state=waiting(reason, 'secret "roberval-env" not found')))
    assert (found.state, found.cause) == (FAILED, "configuration")
    assert 'secret "roberval-env" not found' in found.words


@pytest.mark.parametrize("of", ["secret", "configmap"])
def test_a_kubelet_that_has_not_read_the_secret_yet_reads_it_again(of: str) -> None:
    words = f"failed to sync {of} cache: timed out waiting for the condition"
    found = at_once(pod(SCHEDULED, state=waiting("CreateContainerConfigError", words)))
    assert (found.state, found.words) == (WAITING, "the pod is being made (CreateContainerConfigError)")


def test_a_failed_init_container_is_named() -> None:
    found = at_once(pod(SCHEDULED, state=waiting("PodInitializing"), init=terminated(2)))
    assert (found.state, found.cause) == (FAILED, "configuration")
    assert found.words == "init container seed ended with exit code 2"


def test_an_init_container_that_did_its_work_is_no_failure() -> None:
    assert at_once(pod(SCHEDULED, state=RUNNING, init=terminated(0, "Completed"))).state == WAITING


# Scheduling and volumes


UNSCHEDULABLE = pod(
    condition("PodScheduled", "False", "Unschedulable", "0/3 nodes are available: 3 Insufficient memory.")
)


def test_a_full_pool_is_given_its_grace_and_then_told_in_the_schedulers_words() -> None:
    assert last_of([(0.0, [UNSCHEDULABLE], ()), (GRACE - 1.0, [UNSCHEDULABLE], ())]).state == WAITING
    found = last_of([(0.0, [UNSCHEDULABLE], ()), (float(GRACE), [UNSCHEDULABLE], ())])
    assert (found.state, found.cause) == (FAILED, "schedule")
    assert "Insufficient memory" in found.words


def test_the_grace_begins_anew_when_a_node_was_found_in_between() -> None:
    steps = [
        (0.0, [UNSCHEDULABLE], ()),
        (50.0, [pod(SCHEDULED)], ()),
        (55.0, [UNSCHEDULABLE], ()),
        (100.0, [UNSCHEDULABLE], ()),
    ]
    assert last_of(steps).state == WAITING


MOUNTING = [
    pod(SCHEDULED),
    pod(SCHEDULED, state=waiting("ContainerCreating")),
    # As a kubelet writes it where there is an init container, which our pods always have.
    pod(SCHEDULED, state=waiting("PodInitializing"), init=waiting("PodInitializing")),
    pod(
        SCHEDULED,
        condition("PodReadyToStartContainers", "False"),
        state=waiting("PodInitializing"),
        init=waiting("PodInitializing"),
    ),
]


@pytest.mark.parametrize("new", MOUNTING)
def test_a_volume_that_does_not_come_is_a_failure_after_six_minutes(new: Any) -> None:
    assert last_of([(0.0, [new], ()), (360.0, [new], ())]).state == WAITING
    found = last_of([(0.0, [new], ()), (361.0, [new], ())])
    assert (found.state, found.cause) == (FAILED, "volume")


@pytest.mark.parametrize(
    "new",
    [
        pod(
            SCHEDULED,
            condition("PodReadyToStartContainers", "True"),
            state=waiting("PodInitializing"),
            init=waiting("PodInitializing"),
        ),
        pod(SCHEDULED, state=waiting("PodInitializing"), init=RUNNING),
        pod(SCHEDULED, state=waiting("PodInitializing"), init=terminated(0, "Completed")),
        pod(SCHEDULED, state=RUNNING, init=terminated(0, "Completed")),
    ],
)
def test_a_slow_pull_or_start_is_not_blamed_on_the_volume(new: Any) -> None:
    assert last_of([(0.0, [new], ()), (900.0, [new], ())]).state == WAITING


def ending(**metadata: Any) -> Any:
    return pod(
        owner="roberval-old",
        name="roberval-old-x",
        state=RUNNING,
        phase="Running",
        deletionTimestamp="2026-11-01T10:00:00Z",
        **metadata,
    )


def test_an_old_pod_that_ends_within_its_grace_is_waited_for() -> None:
    old = ending(deletionGracePeriodSeconds=330)
    assert last_of([(0.0, [old], ()), (390.0, [old], ())]).state == WAITING


def test_an_old_pod_that_does_not_end_is_told_with_its_node_and_finalizers() -> None:
    old = ending(deletionGracePeriodSeconds=330, finalizers=["example.com/hold"])
    found = last_of([(0.0, [old], ()), (391.0, [old], ())])
    assert (found.state, found.cause, found.pod) == (FAILED, "volume", "roberval-old-x")
    assert "node node-1, finalizers: example.com/hold" in found.words


def test_an_old_pod_that_still_runs_is_not_yet_terminating() -> None:
    old = pod(owner="roberval-old", name="roberval-old-x", state=RUNNING, phase="Running")
    assert last_of([(0.0, [old], ()), (5000.0, [old], ())]).state == WAITING


# Quota, webhooks, pod security


REPLICA_FAILURE = condition(
    "ReplicaFailure", "True", "FailedCreate", 'pods "roberval-new-x" is forbidden: exceeded quota: bots'
)


def test_a_replica_failure_must_be_seen_twice() -> None:
    live = starting(REPLICA_FAILURE)
    assert last_of([(0.0, [], ())], live).state == WAITING
    assert last_of([(0.0, [], ()), (1.0, [], ())], live).state == WAITING
    found = last_of([(0.0, [], ()), (2.0, [], ())], live)
    assert (found.state, found.cause) == (FAILED, "quota")
    assert "exceeded quota: bots" in found.words


def test_a_replica_failure_that_went_away_is_forgotten() -> None:
    remembered = Memory()
    for now, live in ((0.0, starting(REPLICA_FAILURE)), (1.0, starting()), (3.0, starting(REPLICA_FAILURE))):
        found, remembered = judge(WANTED, observed(live, now=now), remembered, GRACE)
        assert found.state == WAITING


# The first cause comes first


def test_the_image_is_told_before_the_deadline_that_it_ran_into() -> None:
    deadline = condition(
        "Progressing", "False", "ProgressDeadlineExceeded", 'ReplicaSet "roberval-new" has timed out progressing.'
    )
    live = running_deployment(deadline, updated=1, replicas=1)
    new = pod(SCHEDULED, state=waiting("ErrImagePull", "not found"))
    assert last_of([(0.0, [new], ())], live).cause == "image"


def test_the_init_container_is_told_before_a_crash() -> None:
    new = pod(SCHEDULED, state=waiting("CrashLoopBackOff"), restarts=3, init=terminated(1))
    assert at_once(new).cause == "configuration"


def test_looking_changes_nothing_that_was_remembered_before() -> None:
    before = Memory()
    judge(WANTED, observed(starting(), UNSCHEDULABLE, now=5.0), before, GRACE)
    assert before == Memory()


# The volume


@pytest.mark.parametrize("state", ["state", "lastState"])
def test_a_volume_without_the_agents_memory_is_a_failure_of_its_own(state: str) -> None:
    refused = pod(SCHEDULED, state=waiting("PodInitializing"), init=waiting("CrashLoopBackOff"))
    end = {"terminated": {"exitCode": 66, "message": "expected 0a1b, found none"}}
    refused["status"]["initContainerStatuses"][0][state] = end
    found = at_once(refused)
    assert (found.state, found.cause) == (FAILED, MEMORY)
    assert found.words == "the volume does not hold the agent's memory: expected 0a1b, found none"


def test_an_agent_that_is_suspended_is_done_when_no_pod_of_it_is_left() -> None:
    live = running_deployment(replicas=0)
    live["spec"]["replicas"] = 0
    wanted = Wanted(WANTED.uid, WANTED.template, 0)
    ending = pod(SCHEDULED, state=RUNNING, deletionTimestamp="2026-11-28T02:00:00Z")
    first, memory = judge(wanted, observed(live, ending), Memory(), GRACE)
    assert (first.state, first.draining) == (WAITING, True)
    last, _memory = judge(wanted, observed(live), memory, GRACE)
    assert (last.state, last.pod) == (DONE, "")
