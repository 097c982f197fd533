# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Of a rotation, forward and on the way back: the Secret proved, the pod restarted for it, and asked."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.digitalsys.agents.plugins.module_utils._agent import releases
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.stamp import version_of
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._eso.proof import Proof, prove
from ansible_collections.digitalsys.agents.plugins.module_utils._guards.volume import require_volume
from ansible_collections.digitalsys.agents.plugins.module_utils._journal import rotation as journals
from ansible_collections.digitalsys.agents.plugins.module_utils._journal.rotation import Journal
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.compare import compare
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kinds import CLAIM, CONFIG_MAP, DEPLOYMENT
from ansible_collections.digitalsys.agents.plugins.module_utils._options.values import GATEWAY_TOKEN, cannot_be_sent
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.bring_up import Failed, bring_up
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.diagnosis import VERIFY, Diagnosis
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.gateway import keys_not_proved, require_refusal
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.memory import remember
from ansible_collections.digitalsys.agents.plugins.module_utils._rotate.state import Rotation


def prove_secret(it: Rotation) -> Proof:
    run = it.run
    key = journals.digest_key(it.journal_entry)
    return prove(run.agent, run.kube, it.vault, run.writer, run.context, run.params["sync_timeout"], digest_key=key)


def restart(it: Rotation, proof: Proof, stamp: str) -> None:
    """S7, S8: the release that was proved, with the stamp of the secret version that its pod will read."""
    live = it.run.look(DEPLOYMENT, CONFIG_MAP, CLAIM)
    release = releases.last_good(live.releases)
    if release is None:
        raise AgentError(
            ErrorKind.ROLLOUT,
            f"{it.agent}: its releases have gone",
            f"rollout.yml -e agent={it.agent} -e despite_rotation=true",
        )
    if live.deployment:
        wanted = releases.of_running(release, stamp, live.facts, live.deployment)
    else:
        wanted = releases.revived(release, stamp, live.facts, it.agent)
    if live.deployment is None or compare(wanted, live.deployment):
        require_volume(live, it.run.agent)
    before = len(it.run.writer.changes)
    try:
        pod = bring_up(it.run, wanted, live, proof)
    finally:
        if len(it.run.writer.changes) > before:
            it.run.changes.append("restarted")
    if pod is None:
        words = f"{it.agent} is suspended: nothing is proved while no pod of it runs"
        raise AgentError(ErrorKind.ROLLOUT, words, "Start it, then run the same command again: the rotation goes on.")
    it.release = remember(it.run, live.releases, wanted, proof, pod).id
    it.secret_version = version_of(stamp)


def verify_keys(it: Rotation, journal: Journal, base: Mapping[str, str]) -> None:
    """S9, beyond what a rollout verifies: the old token is refused; where allowed, every key is asked for."""
    try:
        _verify(it, journal, base)
    except AgentError as error:
        if error.kind is not ErrorKind.VERIFY:
            raise
        raise Failed(Diagnosis(VERIFY, error.message)) from None


def _verify(it: Rotation, journal: Journal, base: Mapping[str, str]) -> None:
    run = it.run
    how = it.run.params["verify"]
    if how == "ready":
        return
    namespace = run.agent.namespace
    if not base:
        run.warnings.append(f"{it.agent}: Vault has no old values any more: nobody asked whether they are refused")
    old = base.get(GATEWAY_TOKEN, "")
    # One that cannot be sent is refused by every client: nobody could ask with it.
    if GATEWAY_TOKEN in journal.keys and old and not cannot_be_sent(old):
        require_refusal(run.kube, namespace, run.pod, old)
        run.step("S9", "the gateway refuses the old token")
    if how == "exec":
        if wrong := keys_not_proved(run.kube, namespace, run.pod, run.container, journal.new):
            raise AgentError(ErrorKind.VERIFY, f"pod {run.pod} does not have the new value of {', '.join(wrong)}")
        run.step("S9", f"the pod has the new {', '.join(journal.keys)}")
