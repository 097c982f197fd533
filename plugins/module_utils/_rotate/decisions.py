# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The decisions of a rotation, as a table over what was observed (design: rotation.md). Nothing here asks a server."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from enum import Enum

from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._journal.rotation import (
    PREPARED,
    PROMOTED,
    ROLLING_BACK,
    Journal,
)

Values = Mapping[str, str]


class Standing(Enum):
    """Where the rotated keys stand on the live path."""

    OLD = "as before the rotation"
    NEW = "as the rotation wants them"
    OTHER = "changed by somebody else"
    GONE = "deleted"


class Step(Enum):
    """What is to be done next. The names of the design's steps beside them."""

    PROMOTE = "promote"
    ADOPT = "adopt"  # what was promoted, and could not be noted
    PROVE = "prove"
    RESTORE = "restore"  # back: the old values
    PROVE_OLD = "prove_old"
    ABORT = "abort"
    YIELD = "yield"  # somebody else's value stands there, and stays
    STOP = "stop"  # a person must look first


_NEXT = {
    (PREPARED, Standing.OLD): Step.PROMOTE,
    (PREPARED, Standing.NEW): Step.ADOPT,
    (PREPARED, Standing.OTHER): Step.ABORT,
    (PROMOTED, Standing.OLD): Step.YIELD,
    (PROMOTED, Standing.NEW): Step.PROVE,
    (PROMOTED, Standing.OTHER): Step.YIELD,
    (ROLLING_BACK, Standing.OLD): Step.PROVE_OLD,
    (ROLLING_BACK, Standing.NEW): Step.RESTORE,
    (ROLLING_BACK, Standing.OTHER): Step.YIELD,
}
#: What abort changes: nothing goes forward any more.
_ABORTING = {
    (PREPARED, Standing.OLD): Step.ABORT,
    (PREPARED, Standing.NEW): Step.RESTORE,
    (PROMOTED, Standing.OLD): Step.RESTORE,
    (PROMOTED, Standing.NEW): Step.RESTORE,
}


def next_step(phase: str, standing: Standing, *, abort: bool = False) -> Step:
    if standing is Standing.GONE:
        return Step.STOP
    place = (phase, standing)
    return _ABORTING.get(place, _NEXT[place]) if abort else _NEXT[place]


def _equal(one: str | None, other: str | None) -> bool:
    if one is None or other is None:
        return one is other
    return hmac.compare_digest(one.encode(), other.encode())


def standing(journal: Journal, live: Values | None, base: Values | None) -> Standing:
    """base: the values of base_version; None where Vault has destroyed them, which leaves NEW and OTHER."""
    if live is None:
        return Standing.GONE
    if all(_equal(live.get(key), journal.new[key]) for key in journal.keys):
        return Standing.NEW
    if base is not None and all(_equal(live.get(key), base.get(key)) for key in journal.keys):
        return Standing.OLD
    return Standing.OTHER


def old_values(journal: Journal, base: Values) -> dict[str, str | None]:
    """The patch that takes the promotion back; None removes a key that was not there."""
    return {key: base.get(key) for key in journal.keys}


def kept_keys(journal: Journal, live: Values) -> list[str]:
    """Those that have the value which the rotation gave them."""
    return [key for key in journal.keys if _equal(live.get(key), journal.new[key])]


def edited_keys(journal: Journal, live: Values, base: Values | None) -> list[str]:
    """Those that somebody else gave a value; all that are not as the rotation wants them where it is the old one."""
    other = sorted(set(journal.keys) - set(kept_keys(journal, live)))
    return [key for key in other if base is None or not _equal(live.get(key), base.get(key))] or other


def vanished(journal: Journal, live: Values, base: Values) -> list[str]:
    """Keys that are not ours and have gone since the rotation began: somebody wrote fewer keys than there were."""
    return sorted(base.keys() - live.keys() - set(journal.keys))


ROTATED_AT = "rotated_at."
#: Vault's limits for custom metadata: a key's length in bytes, how many there may be, a value's length.
_TOLD_KEY = 128
_TOLD_KEYS = 64
_TOLD_VALUE = 512


def tidings(journal: Journal, now: int) -> dict[str, str]:
    """The audit of a finished rotation, without a value: custom metadata of the live path. now: by Vault's clock."""
    return {
        "rotation_id": journal.rotation_id,
        "rotation_keys": ",".join(journal.keys)[:_TOLD_VALUE],
        "rotation_base_version": str(journal.base_version),
        **{ROTATED_AT + key: str(now) for key in journal.keys},
    }


def check_told(keys: Iterable[str], told: Mapping[str, str]) -> None:
    """Whether tidings of these keys will find room beside what is told already; asked before the first write."""
    wanted = tidings(Journal("", tuple(keys), 0, 0.0, "", 0), 0).keys()
    too_long = [key for key in wanted if len(key) > _TOLD_KEY]
    if too_long:
        longest = _TOLD_KEY - len(ROTATED_AT)
        raise AgentError(
            ErrorKind.INVALID,
            f"{too_long[0].removeprefix(ROTATED_AT)[:60]}… is longer than {longest} letters",
            "Name it shorter.",
        )
    if len(wanted | told.keys()) > _TOLD_KEYS:
        raise AgentError(
            ErrorKind.INVALID,
            f"when so many keys were rotated is more than Vault's custom metadata hold ({_TOLD_KEYS} entries)",
            "Rotate fewer keys of this agent, or remove entries that nobody needs: vault kv metadata get shows them.",
        )


def due_keys(ages: Mapping[str, int], told: Mapping[str, str], now: float) -> list[str]:
    """Of the keys with a greatest age (in seconds) those that are older by Vault's clock, or of unknown age."""
    return sorted(key for key, age in ages.items() if now - _number(told.get(ROTATED_AT + key)) >= age)


def _number(text: str | None) -> float:
    try:
        return float(text or 0)
    except ValueError:
        return 0.0


def require_same(journal: Journal, keys: Iterable[str], new_value: str = "") -> None:
    """S3: an open rotation is gone on with, whatever its name, never a second one begun beside it. AWX gives the job
    that goes on another number than the one that was killed had."""
    wanted = sorted(set(keys))
    if wanted and wanted != sorted(journal.keys):
        raise _open(journal, f"{', '.join(wanted)} cannot be rotated")
    if new_value and not all(_equal(new_value, value) for value in journal.new.values()):
        raise _open(journal, f"this new value of {', '.join(wanted)} cannot be rotated to")


def is_asked_again(journal: Journal, rotation_id: str, keys: Iterable[str]) -> bool:
    """Whether a closed rotation is the one that is asked for, by its name: a job that is tried again. AgentError where
    that was the name of another one."""
    if journal.rotation_id != rotation_id:
        return False
    wanted = sorted(set(keys))
    if wanted and wanted != sorted(journal.keys):
        raise AgentError(
            ErrorKind.INVALID,
            f"rotation_id {rotation_id} was that of {', '.join(journal.keys)} ({journal.phase}), not of "
            f"{', '.join(wanted)}",
            "Give another rotation_id, or none.",
        )
    return True


def _open(journal: Journal, words: str) -> AgentError:
    return AgentError(
        ErrorKind.ROTATION_OPEN,
        f"{words}: rotation {journal.rotation_id} of {', '.join(journal.keys)} is open ({journal.phase})",
        "Finish it with rotate.yml (no keys given), or take it back: -e abort=true.",
        {"rotation_id": journal.rotation_id, "keys": list(journal.keys), "phase": journal.phase},
    )
