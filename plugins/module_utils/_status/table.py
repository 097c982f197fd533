# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table that people read of what is."""

from __future__ import annotations

from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Object
from ansible_collections.digitalsys.agents.plugins.module_utils._options.duration import in_words
from ansible_collections.digitalsys.agents.plugins.module_utils._status.secrets import (
    BEHIND,
    CURRENT,
    ENDS_SOON,
    PENDING,
    UNKNOWN,
    VALID,
)

_DRIFT_SHOWN = 4
_COLUMNS = ("agent", "health", "image", "secret", "volume", "restarts", "release", "lock")
#: Of the table with secrets: what a line of 120 characters has no room for is in the table without them.
_SECRETS_COLUMNS = ("agent", "health", "image", "vault", "in secret", "in pod", "rotation", "secretid", "lock")


def _row(agent: Object) -> list[str]:
    digest = agent["image"].partition("@sha256:")[2][:12]
    return [
        agent["agent"],
        agent["health"],
        f"{agent['tag']} {digest}".strip() or "-",
        _stamp(agent) + _not_ready(agent),
        (agent["volume"] or agent["volume_phase"] or "-") + (" !" if agent["volume_trouble"] else ""),
        str(agent["restarts"]),
        agent["release"] or "-",
        agent["locked_by"] or "-",
    ]


def _stamp(agent: Object) -> str:
    version = str(agent["secret_version"])
    return f"v{version}" if version.isdigit() else version or "-"


def _not_ready(agent: Object) -> str:
    return "" if agent["secret_ready"] else " !"


def _row_with_secrets(agent: Object) -> list[str]:
    """'?' for what is not known."""
    plain = _row(agent)
    facts = agent["secrets"]
    stamp = _stamp(agent)
    version = facts["vault_version"]
    left = facts["secret_id_seconds_left"]
    newest = {None: "?", 0: "-"}.get(version, f"v{version}")
    pods = {
        "": "-",
        CURRENT: stamp if stamp == newest else f"{stamp} = {newest}",
        PENDING: f"{stamp} pending",
        BEHIND: f"{stamp} behind",
    }
    lasts = {
        VALID: VALID + ("" if facts["secret_id_expires"] == "" else " ?" if left is None else f" {in_words(left)}"),
        ENDS_SOON: f"ends in {in_words(left or 0)}",
        UNKNOWN: "?",
    }
    return [
        *plain[:3],
        newest,
        ("?" if facts["in_secret"] == UNKNOWN else facts["in_secret"]) + _not_ready(agent),
        pods.get(facts["in_pod"], f"{stamp} ?"),
        _rotation(facts["rotation"]),
        lasts.get(facts["secret_id"], facts["secret_id"]),
        plain[-1],
    ]


def _rotation(rotation: Object | None) -> str:
    if rotation is None:
        return "?"
    return f"{rotation['phase'].replace('_', ' ')} {in_words(rotation['age_seconds'])}" if rotation else "-"


def table(agents: list[Object], *, secrets: bool = False) -> list[str]:
    """Aligned text, a line an agent. '!' behind the secret: its ExternalSecret is not ready; behind the volume: it is
    not the recorded one, or goes. Beneath them a line for that, for what other hands have changed, and for what a
    gateway that was asked says of itself. With secrets, other columns, and a line for each note."""
    columns, row = (_SECRETS_COLUMNS, _row_with_secrets) if secrets else (_COLUMNS, _row)
    rows = [list(columns), *(row(agent) for agent in agents)]
    widths = [max(len(one[column]) for one in rows) for column in range(len(columns))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(one, widths, strict=True)).rstrip() for one in rows]
    return lines + [line for agent in agents for line in _beneath(agent, secrets=secrets)]


def _beneath(agent: Object, *, secrets: bool) -> list[str]:
    """What the row has no room for."""
    lines = [agent["volume_trouble"]] if agent["volume_trouble"] else []
    if agent["drift"]:
        more = f" (+{len(agent['drift']) - _DRIFT_SHOWN} more)" if len(agent["drift"]) > _DRIFT_SHOWN else ""
        lines.append(f"{agent['agent']}: changed by hand: {'; '.join(agent['drift'][:_DRIFT_SHOWN])}{more}")
    notes = [*agent["gateway"], *(agent["secrets"]["notes"] if secrets else ())]
    return lines + [f"{agent['agent']}: {note}" for note in notes]
