# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who holds the lock of an agent, as people are told; and who we are to those who meet ours."""

from __future__ import annotations

import datetime
import os
import pwd
import socket

from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Context, Object, Params
from ansible_collections.digitalsys.agents.plugins.module_utils._core.timeouts import LOCK
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.client import Kube
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kinds import LEASE
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.names import SELECTOR


def held_for(spec: Object) -> str:
    """'40 s': between the holder's own two stamps, so no second clock comes in."""
    try:
        start, last = (
            datetime.datetime.fromisoformat(spec[name].replace("Z", "+00:00")) for name in ("acquireTime", "renewTime")
        )
        held = last - start
    except (KeyError, ValueError, AttributeError, TypeError):
        return "an unknown time"
    return f"{max(0, int(held.total_seconds()))} s"


def silent_for(lease: Object, now: float) -> int:
    """Seconds since it was last written to, by the API server's own clock alone; 0 where nobody says when that was.
    now: seconds since 1970, as the API server says."""
    times = [str(entry.get("time") or "") for entry in lease["metadata"].get("managedFields") or []]
    try:
        last = datetime.datetime.fromisoformat(max(times, default=""))
    except ValueError:
        return 0
    return max(0, int(now - last.timestamp()))


def told(lease: Object, now: float) -> str:
    """Who holds it and for how long, or since when nothing of him is to be seen; '' for one that is free."""
    spec = lease.get("spec") or {}
    if not spec.get("holderIdentity"):
        return ""
    silent = silent_for(lease, now)
    is_dead = silent > (spec.get("leaseDurationSeconds") or LOCK)
    return f"{shown_holder(spec['holderIdentity'])}, {f'silent for {silent} s' if is_dead else held_for(spec)}"


def shown_holder(identity: str) -> str:
    """The holder without the random tail that makes two runs of one job two holders."""
    return identity.rpartition(" #")[0] or identity


def holders(kube: Kube, namespace: str) -> dict[str, str]:
    """Name of each lease of ours that somebody holds, or held when it was killed -> its holder. One LIST."""
    found = kube.list_objects(LEASE, namespace, labels=SELECTOR)[0]
    held = {one["metadata"]["name"]: (one.get("spec") or {}).get("holderIdentity") or "" for one in found}
    return {name: shown_holder(identity) for name, identity in held.items() if identity}


def _user_name() -> str:
    """For cron and CI, where no variable names the user."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


def holder(params: Params, context: Context) -> str:
    """'job 812 (alice)' where AWX says so, else who runs this and where."""
    given = str(params.get("holder") or "").replace("\n", " ").replace("#", " ").strip()[:80]
    user = context.environ.get("LOGNAME") or context.environ.get("USER") or _user_name()
    return given or f"{user}@{socket.gethostname()}"
