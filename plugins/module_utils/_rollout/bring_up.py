# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rollout and a rotation share, steps R5 to R7: the Deployment applied, waited for, its gateway asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ansible_collections.digitalsys.agents.plugins.module_utils._agent.live import Live, version_of_secret
from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Object
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._core.retry import Budget
from ansible_collections.digitalsys.agents.plugins.module_utils._core.timeouts import GATEWAY_LEAST, GATEWAY_RETRIES
from ansible_collections.digitalsys.agents.plugins.module_utils._eso.proof import Proof
from ansible_collections.digitalsys.agents.plugins.module_utils._guards.volume import expected
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.pods import gateway_of
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.diagnosis import (
    SWAPPED,
    TOKEN,
    VERIFY,
    Diagnosis,
    diagnose,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.gateway import (
    TokenRefused,
    readiness_warnings,
    token_probe,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.verdict import DONE
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.wait import Waited, wait
from ansible_collections.digitalsys.agents.plugins.module_utils._session.session import Session
from ansible_collections.digitalsys.agents.plugins.module_utils._session.volume import Freed, free


class Failed(Exception):
    """A release that does not run: what the wait, or the gateway, found."""

    def __init__(self, diagnosis: Diagnosis) -> None:
        super().__init__(diagnosis.words)
        self.diagnosis = diagnosis


class SecretMoved(Exception):
    """The Secret is not the one any more that was proved before its pod started: which one that reads is not known."""


def bring_up(
    run: Session[Any], wanted: Object, live: Live, proof: Proof, *, is_last_resort: bool = False
) -> Object | None:
    """The pod that was proved, None where the agent is suspended and has none.

    Failed when the release does not run; AgentError when we cannot know; SecretMoved when the Secret was changed since
    it was proved, unless this is the last resort.
    The option timeout bounds it, counted from when the former pod is gone; that has a bound of its own.
    """
    before = len(run.writer.changes)
    seen: Freed | None = None

    def settle(standing: Object | None) -> Object | None:
        nonlocal seen
        seen = free(run, wanted, standing, expected(live), is_left=live.accepted is not None)
        return seen.deployment

    written = run.writer.apply(wanted, live.deployment, settle)
    gateway = gateway_of(wanted["spec"]["template"]["spec"])
    image = gateway["image"]
    run.container = gateway["name"]
    if len(run.writer.changes) > before:
        run.step("R5", f"Deployment applied, image {image.partition('@sha256:')[2][:12]}")
        if run.params["verify"] != "ready":
            run.kube.load_streams()  # while the old pod ends
    waited = wait(run, written, seen)
    if waited.verdict.state != DONE:
        raise Failed(diagnose(run.agent, run.kube, waited, run.context))
    run.pod = waited.verdict.pod
    run.step("R6", waited.verdict.words)
    if not run.pod:
        return None
    pod = next(pod for pod in waited.observed.pods if pod["metadata"]["name"] == run.pod)
    _require_image(run, waited, pod, image)
    if not is_last_resort and version_of_secret(run.kube, run.agent.namespace, run.agent.name) != proof.secret:
        raise SecretMoved
    if run.params["verify"] != "ready":
        _ask_the_gateway(run, waited, proof)
    return pod


def _require_image(run: Session[Any], waited: Waited, pod: Object, image: str) -> None:
    """The pod has the image of its template, as it has unless the cluster's admission puts another one in. That the
    image is what its digest says is for the node to check, which tells an imageID of its own."""
    runs = gateway_of(pod["spec"]).get("image")
    # A policy may fetch the same digest from a mirror.
    if str(runs).partition("@")[2] != image.partition("@")[2]:
        found = diagnose(run.agent, run.kube, waited, run.context)
        words = f"pod {run.pod} was given the image {runs} in place of {image}: by a policy of the cluster"
        raise Failed(replace(found, cause=SWAPPED, words=words))


def _ask_the_gateway(run: Session[Any], waited: Waited, proof: Proof) -> None:
    """The last proof: that the gateway takes what stands in Vault."""
    budget = Budget(min(GATEWAY_RETRIES, max(GATEWAY_LEAST, waited.left)))
    try:
        token_probe(run.kube, run.agent.namespace, run.pod, proof.token, budget)
    except AgentError as error:
        if error.kind is not ErrorKind.VERIFY:
            raise
        found = diagnose(run.agent, run.kube, waited, run.context)
        cause = TOKEN if isinstance(error, TokenRefused) else VERIFY
        raise Failed(replace(found, cause=cause, words=error.message)) from None
    run.step("R7", "the gateway takes the token and refuses a wrong one")
    complaints = readiness_warnings(run.kube, run.agent.namespace, run.pod, budget)
    run.warnings += [f"{run.agent.name}: {line}" for line in complaints]
