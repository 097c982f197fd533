# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Of a rollout, step R4: the Secret is what Vault has, by the specs that stand there now."""

from __future__ import annotations

from collections.abc import Collection

from ansible_collections.digitalsys.agents.plugins.module_utils._agent.stamp import version_of
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._eso.proof import Proof, prove
from ansible_collections.digitalsys.agents.plugins.module_utils._eso.sync import not_ready, outlast, see_access
from ansible_collections.digitalsys.agents.plugins.module_utils._journal import rotation as journals
from ansible_collections.digitalsys.agents.plugins.module_utils._kube import names
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kinds import EXTERNAL_SECRET, SECRET_STORE
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.names import UNPROVED
from ansible_collections.digitalsys.agents.plugins.module_utils._options.agent import Agent
from ansible_collections.digitalsys.agents.plugins.module_utils._session.session import Session
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.kv import Entry


def entry(run: Session[Agent]) -> Entry:
    """Its values in Vault."""
    return Entry(run.vault or run.log_in(), run.agent.vault_mount, run.agent.vault_path)


def journal(run: Session[Agent]) -> Entry:
    """Of its rotations."""
    return journals.entry(run.vault or run.log_in(), run.agent.vault_mount, run.agent.name)


def prove_secret(run: Session[Agent], variables: Collection[str], *, asks: bool) -> Proof:
    """Before a pod is started for it. variables: names that its template sets itself. asks: see prove."""
    proof = prove(
        run.agent,
        run.kube,
        run.vault,
        run.writer,
        run.context,
        run.params["sync_timeout"],
        digest_key=journals.digest_key(journal(run)) if run.vault else "",
        asks=asks,
        variables=variables,
    )
    run.step(
        "R4",
        "the Secret holds every required key (not compared with Vault)"
        if proof.stamp == UNPROVED
        else f"the Secret is what Vault has (version {version_of(proof.stamp)})",
    )
    return proof


def require_synced(run: Session[Agent], changed: list[str]) -> None:
    """What ESO wrote by another spec proves nothing of this one. changed: kinds."""
    if not changed:
        return
    words = outlast(run.agent, run.kube, run.writer, run.params["sync_timeout"])
    if not words:
        return
    name = run.agent.name
    found = [
        run.kube.get(kind, run.agent.namespace, called)
        for kind, called in ((SECRET_STORE, names.secret_store(name)), (EXTERNAL_SECRET, names.external_secret(name)))
    ]
    lines = [f"{name}: {' and '.join(changed)} changed, and nothing was synced since: {words}"]
    raise AgentError(
        ErrorKind.SECRET,
        "\n".join([*lines, *(said for live in found if live and (said := not_ready(live)))]),
        f"{see_access(run.agent)}. Where its Vault is another one now: agent_vault_server, agent_vault_mount, "
        "agent_approle_mount. The pod was not touched.",
    )
