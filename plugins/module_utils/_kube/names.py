# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How everything of an agent is called (design: product.md, faults.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FIELD_MANAGER = "digitalsys.agents"
#: A manager of this one annotation: an apply by FIELD_MANAGER must name all it owns, and this comes and goes.
FENCE_MANAGER = "digitalsys.agents.fence"

INSTANCE_LABEL = "app.kubernetes.io/instance"
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
MANAGED_BY = "digitalsys.agents"
SELECTOR = f"{MANAGED_BY_LABEL}={MANAGED_BY}"

_OWN = "agents.digitalsys/"
SECRET_VERSION = _OWN + "secret-version"
SECRET_CONTENT = _OWN + "secret-content"
IMAGE_TAG = _OWN + "image-tag"
RESTART_ID = _OWN + "restart-id"
RENDERED = _OWN + "rendered"
FENCE = _OWN + "fence"
#: On the Deployment of an agent that was stopped on purpose.
SUSPENDED = _OWN + "suspended"
#: Of the SecretID that stands in the Secret. While a renewal is open, its id and the accessor from before it; then the
#: id alone, under another name: so that the last write tells itself from the one before.
ACCESSOR = _OWN + "secret-id-accessor"
PREVIOUS_ACCESSOR = _OWN + "previous-secret-id-accessor"
RENEWAL = _OWN + "secret-id-renewal"
RENEWED = _OWN + "secret-id-renewed"

CONTAINER = "openclaw"
#: The init container that looks at the volume before the gateway may start.
INIT_CONTAINER = "seed"
FREEZE = "fleet-freeze"
#: The init container's variable with the first configuration.
SEED = "OPENCLAW_SEED"
#: Its variable with the identity that its volume must have, and the key of the releases' ConfigMap that feeds it.
VOLUME = "OPENCLAW_VOLUME"
VOLUME_KEY = "volume"
#: The stamp of a pod whose secret nobody compared.
UNPROVED = "unproved"


def pod_labels(agent: str) -> dict[str, str]:
    """By which its pods and ReplicaSets are selected."""
    return {"app.kubernetes.io/name": "openclaw", INSTANCE_LABEL: agent}


def selector(labels: Mapping[str, str]) -> str:
    """As the API server takes it in a query."""
    return ",".join(f"{label}={value}" for label, value in labels.items())


def labels(agent: str) -> dict[str, str]:
    return {
        **pod_labels(agent),
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
