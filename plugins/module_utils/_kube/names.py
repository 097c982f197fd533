# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How everything of an agent is called, and the rule for its own name (design: product.md, faults.md)."""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError

FIELD_MANAGER = "digitalsys.agents"
#: Two managers of a single annotation each: an apply by FIELD_MANAGER must name all it owns, and these come and go.
FENCE_MANAGER = "digitalsys.agents.fence"
SYNC_MANAGER = "digitalsys.agents.sync"

MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
MANAGED_BY = "digitalsys.agents"
SELECTOR = f"{MANAGED_BY_LABEL}={MANAGED_BY}"

_OWN = "agents.digitalsys/"
SECRET_VERSION = _OWN + "secret-version"
IMAGE_TAG = _OWN + "image-tag"
RESTART_ID = _OWN + "restart-id"
RENDERED = _OWN + "rendered"
FENCE = _OWN + "fence"
#: Of the SecretID that stands in the Secret. While a renewal is open, its id and the accessor from before it; then the
#: id alone, under another name: so that the last write tells itself from the one before.
ACCESSOR = _OWN + "secret-id-accessor"
PREVIOUS_ACCESSOR = _OWN + "previous-secret-id-accessor"
RENEWAL = _OWN + "secret-id-renewal"
RENEWED = _OWN + "secret-id-renewed"
FORCE_SYNC = "force-sync"

CONTAINER = "openclaw"
#: The key of the secret that the gateway itself asks for.
GATEWAY_TOKEN = "OPENCLAW_GATEWAY_TOKEN"
FREEZE = "fleet-freeze"

_NAME = re.compile(r"\A[a-z]([-a-z0-9]{0,50}[a-z0-9])?\Z")
_RUN_ID = re.compile(r"\A[A-Za-z0-9]([A-Za-z0-9_.:-]{0,62}[A-Za-z0-9])?\Z")
_NAMESPACE = re.compile(r"\A[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")


def check_agent_name(name: Any) -> str:
    """The name itself; AgentError where it is none. Letters, digits and dashes, at most 52: a pod's name adds to it."""
    if not isinstance(name, str) or not _NAME.match(name):
        shown = repr(name if not isinstance(name, str) or len(name) <= 60 else name[:57] + "...")
        raise AgentError(
            "invalid",
            f"{shown} is not the name of an agent: small letters, digits and dashes, at most 52, "
            "beginning with a letter",
            "Use a name of the inventory's group 'agents'.",
        )
    return name


def check_run_id(value: str | None, option: str) -> str:
    if value and not _RUN_ID.match(value):
        raise AgentError(
            "invalid", f"{option}: {value[:80]!r} is not allowed", "Letters, digits and '_.:-', at most 64."
        )
    return value or ""


def check_namespace(name: Any) -> str:
    if not isinstance(name, str) or not _NAMESPACE.match(name):
        raise AgentError("invalid", f"{str(name)[:80]!r} is not the name of a namespace", "Set agent_namespace.")
    return name


def pod_selector(agent: str) -> str:
    """Of its pods and ReplicaSets."""
    return f"app.kubernetes.io/name=openclaw,app.kubernetes.io/instance={agent}"


def labels(agent: str) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "openclaw",
        "app.kubernetes.io/instance": agent,
        "app.kubernetes.io/part-of": "agents",
        MANAGED_BY_LABEL: MANAGED_BY,
    }


def fleet_labels() -> dict[str, str]:
    """For what belongs to the fleet and not to one agent: the namespace, the freeze."""
    return {"app.kubernetes.io/part-of": "agents", MANAGED_BY_LABEL: MANAGED_BY}


def is_ours(live: dict[str, Any]) -> bool:
    return bool((live["metadata"].get("labels") or {}).get(MANAGED_BY_LABEL) == MANAGED_BY)


def claim(agent: str) -> str:
    return f"{agent}-state"


def secret_store(agent: str) -> str:
    return f"{agent}-vault"


def approle_secret(agent: str) -> str:
    return f"{agent}-vault-approle"


def external_secret(agent: str) -> str:
    return f"{agent}-env-secret"


def env_secret(agent: str) -> str:
    return f"{agent}-env"


def releases(agent: str) -> str:
    return f"{agent}-releases"


def lease(agent: str) -> str:
    return f"fleet-{agent}"


def vault_policy(agent: str) -> str:
    return f"agents-{agent}"


def vault_role(agent: str) -> str:
    return f"{agent}-role"


def journal(agent: str) -> str:
    """Below the KV mount, as are the next."""
    return f"agents-rotation/{agent}"


def inbox(agent: str) -> str:
    return f"agents-inbox/{agent}"
