# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The SecretID that ESO logs in by for one agent: what Vault and the Secret say of it, and what a renewal does then."""

from __future__ import annotations

import base64
import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Context, Object
from ansible_collections.digitalsys.agents.plugins.module_utils._kube import names
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.client import Vault


def metadata_of(cluster_uid: str) -> dict[str, str]:
    """Told to Vault with each SecretID that is made here: a killed run may leave one behind that nobody knows, and
    those that a person made, or that are another cluster's, must be told from it."""
    return {"managed-by": names.MANAGED_BY, "cluster": cluster_uid}


@dataclass(frozen=True)
class SecretId:
    """What Vault knows of one. expires: '2026-11-25T07:37:15Z'; '' for never. uses_left: logins that it is still good
    for, 0 for as many as one likes."""

    accessor: str
    expires: str
    metadata: Mapping[str, str]
    uses_left: int = 0

    def is_of(self, cluster_uid: str) -> bool:
        """0.1.0 did not say of which cluster one was: those are nobody's but of the Secret that names them."""
        return metadata_of(cluster_uid).items() <= self.metadata.items()

    def has_ended(self, now: float) -> bool:
        """now: seconds since 1970. Vault lets one that has ended log in until it tidies up, within the minute."""
        return bool(self.expires) and datetime.datetime.fromisoformat(self.expires).timestamp() <= now


def secret_id_state(vault: Vault, mount: str, role: str, accessor: str = "", *, value: str = "") -> SecretId | None:
    """Of the SecretID with this accessor, or with this value; None where Vault has none (any more)."""
    data = vault.secret_id(mount, role, accessor=accessor, value=value) if accessor or value else None
    if not data:
        return None
    expires = re.sub(r"\.[0-9]+", "", str(data.get("expiration_time") or ""))
    never = expires.startswith("0001-")
    uses = int(data.get("secret_id_num_uses") or 0)
    return SecretId(str(data["secret_id_accessor"]), "" if never else expires, data.get("metadata") or {}, uses)


@dataclass(frozen=True)
class Access:
    """What the Secret says. accessor: of the SecretID in it. renewal: the id of one that is open; previous: the
    accessor from before it. renewed: the id of the last one that was finished. '' for what is not said."""

    role_id: str
    secret_id: str = field(repr=False)
    accessor: str = ""
    previous: str = ""
    renewal: str = ""
    renewed: str = ""


def read_access(live: Object, context: Context) -> Access:
    """Its values are kept out of everything that leaves from here on."""
    data = {key: base64.b64decode(value).decode("utf-8", "replace") for key, value in (live.get("data") or {}).items()}
    context.secrets.update(data.values())
    said = live["metadata"].get("annotations") or {}
    noted = (names.ACCESSOR, names.PREVIOUS_ACCESSOR, names.RENEWAL, names.RENEWED)
    return Access(data.get("role-id", ""), data.get("secret-id", ""), *(said.get(name, "") for name in noted))


def access_secret(agent: str, namespace: str, access: Access) -> Object:
    annotations = {
        names.ACCESSOR: access.accessor,
        names.PREVIOUS_ACCESSOR: access.previous,
        names.RENEWAL: access.renewal,
        names.RENEWED: access.renewed,
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {
            "name": names.approle_secret(agent),
            "namespace": namespace,
            "labels": names.labels(agent),
            "annotations": {name: text for name, text in annotations.items() if text},
        },
        "data": {
            key: base64.b64encode(value.encode()).decode()
            for key, value in (("role-id", access.role_id), ("secret-id", access.secret_id))
        },
    }
