# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The freeze of the fleet: a ConfigMap that a person writes."""

from __future__ import annotations

import datetime

from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.client import Kube
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kinds import CONFIG_MAP
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.names import FREEZE


def require_not_frozen(kube: Kube, namespace: str, override: bool) -> str:
    """'' or, where a freeze was overridden, its words: they are recorded with the release."""
    found = kube.get(CONFIG_MAP, namespace, FREEZE)
    data = (found or {}).get("data") or {}
    if not found or _is_over(data.get("until", "")):
        return ""
    words = (
        f"frozen until {data.get('until') or 'further notice'} by {data.get('by') or 'somebody'}: "
        f"{data.get('reason') or 'no reason given'}"
    )
    if not override:
        raise AgentError(
            ErrorKind.FROZEN,
            f"the fleet is {words}",
            "Wait, or run again with -e override_freeze=true; that is recorded.",
        )
    return words


def _is_over(until: str) -> bool:
    """A freeze without an end, or with one that cannot be read, holds."""
    try:
        end = datetime.datetime.fromisoformat(until.replace("Z", "+00:00"))
    except (ValueError, AttributeError):
        return False
    if end.tzinfo is None:
        end = end.replace(tzinfo=datetime.UTC)
    return end <= datetime.datetime.now(datetime.UTC)
