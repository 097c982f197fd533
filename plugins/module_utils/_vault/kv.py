# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One path of a KV engine of version 2. Every write of values is under check-and-set, so a repeated one does no harm:
whoever meets a conflict reads again and compares."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.client import CasConflict, Refused, Vault

#: What Go's JSON escapes besides, as if it were to stand in a page.
_GO_ESCAPES = {ord(one): f"\\u{ord(one):04x}" for one in "&<>\u2028\u2029"}
#: What Vault keeps where neither the path nor the mount says otherwise.
DEFAULT_MAX_VERSIONS = 10


@dataclass(frozen=True)
class Metadata:
    """last: the newest version's number, 0 where nothing was ever written. readable: versions that are neither deleted
    nor destroyed. remaining: those whose values Vault still has, deleted ones included. told: custom metadata. written:
    when the newest version was, by Vault's clock."""

    last: int = 0
    readable: tuple[int, ...] = ()
    remaining: tuple[int, ...] = ()
    told: Mapping[str, str] | None = None
    max_versions: int = 0
    cas_required: bool = False
    exists: bool = False
    written: str = ""

    @property
    def current(self) -> int | None:
        """The newest version's number; None where nothing was ever written or the newest version was deleted."""
        return self.last if self.last in self.readable else None


def require_kv2(vault: Vault, mount: str) -> None:
    """By version 1 check-and-set is silently ignored, and nothing is found where the values of version 2 are."""
    data = vault.request("GET", f"sys/internal/ui/mounts/{mount}").get("data") or {}
    if data.get("type") != "kv" or (data.get("options") or {}).get("version") != "2":
        raise AgentError(
            ErrorKind.VAULT,
            f"mount {mount} is not a KV engine of version 2",
            "vault secrets enable -version=2 -path=kv kv, or set agent_vault_mount.",
        )


def mount_max_versions(vault: Vault, mount: str) -> int:
    """What the mount says of all its paths; 0 for nothing."""
    return int((vault.request("GET", f"{mount}/config").get("data") or {}).get("max_versions") or 0)


def kept_versions(of_path: int, of_mount: int) -> int:
    """How many versions Vault keeps: the greater of the two, where either says anything."""
    return max(of_path, of_mount) or DEFAULT_MAX_VERSIONS


class Document(NamedTuple):
    """What stands at a path, as it is, its version, the path's custom metadata, and when the version was written."""

    content: dict[str, Any]
    version: int
    told: Mapping[str, str]
    written: str = ""


