# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A sync of the External Secrets Operator: how it is asked for one, and what it says of itself."""

from __future__ import annotations

import datetime
import math
import time

from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Object
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._core.timeouts import (
    SYNC_AGAIN,
    SYNC_LOOK,
    SYNC_UNDER_WAY,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._kube import names
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.apply import Writer
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.client import Kube
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.conditions import condition
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kinds import (
    EXTERNAL_SECRET,
    SECRET_STORE,
    Kind,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.watch import Selection, Watching
from ansible_collections.digitalsys.agents.plugins.module_utils._options.agent import Home

#: A manager of this one annotation: an apply by FIELD_MANAGER must name all it owns, and this comes and goes.
_MANAGER = "digitalsys.agents.sync"
_ANNOTATION = "force-sync"


def is_ready(live: Object | None) -> bool:
    return bool(condition(live or {}, "Ready").get("status") == "True")


def not_ready(live: Object) -> str:
    """What ESO says of a SecretStore or ExternalSecret that is not ready, and since when; '' for one that is."""
    ready = condition(live, "Ready")
    if ready.get("status") == "True":
        return ""
    since = ready.get("lastTransitionTime") or "the beginning"
    why = ready.get("message") or "no word why"
    return f"{live['kind']} {live['metadata']['name']} is not ready since {since}: {why}"


def synced(live: Object | None) -> str:
    """Which state of the ExternalSecret, annotations included, ESO last synced for; '' for none."""
    return str(((live or {}).get("status") or {}).get("syncedResourceVersion") or "")


def is_synced(live: Object | None, before: str) -> bool:
    """Whether a sync that was asked for by a new annotation, when ESO stood at `before`, has succeeded. A failed one
    leaves syncedResourceVersion as it was; one that the clock started says the same again."""
    return synced(live) not in ("", before) and is_ready(live)


def sync_anew(agent: Home, kube: Kube, writer: Writer, timeout: int) -> None:
    """Returns when ESO has synced after this was called. AgentError 'secret' after `timeout` seconds, with what ESO
    says of itself.

    The SecretStore is touched first: a store that is not ready holds its ExternalSecrets back, ESO looks at it again
    only every five minutes, and where it caches its token it keeps one for each version of the store.
    """
    of_kind = {EXTERNAL_SECRET: names.external_secret(agent.name), SECRET_STORE: names.secret_store(agent.name)}
    selections = tuple(Selection(kind, fields=f"metadata.name={name}") for kind, name in of_kind.items())
    started = time.monotonic()
    asked = dict.fromkeys(of_kind, -math.inf)
    before = None
    with Watching(kube, agent.namespace, selections) as watching:
        while True:
            store, external = (_one(watching, kind, of_kind) for kind in (SECRET_STORE, EXTERNAL_SECRET))
            if before is not None and is_synced(external, before):
                return
            now = time.monotonic()
            if now - started > timeout:
                raise _not_synced(agent, store, external, timeout)
            if now - asked[SECRET_STORE] > SYNC_AGAIN:
                asked[SECRET_STORE] = now
                touch(writer, store)
            if now - asked[EXTERNAL_SECRET] > SYNC_AGAIN and is_ready(store):
                asked[EXTERNAL_SECRET] = now
                before = synced(touch(writer, external))
            watching.wait(min(SYNC_AGAIN, timeout - (now - started)))


def _one(watching: Watching, kind: Kind, of_kind: dict[Kind, str]) -> Object:
    found = next(iter(watching.objects(kind)), None)
    if found is None:
        raise AgentError(
            ErrorKind.SECRET,
            f"{kind.name} {of_kind[kind]} has gone",
            "Put it back with rollout.yml (while a rotation is open: -e despite_rotation=true), then run again.",
        )
    return found


def see_access(agent: Home) -> str:
    """ESO says only that it could not log in, or read. Why is known to Vault: a SecretID that ended, a lockout."""
    return (
        f"How its access to Vault stands: ansible-playbook playbooks/status.yml -e agent={agent.name} -e secrets=true"
    )


def touch(writer: Writer, live: Object) -> Object:
    """Any change of an annotation makes ESO refresh at once. The object as it was answered."""
    stamp = datetime.datetime.now(datetime.UTC).isoformat()
    return writer.signal(live, _MANAGER, _ANNOTATION, stamp)


def _not_synced(agent: Home, store: Object, external: Object, timeout: int) -> AgentError:
    lines = [f"{agent.name}: the External Secrets Operator did not sync with the new SecretID within {timeout} s"]
    lines += [words for live in (store, external) if (words := not_ready(live))]
    if len(lines) == 1:
        lines.append(
            f"it is silent: its last refresh was {(external.get('status') or {}).get('refreshTime') or 'never'}"
        )
    return AgentError(
        ErrorKind.SECRET,
        "\n".join(lines),
        "No SecretID was destroyed. Look at the operator: kubectl get pods -A -l app.kubernetes.io/name="
        "external-secrets; then run the same command again: it goes on.",
        {"external_secret": condition(external, "Ready"), "secret_store": condition(store, "Ready")},
    )


def ask_for_sync(agent: Home, kube: Kube, writer: Writer) -> tuple[str, str]:
    """ESO is asked to refresh at once. What it stood at before, for is_synced; or '' and why nobody could ask it: its
    own webhook, where ESO is down, or a policy about to change."""
    try:
        return _force_sync(agent, kube, writer), ""
    except AgentError as error:
        if not (error.is_refusal or error.kind is ErrorKind.UNAVAILABLE):
            raise
        return "", f"the External Secrets Operator could not be asked: {error.message}"


def _force_sync(agent: Home, kube: Kube, writer: Writer) -> str:
    live = kube.get(EXTERNAL_SECRET, agent.namespace, names.external_secret(agent.name))
    if live is None:
        raise AgentError(
            ErrorKind.SECRET, f"ExternalSecret {names.external_secret(agent.name)} has gone", "Run rollout.yml again."
        )
    return synced(touch(writer, live))


def outlast(agent: Home, kube: Kube, writer: Writer, timeout: int) -> str:
    """Returns when ESO has ended what it had under way: a sync that read Vault before now may still write the Secret
    after it was found equal. It works on an ExternalSecret one sync at a time, so one is asked for and waited for.

    '', or why that is not known: it may not be asked, or has not answered after `timeout` seconds (SYNC_UNDER_WAY at
    the most). The Secret must be read after this.
    """
    deadline = time.monotonic() + min(timeout, SYNC_UNDER_WAY)
    before, refused = ask_for_sync(agent, kube, writer)
    if refused:
        return refused
    selection = Selection(EXTERNAL_SECRET, fields=f"metadata.name={names.external_secret(agent.name)}")
    with Watching(kube, agent.namespace, (selection,)) as watching:
        while not is_synced(next(iter(watching.objects(EXTERNAL_SECRET)), None), before):
            left = deadline - time.monotonic()
            if left <= 0:
                return "the External Secrets Operator does not answer"
            watching.wait(min(SYNC_LOOK, left))
    return ""
