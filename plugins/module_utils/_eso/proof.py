# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Secret that the pod will read holds, byte for byte, what Vault has; the only proof is its content."""

from __future__ import annotations

import base64
import hmac
import time
from collections.abc import Collection
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
from ansible_collections.digitalsys.agents.plugins.module_utils._eso.values import (
    missing_keys,
    require_effective,
    require_keys,
    stamp_of,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._kube import names
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.apply import Writer
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.client import Kube
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.conditions import condition
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kinds import EXTERNAL_SECRET, SECRET, SECRET_STORE
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.names import UNPROVED
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.watch import TO_BE_TOLD, Selection, Watching
from ansible_collections.digitalsys.agents.plugins.module_utils._options.agent import Home
from ansible_collections.digitalsys.agents.plugins.module_utils._options.values import GATEWAY_TOKEN
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.client import Vault
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.kv import Entry, Kept, no_values, require_kv2


@dataclass(frozen=True)
class Proof:
    """stamp: of what stands in Vault, which the Secret's bytes equal; 'unproved' without Vault. token: the gateway's.
    secret: the Secret's resourceVersion."""

    stamp: str
    token: str
    secret: str


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


def check_vault(
    agent: Home,
    vault: Vault,
    variables: Collection[str] = (),
    replaced: Collection[str] = (),
    foretold: Collection[str] = (),
) -> Kept:
    """What the pod needs stands in Vault, and can do its work. Nothing is written. What was seen. variables: names
    that the template sets itself. replaced: keys that are about to get another value. foretold: keys that count as
    there, of check mode.
    """
    entry = Entry(vault, agent.vault_mount, agent.vault_path)
    found = entry.read()
    if found is None:
        metadata = entry.metadata()
        require_kv2(vault, agent.vault_mount)
        if metadata.last or not foretold:
            raise no_values(entry, metadata, agent.name)
        found = Kept({}, 0, metadata.told or {})
    there = {**found.values, **dict.fromkeys(foretold, "foretold")}
    require_effective(agent, there, variables, f"Vault's {entry}", replaced)
    return found


def prove(
    agent: Home,
    kube: Kube,
    vault: Vault | None,
    writer: Writer,
    context: Context,
    timeout: int,
    *,
    digest_key: str,
    asks: bool = True,
    variables: Collection[str] | None = None,
) -> Proof:
    """Waits until the Secret is as Vault has it now, forcing a sync where it is not. digest_key: of the stamp.

    asks: whether a first sync is asked for, which an ExternalSecret that was just made does not need. variables: names
    that the template sets itself, for whoever may still refuse what stands there; None on a way back, which takes what
    was there before.
    """
    name = names.env_secret(agent.name)
    selection = Selection(SECRET, fields=f"metadata.name={name}", known=None if asks else TO_BE_TOLD)
    started = time.monotonic()
    asked_for = 0
    with Watching(kube, agent.namespace, (selection,)) as watching:
        before = ""
        refused = ""
        while True:
            live = next(iter(watching.objects(SECRET)), None)
            there = decoded(live, context)
            # Vault is read anew each time: a hand edit during the wait would be stamped as the version before.
            entry = Entry(vault, agent.vault_mount, agent.vault_path) if vault else None
            found = entry.read() if entry else None
            if vault and found is None:
                check_vault(agent, vault)
            wrong = unequal_keys(found.values, there) if found else missing_keys(agent.required_keys, there)
            if live and not wrong:
                if variables is None:
                    require_keys(agent, there, f"Secret {name}")
                else:
                    require_effective(agent, there, variables, f"Secret {name}")
                line = stamp_of(found, entry, digest_key) if entry and found else UNPROVED
                return Proof(line, there.get(GATEWAY_TOKEN, ""), live["metadata"]["resourceVersion"])
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
        f"{timeout} s; {'unequal: ' + ', '.join(wrong[:6]) if wrong else 'it is not there'}"
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
