# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""R5 to R7, what a rollout and a rotation share: the Deployment applied, waited for, its gateway asked."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Context, Object, Params
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._eso.proof import Proof
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.apply import Writer
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.client import Kube
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kinds import DEPLOYMENT, EXTERNAL_SECRET
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.live import Live, look
from ansible_collections.digitalsys.agents.plugins.module_utils._lock.lease import Lock
from ansible_collections.digitalsys.agents.plugins.module_utils._options.agent import Home
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.diagnosis import Diagnosis, diagnose
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.gateway import readiness_warnings, token_probe
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.verdict import DONE
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.wait import wait
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.client import Vault


class Failed(Exception):
    """A release that does not run: what R6 or R7 found."""

    def __init__(self, diagnosis: Diagnosis) -> None:
        super().__init__(diagnosis.words)
        self.diagnosis = diagnosis


@dataclass
class Run:
    """One rollout or rotation on its way: what it works with, and what it has to tell."""

    agent: Home
    params: Params
    context: Context
    kube: Kube
    vault: Vault | None
    writer: Writer
    by: str
    steps: list[Object] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    pod: str = ""
    _started: float = field(default_factory=time.monotonic)

    def step(self, name: str, words: str) -> None:
        self.steps.append({"step": name, "words": words, "at": round(time.monotonic() - self._started, 3)})
        self.context.progress(f"{self.agent.name}: {words}")


def after_takeover(run: Run, lock: Lock, step: str) -> None:
    """A run that is thought dead may still be about to write: it must meet our fence first."""
    if lock.taken_over_from:
        run.step(step, f"took the lock over from {lock.taken_over_from}; fence {lock.fence}")
        live = look(run.kube, run.agent.namespace, run.agent.name, DEPLOYMENT, EXTERNAL_SECRET)
        for found in live.objects.values():
            try:
                run.writer.raise_fence(found)
            except AgentError as error:
                # ESO's webhook where ESO is down, or a policy, refuses all writes to its objects: the other run's too.
                if found["kind"] != EXTERNAL_SECRET.name or not (
                    error.is_refusal or error.kind is ErrorKind.UNAVAILABLE
                ):
                    raise
                run.warnings.append(f"{run.agent.name}: {error.message}")


def bring_up(run: Run, wanted: Object, live: Live, proof: Proof) -> None:
    """R5-R7. Failed when the release does not run; AgentError when we cannot know."""
    before = len(run.writer.changes)
    written = run.writer.apply(wanted, live.deployment)
    image = wanted["spec"]["template"]["spec"]["containers"][0]["image"]
    if len(run.writer.changes) > before:
        run.step("R5", f"Deployment applied, image {image.partition('@sha256:')[2][:12]}")
        if run.params["verify"] != "ready":
            run.kube.load_streams()  # while the old pod ends
    waited = wait(
        run.agent,
        run.kube,
        written,
        run.context,
        schedule_grace=run.params["schedule_grace"],
        timeout=run.params["timeout"],
    )
    if waited.verdict.state != DONE:
        raise Failed(diagnose(run.agent, run.kube, waited, run.context))
    run.pod = waited.verdict.pod
    run.step("R6", waited.verdict.words)
    if run.params["verify"] != "ready":
        try:
            token_probe(run.kube, run.agent.namespace, run.pod, proof.token)
        except AgentError as error:
            if error.kind is not ErrorKind.VERIFY:
                raise
            raise Failed(
                replace(diagnose(run.agent, run.kube, waited, run.context), cause="verify", words=error.message)
            ) from None
        run.step("R7", "the gateway takes the token and refuses a wrong one")
        run.warnings += [
            f"{run.agent.name}: {line}" for line in readiness_warnings(run.kube, run.agent.namespace, run.pod)
        ]
