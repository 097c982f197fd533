# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Done or not yet, and what others did to the Deployment: W1 to W7 of the design's rollout page."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.verdict import (
    DONE,
    FAILED,
    WAITING,
    Memory,
    Verdict,
    judge,
    last_manager,
    new_replica_set,
)
from tests.unit.builders import (
    AVAILABLE,
    PROGRESSING,
    READY,
    RUNNING,
    SCHEDULED,
    WANTED,
    condition,
    observed,
    pod,
    replica_set,
    running_deployment,
    template,
    waiting,
)


def verdict_on(live: Any, *pods: Any, **seen: Any) -> Verdict:
    return judge(WANTED, observed(live, *pods, **seen), Memory(), 60)[0]


def complete() -> Any:
    return running_deployment(AVAILABLE, updated=1, replicas=1, available=1)


NEW = pod(READY, SCHEDULED, state=RUNNING, phase="Running")
OLD = pod(READY, SCHEDULED, owner="roberval-old", name="roberval-old-x", state=RUNNING, phase="Running")
OLD_SET = replica_set("roberval-old", template(**{"agents.digitalsys/secret-version": "3"}))


# W2: replaced, or changed by somebody else


def test_a_deployment_that_was_deleted_meanwhile_is_a_failure() -> None:
    found = verdict_on(None, NEW)
    assert (found.state, found.cause) == (FAILED, "changed")


def test_a_deployment_with_another_uid_was_replaced_by_someone_else() -> None:
    live = complete()
    live["metadata"]["uid"] = "other"
    found = verdict_on(live, NEW)
    assert (found.state, found.cause) == (FAILED, "changed")
    assert "replaced" in found.words


@pytest.mark.parametrize(
    "change",
    [
        lambda live: live["spec"].update(replicas=0),
        lambda live: live["spec"].update(template=template(x="y")),
        lambda live: live["spec"]["template"]["spec"]["containers"][0].update(image="other"),
    ],
)
def test_a_change_of_template_or_replicas_by_another_manager_names_it(change: Any) -> None:
    live = complete()
    change(live)
    live["metadata"]["managedFields"] = [
        {"manager": "digitalsys.agents", "time": "2026-11-01T10:00:00Z"},
        {"manager": "kubectl-edit", "time": "2026-11-01T10:00:05Z"},
        {"manager": "kube-controller-manager", "time": "2026-11-01T10:00:09Z", "subresource": "status"},
    ]
    found = verdict_on(live, NEW)
    assert (found.state, found.cause) == (FAILED, "changed")
    assert found.words.endswith("changed meanwhile by kubectl-edit")


def test_a_change_within_the_same_second_is_not_laid_at_our_own_door() -> None:
    same = "2026-11-01T10:00:00Z"
    entries = [
        {"manager": "digitalsys.agents", "time": same},
        {"manager": "argocd", "time": same},
        {"manager": "digitalsys.agents.fence", "time": same},
    ]
    assert last_manager({"metadata": {"managedFields": entries}}) == "argocd"


def test_a_change_that_nobody_is_recorded_for_is_someone_elses() -> None:
    assert last_manager({"metadata": {}}) == "someone else"


@pytest.mark.parametrize(
    "change",
    [
        lambda live: live["metadata"].update(annotations={"team": "x"}),
        lambda live: live["spec"].update(revisionHistoryLimit=3),
        lambda live: live["spec"]["template"]["metadata"].update(creationTimestamp=None),
    ],
)
def test_other_changes_are_ignored(change: Any) -> None:
    live = complete()
    change(live)
    assert verdict_on(live, NEW).state == DONE


# W3: the generation


def test_a_status_of_the_generation_before_is_not_yet() -> None:
    live = complete()
    live["metadata"]["generation"] = 3
    assert verdict_on(live, NEW).state == WAITING


def test_a_deployment_without_any_status_is_not_yet() -> None:
    live = complete()
    live["status"] = {}
    assert verdict_on(live).state == WAITING


# W4: paused


def test_a_paused_deployment_fails_now_and_says_how_to_go_on() -> None:
    found = verdict_on(running_deployment(PROGRESSING, paused=True), OLD)
    assert (found.state, found.cause) == (FAILED, "paused")
    assert "kubectl rollout resume" in found.words


# W5: the new ReplicaSet


def test_the_new_replica_set_has_our_template_and_our_deployment_as_owner() -> None:
    mine = replica_set()
    assert new_replica_set(observed(complete(), sets=[OLD_SET, mine]), WANTED) is mine


def test_another_deployments_replica_set_with_the_same_template_is_not_ours() -> None:
    assert new_replica_set(observed(complete(), sets=[replica_set(owner="other")]), WANTED) is None


def test_without_a_new_replica_set_it_is_not_yet() -> None:
    found = verdict_on(running_deployment(PROGRESSING), sets=[OLD_SET])
    assert (found.state, found.words) == (WAITING, "waiting for the new pod")


def test_without_a_new_replica_set_a_replica_failure_says_why() -> None:
    live = running_deployment(PROGRESSING, condition("ReplicaFailure", "True", "FailedCreate", "exceeded quota: bots"))
    _first, memory = judge(WANTED, observed(live, now=1000, sets=[OLD_SET]), Memory(), 60)
    found, _memory = judge(WANTED, observed(live, now=1003, sets=[OLD_SET]), memory, 60)
    assert (found.state, found.cause) == (FAILED, "quota")


# W6: whose deadline


def deadline_of(name: str) -> Any:
    return condition(
        "Progressing", "False", "ProgressDeadlineExceeded", f'ReplicaSet "{name}" has timed out progressing.'
    )


