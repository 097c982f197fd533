# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether ESO refreshes an agent's secret at all: what is waited for would else never come."""

from __future__ import annotations

from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Object
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._eso.sync import not_ready, see_access
from ansible_collections.digitalsys.agents.plugins.module_utils._kube import names
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.client import Kube
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kinds import EXTERNAL_SECRET, SECRET_STORE
from ansible_collections.digitalsys.agents.plugins.module_utils._options.agent import Home

_ZERO = ("0", "0s", "0m0s", "0h0m0s")


def require_refreshing(agent: Home, kube: Kube) -> tuple[Object, Object]:
    """An ExternalSecret that never refreshes would be waited for in vain. SecretStore and ExternalSecret, as they are;
    whether they are ready is not asked."""
    name = names.external_secret(agent.name)
    store_name = names.secret_store(agent.name)
    external = kube.get(EXTERNAL_SECRET, agent.namespace, name)
    if external is None:
        raise _not_syncing(agent, f"ExternalSecret {name} is not there")
    spec = external["spec"]
    if spec.get("refreshPolicy") == "CreatedOnce":
        raise _not_syncing(agent, f"ExternalSecret {name} has refreshPolicy CreatedOnce, so it never refreshes")
    if str(spec.get("refreshInterval")) in _ZERO:
        raise _not_syncing(agent, f"ExternalSecret {name} has refreshInterval 0, so it never refreshes")
    store = kube.get(SECRET_STORE, agent.namespace, store_name)
    if store is None:
        raise _not_syncing(agent, f"SecretStore {store_name} is not there")
    return store, external


def require_syncing(agent: Home, kube: Kube) -> None:
    for live in require_refreshing(agent, kube):
        if words := not_ready(live):
            raise _not_syncing(agent, words, f"{see_access(agent)}. ")


def _not_syncing(agent: Home, words: str, look: str = "") -> AgentError:
    return AgentError(
        ErrorKind.SECRET,
        f"{agent.name}: {words}",
        f"{look}Mend it, or put the declared one back: ansible-playbook rollout.yml -e agent={agent.name}. Nothing was "
        "changed.",
    )
