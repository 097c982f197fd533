# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where an agent's values cannot be read, what is left of them is told, and how it comes back."""

from __future__ import annotations

from typing import cast

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._vault.client import Vault
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.kv import Entry, Metadata, _as_text, no_values

ENTRY = Entry(cast(Vault, None), "kv", "agents/roberval")


@pytest.mark.parametrize(
    ("found", "words", "hint"),
    [
        (Metadata(), "nothing was written there yet", "Run provision.yml -e agent=roberval."),
        (
            Metadata(3, readable=(1, 2), remaining=(1, 2, 3)),
            "version 3, the newest, was deleted",
            "vault kv undelete -mount=kv -versions=3 agents/roberval",
        ),
        (
            Metadata(3, readable=(1, 2), remaining=(1, 2)),
            "version 3, the newest, was destroyed",
            "vault kv rollback -mount=kv -version=2 agents/roberval",
        ),
        (
            Metadata(3, readable=(), remaining=(1,)),
            "version 3, the newest, was destroyed, and no other can be read",
            "vault kv put -mount=kv -cas=3 agents/roberval KEY=-",
        ),
    ],
)
def test_what_cannot_be_read_is_told_with_what_brings_it_back(found: Metadata, words: str, hint: str) -> None:
    error = no_values(ENTRY, found, "roberval")
    assert error.message == f"roberval: Vault has no values at kv/agents/roberval: {words}"
    assert hint in error.hint


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "true"),
        (8080, "8080"),
        (1.0, "1"),
        (0.00003, "0.00003"),
        (2.5e-7, "0.00000025"),
        (1e22, "10000000000000000000000"),
        (123456789012345678, "123456789012345680"),
        ({"b": [1.0, 0.00003, 2.5e-7, 1e21], "a": "x&y"}, '{"a":"x\\u0026y","b":[1,0.00003,2.5e-7,1e+21]}'),
    ],
)
def test_what_is_no_text_is_compared_as_external_secrets_writes_it(value: object, text: str) -> None:
    assert _as_text(value) == text
