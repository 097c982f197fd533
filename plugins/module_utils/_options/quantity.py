# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kubernetes quantities: a strict parser, and one spelling for each amount, so that equal amounts compare equal."""

from __future__ import annotations

import re
from decimal import Decimal

from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind

_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60}
_DECIMAL: dict[str, Decimal] = {
    "m": Decimal("0.001"),
    "": Decimal(1),
    **{s: Decimal(1000) ** n for n, s in enumerate("kMGTPE", 1)},
}
#: Kubernetes counts in 64 bits and silently cuts off what is above.
_LARGEST = 2**63 - 1
_QUANTITY = re.compile(r"\A([0-9]+(?:\.[0-9]{1,3})?)(Ki|Mi|Gi|Ti|Pi|Ei|m|k|M|G|T|P|E)?\Z")


def amount(text: str, what: str = "quantity") -> Decimal:
    """The number that a quantity stands for (bytes, cores). Refuses '1e3', '10gi', ' 1Gi'."""
    match = _QUANTITY.match(text) if isinstance(text, str) else None
    if not match or not Decimal(match.group(1)):
        raise AgentError(
            ErrorKind.INVALID,
            f"{what}: {str(text)[:60]!r} is not a quantity above zero",
            "Write for example 10Gi, 512Mi, 500m or 2.",
        )
    suffix = match.group(2) or ""
    value = Decimal(match.group(1)) * (_BINARY.get(suffix) or _DECIMAL[suffix])
    if value > _LARGEST:
        raise AgentError(ErrorKind.INVALID, f"{what}: {text[:60]!r} is more than Kubernetes can count")
    return value


def canonical(text: str, what: str = "quantity") -> str:
    """The spelling that the API server itself keeps: '1024Mi' -> '1Gi', '0.5' -> '500m', '2.0' -> '2'."""
    value = amount(text, what)
    if text.endswith("i"):
        for suffix, factor in reversed(_BINARY.items()):
            if value % factor == 0:
                return f"{value / factor:f}".split(".")[0] + suffix
    if value != value.to_integral_value():
        return f"{int((value * 1000).to_integral_value(rounding='ROUND_CEILING'))}m"
    for suffix, scale in reversed(list(_DECIMAL.items())[1:]):
        if value % int(scale) == 0:
            return f"{int(value / int(scale))}{suffix}"
    return str(int(value))