def test_a_stale_deadline_of_the_release_before_does_not_count() -> None:
    live = running_deployment(deadline_of("roberval-old"))
    assert (
        verdict_on(live, pod(SCHEDULED, state=waiting("ContainerCreating")), sets=[OLD_SET, replica_set()]).state
        == WAITING
    )


def test_a_deadline_of_a_name_that_ours_begins_with_does_not_count() -> None:
    assert verdict_on(running_deployment(deadline_of("roberval-new-2")), pod(SCHEDULED)).state == WAITING


def test_a_stale_deadline_before_the_new_replica_set_is_there_does_not_count() -> None:
    assert verdict_on(running_deployment(deadline_of("roberval-old")), sets=[OLD_SET]).state == WAITING


def test_the_deadline_of_our_own_replica_set_is_a_failure() -> None:
    found = verdict_on(running_deployment(deadline_of("roberval-new")), pod(SCHEDULED, state=RUNNING))
    assert (found.state, found.cause) == (FAILED, "timeout")


# W7: done


def test_done_is_the_new_pod_available_and_nothing_else_there() -> None:
    found = verdict_on(complete(), NEW, sets=[OLD_SET, replica_set()])
    assert (found.state, found.pod) == (DONE, "roberval-new-x")


def test_a_pod_that_lags_behind_its_deployment_is_waited_for() -> None:
    """Its watch is another one: what is read of the pod afterwards would be of one that has not begun."""
    assert verdict_on(complete(), pod(), sets=[OLD_SET, replica_set()]).state == WAITING


def test_the_first_status_of_recreate_which_fools_kubernetes_core_is_not_done() -> None:
    """replicas=1, available=1 and the new generation: the controller wrote it before it touched anything."""
    live = running_deployment(AVAILABLE, replicas=1, available=1)
    assert verdict_on(live, OLD, sets=[OLD_SET]).state == WAITING
    assert verdict_on(live, sets=[OLD_SET]).state == WAITING, "nor where the watch has not brought the pods yet"
    assert verdict_on(live, sets=[OLD_SET, replica_set()]).state == WAITING


@pytest.mark.parametrize(
    "counts",
    [
        {"replicas": 1, "available": 1},
        {"updated": 1, "replicas": 1},
        {"updated": 1, "available": 1},
        {"updated": 1, "replicas": 2, "available": 1},
        {"updated": 1, "replicas": 2, "available": 2},
        {},
    ],
)
def test_every_count_must_say_one(counts: dict[str, int]) -> None:
    assert verdict_on(running_deployment(AVAILABLE, **counts), NEW).state == WAITING


def test_counts_alone_are_not_done_before_the_controller_says_available() -> None:
    assert verdict_on(running_deployment(PROGRESSING, updated=1, replicas=1, available=1), NEW).state == WAITING


def test_not_done_while_a_pod_of_another_template_is_still_there() -> None:
    found = verdict_on(complete(), NEW, OLD, sets=[OLD_SET, replica_set()])
    assert found.state == WAITING
    assert "roberval-old-x is ending" in found.words


@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_an_evicted_pod_that_lies_about_is_no_obstacle(phase: str) -> None:
    evicted = pod(owner="roberval-old", name="roberval-old-x", phase=phase)
    assert verdict_on(complete(), NEW, evicted, sets=[OLD_SET, replica_set()]).state == DONE


@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_an_evicted_pod_of_the_new_template_is_history_too(phase: str) -> None:
    """Trials C4: a healthy release failed after the whole timeout."""
    evicted = pod(name="roberval-new-e", phase=phase)
    assert verdict_on(complete(), NEW, evicted).state == DONE


def test_a_pod_that_only_carries_the_labels_is_not_the_agents() -> None:
    """Trials C5: a debug pod; "the old pod … is ending", and a good release was taken back."""
    debug = pod(name="debug", state=RUNNING, phase="Running")
    debug["metadata"]["ownerReferences"] = []
    assert verdict_on(complete(), NEW, debug).state == DONE
    of_another = pod(owner="clovis-1", name="clovis-1-x", state=RUNNING, phase="Running")
    sets = [replica_set(), replica_set("clovis-1", owner="another-deployment")]
    assert verdict_on(complete(), NEW, of_another, sets=sets).state == DONE


def test_not_done_while_two_pods_of_the_new_template_are_there() -> None:
    assert verdict_on(complete(), NEW, pod(READY, name="roberval-new-y", state=RUNNING)).state == WAITING


def test_a_ready_pod_is_watched_for_the_stability_window() -> None:
    found = verdict_on(running_deployment(PROGRESSING, updated=1, replicas=1), NEW)
    assert (found.state, found.words) == (WAITING, "ready; watching it for 10 s")


@pytest.mark.parametrize(
    ("new", "words"),
    [
        (
            pod(condition("PodScheduled", "False", "Unschedulable", "0/3 nodes are available")),
            "no node yet: 0/3 nodes are available",
        ),
        (pod(SCHEDULED, state=waiting("ContainerCreating")), "the pod is being made (ContainerCreating)"),
        (pod(SCHEDULED, state=waiting("PodInitializing"), init=RUNNING), "the pod is being made (initialising)"),
        (pod(SCHEDULED, state=RUNNING), "the gateway is starting"),
        (pod(), "the pod is being made (initialising)"),
    ],
)
def test_what_is_waited_for_is_said(new: Any, words: str) -> None:
    found = verdict_on(running_deployment(PROGRESSING, updated=1, replicas=1), new)
    assert (found.state, found.words) == (WAITING, words)
