# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a failure says: the cause in the words of whoever knows it, three lines of log, and nothing secret."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Context
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._options.agent import Home
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.diagnosis import Diagnosis, diagnose
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.verdict import FAILED, Exit, Observed, Verdict
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.wait import Waited
from tests.unit import builders
from tests.unit.builders import SCHEDULED, pod, terminated, waiting

POD, CLAIM, OLD = "Pod roberval-new-x", "PersistentVolumeClaim roberval-state", "Pod roberval-old-x"
LOOPING = pod(SCHEDULED, state=waiting("CrashLoopBackOff"), last=terminated(1), restarts=2)


class _Cluster:
    """events: 'Kind name: Reason: message', the oldest first. logs: (current, previous)."""

    def __init__(
        self, *events: str, logs: tuple[str, str] = ("", ""), claim: Any = None, refuses: bool = False
    ) -> None:
        self._events, self._logs, self._claim, self._refuses = events, logs, claim, refuses

    def list_objects(self, _kind: Any, _namespace: str) -> Any:
        if self._refuses:
            raise AgentError(ErrorKind.FORBIDDEN, "not allowed")
        items = []
        for number, line in enumerate(self._events):
            about, reason, message = line.split(": ", 2)
            kind, name = about.split(" ")
            when = f"2026-11-01T10:00:{number:02}Z"
            items.append(
                {
                    "involvedObject": {"kind": kind, "name": name},
                    "reason": reason,
                    "message": message,
                    "lastTimestamp": when,
                }
            )
        return items[::-1], "1"

    def get(self, _kind: Any, _namespace: str, _name: str) -> Any:
        return self._claim

    def log(self, _namespace: str, _pod: str, _container: str, *, previous: bool, lines: int) -> str:
        return "\n".join(self._logs[previous].splitlines()[-lines:])


def diagnosed(
    cluster: Any, cause: str, words: str, of: Any = LOOPING, exits: tuple[Exit, ...] = (), agent: Home | None = None
) -> Diagnosis:
    context = Context({}, "/nowhere")
    context.secrets.add("hunter2-and-more")
    waited = Waited(Verdict(FAILED, words, cause, "roberval-new-x"), Observed(0.0, None, [], [of], exits), 0.0)
    return diagnose(agent or builders.agent(), cluster, waited, context)


@pytest.mark.parametrize("logs", [("a\nb\nc\nd\n", ""), ("", "a\nb\nc\nd\n"), ("\n \n", "a\nb\nc\nd\n")])
def test_the_last_three_lines_of_log_are_shown_also_when_the_next_container_has_said_nothing_yet(logs: Any) -> None:
    found = diagnosed(_Cluster(logs=logs), "crash", "it ended")
    assert found.lines() == ["it ended", "  | b", "  | c", "  | d"]
    assert found.evidence["log"] == ["a", "b", "c", "d"]


def test_the_log_that_was_read_when_the_container_ended_comes_before_any_later_one() -> None:
    seen = (Exit("roberval-new-x", 0, 1, "Error", "its own words\n"),)
    assert diagnosed(_Cluster(logs=("later", "")), "crash", "it ended", exits=seen).log == ["its own words"]


def test_no_value_of_the_secret_is_in_words_log_or_evidence() -> None:
    event = f"{POD}: Failed: token hunter2-and-more"
    found = diagnosed(_Cluster(event, logs=("hunter2-and-more", "")), "crash", "said hunter2-and-more")
    assert "hunter2" not in str(found)
    assert found.lines() == ["said ***", "  | ***"]


def test_an_end_by_the_startup_probe_is_no_crash() -> None:
    killed = f"{POD}: Killing: Container openclaw failed startup probe, will be restarted"
    unhealthy = f"{POD}: Unhealthy: Startup probe failed: curl: (7)\n  Failed to connect"
    found = diagnosed(_Cluster(unhealthy, killed), "crash", "the gateway ended 2 times (exit code 143, Error)")
    assert found.cause == "probe"
    assert len(found.lines()) == 1
    assert "did not start within 300 s (agent_startup_seconds)" in found.lines()[0]
    assert "Startup probe failed: curl: (7) Failed to connect" in found.lines()[0]
    assert "\n" not in found.lines()[0]


def test_a_rotation_tells_the_time_to_start_that_the_pod_was_given() -> None:
    killed = f"{POD}: Killing: Container openclaw failed startup probe, will be restarted"
    home = Home("roberval", "bots", [], "kv", "agents/roberval")
    assert "did not start within 300 s" in diagnosed(_Cluster(killed), "crash", "it ended", agent=home).lines()[0]


def test_an_end_by_the_liveness_probe_is_told_too() -> None:
    killed = f"{POD}: Killing: Container openclaw failed liveness probe, will be restarted"
    found = diagnosed(_Cluster(killed), "crash", "the gateway ended 2 times")
    assert (found.cause, found.words.startswith("the gateway stopped answering")) == ("probe", True)


