# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a value must be to do its work in a pod: pure, and the same for one that is brought and one that stands there.

Each answers with why it cannot, in words that do not show it; '' where it can.
"""

from __future__ import annotations

import re

#: The key that the gateway itself asks for, in a header.
GATEWAY_TOKEN = "OPENCLAW_GATEWAY_TOKEN"
#: Linux takes no longer string of a process's environment (MAX_ARG_STRLEN): KEY=value and the NUL behind it.
LONGEST_VARIABLE = 128 * 1024
#: What can stand in an HTTP header, white space left out: clients cut it off, or refuse it.
_SENDABLE = re.compile(r"\A[\x21-\x7e]+\Z")
#: What a Secret and envFrom take, and ESO does not write otherwise.
_VARIABLE = re.compile(r"\A[-._A-Za-z][-._A-Za-z0-9]*\Z")


def is_variable(key: str) -> bool:
    return bool(_VARIABLE.match(key))


def cannot_work(key: str, value: str) -> str:
    """As a variable of the gateway's process; its token also has to be sent."""
    return cannot_arrive(key, value) or (cannot_be_sent(value) if key == GATEWAY_TOKEN else "")


def cannot_arrive(key: str, value: str) -> str:
    """As a variable of a process."""
    if "\0" in value or any("\ud800" <= one <= "\udfff" for one in value):
        return "it is no UTF-8 text, or has a NUL in it"
    if len(f"{key}={value}\0".encode()) > LONGEST_VARIABLE:
        return f"it is too long: with its name a process takes {LONGEST_VARIABLE} bytes"
    return ""


def cannot_be_sent(value: str) -> str:
    """In a header, as the gateway's token is."""
    if value.endswith(("\n", "\r")):
        return "it ends with a line break, as echo adds one, and cannot be sent to the gateway"
    return "" if _SENDABLE.match(value) else "it has characters in it that cannot be sent to the gateway"