class Kept(NamedTuple):
    """The values at a path, all of them as text, their version, the path's custom metadata, when the version was
    written, by Vault's clock, and the keys whose value is a number, a list and the like."""

    values: dict[str, str]
    version: int
    told: Mapping[str, str]
    written: str = ""
    no_text: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Entry:
    vault: Vault
    mount: str
    path: str

    def __str__(self) -> str:
        return f"{self.mount}/{self.path}"

    def metadata(self) -> Metadata:
        data = self.vault.request("GET", f"{self.mount}/metadata/{self.path}", missing_ok=True).get("data")
        if not data:
            return Metadata()
        versions = {int(number): state for number, state in (data.get("versions") or {}).items()}
        remaining = tuple(sorted(number for number, state in versions.items() if not state.get("destroyed")))
        readable = tuple(number for number in remaining if not _is_past(versions[number].get("deletion_time")))
        return Metadata(
            int(data["current_version"]),
            readable,
            remaining,
            data.get("custom_metadata") or {},
            int(data.get("max_versions") or 0),
            bool(data.get("cas_required")),
            exists=True,
            written=str(versions.get(int(data["current_version"]), {}).get("created_time") or ""),
        )

    def document(self, version: int = 0) -> Document | None:
        """None for a path or version that is unknown, deleted or destroyed."""
        query = f"?version={version}" if version else ""
        # A deleted version answers 404 with metadata, an unknown path 404 without.
        data = self.vault.request("GET", f"{self.mount}/data/{self.path}{query}", missing_ok=True).get("data")
        if not data or data.get("data") is None:
            return None
        metadata = data["metadata"]
        told = metadata.get("custom_metadata") or {}
        return Document(dict(data["data"]), int(metadata["version"]), told, str(metadata.get("created_time") or ""))

    def read(self, version: int = 0) -> Kept | None:
        """Of the newest version, or of this one. The values are secrets from here on."""
        found = self.document(version)
        if found is None:
            return None
        values = {key: value if isinstance(value, str) else _as_text(value) for key, value in found.content.items()}
        self.vault.keep_secret(*values.values())
        no_text = frozenset(key for key, value in found.content.items() if not isinstance(value, str))
        return Kept(values, found.version, found.told, found.written, no_text)

    def write(self, document: Mapping[str, Any], *, expected_version: int) -> int:
        """A whole new version; its number. CasConflict where another version came first."""
        return self._kept("POST", document, expected_version)

    def patch(self, changes: Mapping[str, str | None], *, expected_version: int) -> int:
        """A new version with these keys set, and removed where None; all others as they are."""
        return self._kept("PATCH", changes, expected_version)

    def _kept(self, method: str, data: Mapping[str, Any], expected_version: int) -> int:
        body = {"data": dict(data), "options": {"cas": expected_version}}
        try:
            return int(
                self.vault.request(method, f"{self.mount}/data/{self.path}", body, writes=True)["data"]["version"]
            )
        except Refused as error:
            if error.status == 404:
                # A version that was deleted meanwhile cannot be patched: to be looked at again, as after one that came.
                raise CasConflict(error.message, error.hint, error.status) from error
            raise

    def tell(self, custom: Mapping[str, str]) -> None:
        """Custom metadata: what everybody may read who may read versions. Others' entries stay."""
        self.vault.request(
            "PATCH", f"{self.mount}/metadata/{self.path}", {"custom_metadata": dict(custom)}, writes=True
        )

    def settle(self, *, max_versions: int, cas_required: bool, told: Mapping[str, str]) -> None:
        """How the path is kept; made if it was not there. told: all of its custom metadata."""
        wanted = {"max_versions": max_versions, "cas_required": cas_required, "custom_metadata": dict(told)}
        self.vault.request("POST", f"{self.mount}/metadata/{self.path}", wanted, writes=True)

    def destroy(self, versions: Iterable[int]) -> None:
        """The values of these versions are gone for good; their numbers stay."""
        if wanted := list(versions):
            self.vault.request("PUT", f"{self.mount}/destroy/{self.path}", {"versions": wanted}, writes=True)


def no_values(entry: Entry, found: Metadata, agent: str) -> AgentError:
    """Where nothing can be read at an agent's path: never written, or its newest version deleted or destroyed. What is
    still there is brought back by a person, and never written over."""
    at = f"-mount={entry.mount}"
    if not found.last:
        words, hint = "nothing was written there yet", f"Run provision.yml -e agent={agent}."
    elif found.last in found.remaining:
        words = f"version {found.last}, the newest, was deleted"
        hint = f"Bring it back: vault kv undelete {at} -versions={found.last} {entry.path}"
    elif found.readable:
        words = f"version {found.last}, the newest, was destroyed"
        hint = f"Write the one before it again: vault kv rollback {at} -version={found.readable[-1]} {entry.path}"
    else:
        words = f"version {found.last}, the newest, was destroyed, and no other can be read"
        hint = f"Put the agent's values back by hand: vault kv put {at} -cas={found.last} {entry.path} KEY=-"
    return AgentError(ErrorKind.SECRET, f"{agent}: Vault has no values at {entry}: {words}", hint)


def _is_past(time: str | None) -> bool:
    """Of a path with delete_version_after a version has a time of deletion from its beginning. By this machine's clock:
    Vault itself says what can be read when it is read."""
    return bool(time) and datetime.datetime.fromisoformat(str(time)) <= datetime.datetime.now(datetime.UTC)


def _as_text(value: Any) -> str:
    """As ESO writes a value that is no string into a Secret: Go's JSON of it, a number that stands alone in full, and
    nothing for null."""
    if value is None:
        return ""
    return _in_full(value) if _is_number(value) else _json(value).translate(_GO_ESCAPES)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _in_full(number: float) -> str:
    """Every number has gone through a 64-bit float: the shortest digits that are this one, without an exponent."""
    return format(Decimal(repr(float(number))), "f").removesuffix(".0")


def _json(value: Any) -> str:
    """As Go writes it: Python has exponents where Go has none, and two digits in them at least."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{_json(key)}:{_json(one)}" for key, one in sorted(value.items())) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_json, value)) + "]"
    if not _is_number(value):
        return json.dumps(value, ensure_ascii=False)
    is_plain = not value or 1e-6 <= abs(value) < 1e21
    return _in_full(value) if is_plain else repr(float(value)).replace("e-0", "e-")
