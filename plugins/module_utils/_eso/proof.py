# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Secret that the pod will read holds, byte for byte, what Vault has; the only proof is its content."""

from __future__ import annotations

import base64
import hmac
import time
from dataclasses import dataclass

from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Context, Object
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._core.timeouts import SYNC_LOOK
from ansible_collections.digitalsys.agents.plugins.module_utils._eso.sync import (
    ask_for_sync,
    is_synced,
    not_ready,
    see_access,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._kube import names
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.apply import Writer
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.client import Kube
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.conditions import condition
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kinds import EXTERNAL_SECRET, SECRET, SECRET_STORE
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.names import UNPROVED
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.watch import TO_BE_TOLD, Selection, Watching
from ansible_collections.digitalsys.agents.plugins.module_utils._options.agent import Home
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.client import Vault
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.kv import Entry


@dataclass(frozen=True)
class Proof:
    """version: of Vault, that the Secret's bytes equal, as text; 'unproved' without Vault. token: the gateway's."""

    version: str
    token: str


def decoded(secret: Object | None, context: Context) -> dict[str, str]:
    """The Secret's values; they are kept out of everything that leaves from here on."""
    values = {
        key: base64.b64decode(value).decode("utf-8", "replace")
        for key, value in ((secret or {}).get("data") or {}).items()
    }
    context.secrets.update(values.values())
    return values


def unequal_keys(wanted: dict[str, str], there: dict[str, str]) -> list[str]:
    """Names of keys that are missing, other, or there without being wanted; compared in constant time."""
    return sorted(
        key
        for key in wanted.keys() | there.keys()
        if key not in wanted or key not in there or not hmac.compare_digest(wanted[key].encode(), there[key].encode())
    )


def missing_keys(required: list[str], there: dict[str, str]) -> list[str]:
    return [key for key in required if not there.get(key)]


def _require_keys(agent: Home, values: dict[str, str], where: str) -> None:
    missing = missing_keys(agent.required_keys, values)
    if missing:
        raise AgentError(
            ErrorKind.SECRET,
            f"{agent.name}: {where} lacks {', '.join(missing)}",
            f"Put it there from standard input: vault kv patch -mount={agent.vault_mount} "
            f"{agent.vault_path} {missing[0]}=-",
            {"missing_keys": missing},
        )


def check_vault(agent: Home, vault: Vault) -> int:
    """Every required key stands in Vault. Nothing is written. The version seen."""
    found = Entry(vault, agent.vault_mount, agent.vault_path).read()
    if found is None:
        raise AgentError(
            ErrorKind.SECRET,
            f"{agent.name}: Vault has no values at {agent.vault_mount}/{agent.vault_path}",
            f"Run provision.yml -e agent={agent.name}, or undelete the path's newest version.",
        )
    _require_keys(agent, found.values, f"Vault's {agent.vault_mount}/{agent.vault_path}")
    return found.version


def prove(
    agent: Home,
    kube: Kube,
    vault: Vault | None,
    writer: Writer,
    context: Context,
    timeout: int,
    *,
    asks: bool = True,
) -> Proof:
    """Waits until the Secret is as Vault has it now, forcing a sync where it is not. asks: whether a first sync is
    asked for, which an ExternalSecret that was just made does not need."""
    name = names.env_secret(agent.name)
    selection = Selection(SECRET, fields=f"metadata.name={name}", known=None if asks else TO_BE_TOLD)
    started = time.monotonic()
    asked_for = 0
    with Watching(kube, agent.namespace, (selection,)) as watching:
        before = ""
        refused = ""
        while True:
            there = decoded(next(iter(watching.objects(SECRET)), None), context)
            # Vault is read anew each time: a hand edit during the wait would be stamped as the version before.
            found = Entry(vault, agent.vault_mount, agent.vault_path).read() if vault else None
            if vault and found is None:
                check_vault(agent, vault)
            wrong = unequal_keys(found.values, there) if found else missing_keys(agent.required_keys, there)
            if not wrong:
                _require_keys(agent, there, f"Secret {name}")
                return Proof(str(found.version) if found else UNPROVED, there.get(names.GATEWAY_TOKEN, ""))
            if time.monotonic() - started > timeout:
                raise _unequal(agent, kube, wrong, timeout, before, refused)
            wanted = found.version if found else -1
            if not asks:
                asks = True
                asked_for = wanted
            if asked_for != wanted:
                context.progress(
                    f"{agent.name}: Secret {name} is behind Vault ({len(wrong)} keys); asking ESO to sync now"
                )
                before, refused = ask_for_sync(agent, kube, writer)
                if not refused:  # else it is asked again at the next look: waited for like ESO itself
                    asked_for = wanted
            watching.wait(min(SYNC_LOOK, timeout - (time.monotonic() - started)))


def _unequal(agent: Home, kube: Kube, wrong: list[str], timeout: int, before: str, refused: str) -> AgentError:
    """Which controller or condition is behind it, since when. before: what ESO stood at when it was asked. refused: why
    it could not be asked."""
    name = names.external_secret(agent.name)
    external = kube.get(EXTERNAL_SECRET, agent.namespace, name)
    store = kube.get(SECRET_STORE, agent.namespace, names.secret_store(agent.name))
    ready = condition(external or {}, "Ready")
    store_ready = condition(store or {}, "Ready")
    refreshed = ((external or {}).get("status") or {}).get("refreshTime") or "never"
    # One that ESO has said nothing of yet is no word on why.
    unready = [words for live in (store, external) if live and condition(live, "Ready") and (words := not_ready(live))]
    lines = [
        f"{agent.name}: Secret {names.env_secret(agent.name)} did not become what Vault has within "
        f"{timeout} s; unequal: {', '.join(wrong[:6])}"
    ]
    if refused:
        lines.append(refused)
    elif unready:
        lines.append(unready[0])
    elif is_synced(external, before):
        lines.append(
            f"ExternalSecret {name} says that it synced at {refreshed}: then it reads something else than "
            f"{agent.vault_mount}/{agent.vault_path} (look at its spec), or somebody else writes to the Secret"
        )
    else:
        lines.append(
            f"the External Secrets Operator is silent: its last refresh of {name} was {refreshed}, a sync was asked "
            f"for {timeout} s ago"
        )
    look = f"{see_access(agent)}. " if unready else ""
    return AgentError(
        ErrorKind.SECRET,
        "\n".join(lines),
        f"{look}Look at the operator: kubectl get pods -A -l app.kubernetes.io/name=external-secrets. The Deployment "
        "was not touched.",
        {"unequal_keys": wrong, "refresh_time": refreshed, "external_secret": ready, "secret_store": store_ready},
    )
