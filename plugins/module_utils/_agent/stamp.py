# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of its secret a pod was started with, in one line; in the pod's template it stands in two annotations, the first
for people.

'4 kv/agents/roberval 2026-11-01T10:00:00.5Z 9f86d081': Vault's version, for people; the entry, and when that version
was written, for a number alone comes back where an entry is deleted whole and made anew; and a keyed digest of the
values, by which another version with the same content is no other. 'unproved' where nobody compared. 0.1.0 wrote the
version alone, and without a key (provision makes it) there is no digest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ansible_collections.digitalsys.agents.plugins.module_utils._kube import names


class _Parts(NamedTuple):
    version: str = ""
    entry: str = ""
    written: str = ""
    digest: str = ""


def stamp(version: int, entry: str, written: str, digest: str = "") -> str:
    """entry: 'kv/agents/roberval'. written: as Vault tells it. digest: hexadecimal, '' where there is none."""
    return " ".join(filter(None, (str(version), entry, written, digest)))


def annotations_of(line: str) -> dict[str, str]:
    """For a pod's template."""
    version, _space, rest = line.partition(" ")
    found = {names.SECRET_VERSION: version, names.SECRET_CONTENT: rest}
    return {name: value for name, value in found.items() if value}


def of_annotations(annotations: Mapping[str, str] | None) -> str:
    """The line; '' for a template without one."""
    found = annotations or {}
    return " ".join(filter(None, (str(found.get(name) or "") for name in (names.SECRET_VERSION, names.SECRET_CONTENT))))


def version_of(line: str) -> str:
    """'4', 'unproved', or '' for none: what people are told."""
    return _parts(line).version


def has_digest(line: str) -> bool:
    return bool(_parts(line).digest)


def names_entry(line: str) -> bool:
    """Whether it says more than a number."""
    return bool(_parts(line).entry)


def is_same(one: str, other: str) -> bool:
    """Whether they stand for the same values, as far as both tell."""
    first, second = _parts(one), _parts(other)
    if first.entry and first[:3] == second[:3]:
        return True
    if first.digest and second.digest:
        return first.digest == second.digest
    return not (first.entry and second.entry) and first.version == second.version


def told(before: str, now: str) -> str:
    """For people, of two that are not the same."""
    first, second = _parts(before), _parts(now)
    if first.entry and second.entry and first.entry != second.entry:
        return f"secret {first.entry} version {first.version} -> {second.entry} version {second.version}"
    if first.version == second.version:
        return f"secret version {second.version}, written anew"
    return f"secret version {first.version or 'none'} -> {second.version}"


def _parts(line: str) -> _Parts:
    return _Parts(*line.split(" ", 3)) if line else _Parts()
