# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose a policy is: one that a person wrote grants something else than ours, and is never narrowed."""

from __future__ import annotations

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._vault.policies import is_policy_of_ours, policy_text

OURS = policy_text("kv", "agents/roberval")


@pytest.mark.parametrize(
    "text",
    [
        None,
        OURS,
        policy_text("team/data", "agents/data/roberval"),
        OURS.replace("\n", " "),
        OURS.replace("  ", "\t"),
    ],
)
def test_one_of_ours_is_told_whatever_its_path_and_layout(text: str | None) -> None:
    assert is_policy_of_ours(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        'path "kv/data/*" { capabilities = ["read"] }',
        OURS.replace('["read"]', '["read", "list"]'),
        OURS + OURS,
        OURS.partition("}\n")[0] + "}\n",
        f"# by hand\n{OURS}",
        OURS.replace("kv/metadata/agents/roberval", "kv/metadata/agents/clovis"),
        OURS.replace("kv/metadata", "kv/data"),
    ],
)
def test_all_else_is_somebodys(text: str) -> None:
    assert not is_policy_of_ours(text)