@pytest.mark.parametrize(
    ("event", "exits"),
    [
        (f"{OLD}: Killing: Container openclaw failed startup probe, will be restarted", ()),
        (f"{POD}: Unhealthy: Startup probe failed: not yet", ()),
        (
            f"{POD}: Killing: Container openclaw failed startup probe, will be restarted",
            (Exit("roberval-new-x", 0, 137, "OOMKilled", ""),),
        ),
    ],
)
def test_a_crash_stays_one_where_no_probe_ended_this_pod(event: str, exits: tuple[Exit, ...]) -> None:
    found = diagnosed(_Cluster(event), "crash", "the gateway ended 2 times", exits=exits)
    assert (found.cause, found.words) == ("crash", "the gateway ended 2 times")


def test_a_claim_without_a_volume_is_told_in_the_provisioners_words() -> None:
    claim = {"status": {"phase": "Pending"}, "spec": {"storageClassName": "fast"}}
    event = f'{CLAIM}: ProvisioningFailed: storageclass.storage.k8s.io "fast" not found'
    words = "no node takes the pod: 0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims."
    found = diagnosed(_Cluster(event, claim=claim), "schedule", words)
    assert found.cause == "volume"
    assert "the claim roberval-state is Pending, class fast" in found.words
    assert '"fast" not found' in found.words
    assert found.evidence["claim_phase"] == "Pending"
    assert "roberval-state is not there" in diagnosed(_Cluster(), "schedule", words).words
    assert diagnosed(_Cluster(claim=claim), "schedule", "Insufficient memory").cause == "schedule"


def test_what_is_not_done_in_time_ends_with_the_latest_trouble() -> None:
    lines = (
        f"{POD}: Pulled: image",
        f"{POD}: Unhealthy: Startup probe failed: timed out",
        f"{POD}: Started: container",
    )
    found = diagnosed(_Cluster(*lines), "timeout", "not done after 9 s: the gateway is starting")
    assert found.words.endswith("the gateway is starting: Unhealthy: Startup probe failed: timed out")
    mount = f"{POD}: FailedMount: MountVolume.SetUp failed"
    assert diagnosed(_Cluster(mount), "timeout", "not done").cause == "volume"


def test_events_are_told_once_the_latest_last() -> None:
    lines = [f"{POD}: BackOff: again", f"{POD}: Pulled: image", f"{POD}: BackOff: again", f"{OLD}: Killing: stop"]
    found = diagnosed(_Cluster(*lines), "crash", "it ended")
    assert found.evidence["events"] == [f"{POD}: Pulled: image", f"{POD}: BackOff: again"]


def test_a_diagnosis_that_may_not_look_still_tells_the_failure() -> None:
    found = diagnosed(_Cluster(refuses=True), "crash", "it ended")
    assert (found.cause, found.words) == ("crash", "it ended")
    assert found.evidence["events"] == ["(events could not be read: forbidden)"]
    broken = diagnosed(object(), "crash", "it ended")
    assert (broken.cause, broken.words) == ("crash", "it ended")


DIGEST = "sha256:" + "a1" * 32
REFERENCE = f"registry.example.com/digitalsys/openclaw-agent@{DIGEST}"
UNPACK, RESOLVE = f'failed to pull and unpack image "{REFERENCE}"', f'failed to resolve reference "{REFERENCE}"'
PULL = f"the image cannot be pulled: {UNPACK}: {RESOLVE}: "


@pytest.mark.parametrize(
    ("why", "means"),
    [
        (
            f"pulling from host x failed with status code [manifests {DIGEST}]: 401 Unauthorized",
            "agent_image_pull_secrets",
        ),
        ("pull access denied, repository does not exist or may require authorization", "agent_image_pull_secrets"),
        (f"{REFERENCE}: not found", "the registry does not have it"),
        ("failed to do request: Head: dial tcp 10.0.0.1:443: i/o timeout", "the node does not reach the registry"),
        (
            "failed to do request: Head: dial tcp: lookup registry.example.com: no such host",
            "does not reach the registry",
        ),
    ],
)
def test_why_an_image_cannot_be_pulled_comes_before_the_line_is_cut(why: str, means: str) -> None:
    line = diagnosed(_Cluster(), "image", PULL + why).lines()[0]
    assert line.startswith(
        "image registry.example.com/digitalsys/openclaw-agent@sha256:a1a1a1a1a1a1 cannot be pulled: "
    )
    assert line.endswith(")")
    assert means in line
    assert DIGEST not in line
    assert why.replace(DIGEST, DIGEST[:19]) in line


def test_a_reason_for_a_failed_pull_that_nobody_knows_is_told_as_it_is() -> None:
    line = diagnosed(_Cluster(), "image", f"{PULL}archive/tar: invalid tar header").lines()[0]
    assert line.endswith("cannot be pulled: archive/tar: invalid tar header")
    assert diagnosed(_Cluster(), "image", "InvalidImageName: x y").lines()[0] == "InvalidImageName: x y"
