# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the controllers say of an object in its conditions and counts."""

from __future__ import annotations

from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Object

#: For people, of a Deployment.
PAUSED = "the Deployment is paused, so no rollout of it ever ends"


def condition(live: Object, kind: str) -> Object:
    return next((one for one in (live.get("status") or {}).get("conditions") or [] if one.get("type") == kind), {})


def is_going(live: Object | None) -> bool:
    """It was deleted, and waits for what it owns or for whoever holds a finalizer."""
    return bool(live and live["metadata"].get("deletionTimestamp"))


def is_available(live: Object) -> bool:
    status = live.get("status") or {}
    counts = [int(status.get(name) or 0) for name in ("updatedReplicas", "replicas", "availableReplicas")]
    seen = int(status.get("observedGeneration") or 0) >= int(live["metadata"].get("generation") or 0)
    return seen and counts == [1, 1, 1] and condition(live, "Progressing").get("reason") == "NewReplicaSetAvailable"
