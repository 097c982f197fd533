# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One entry, one agent, one home."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.client import Vault
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.home import (
    is_marked,
    mark,
    require_an_entry_each,
    require_home,
    require_nobodys,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.kv import Entry

OWN = mark("uid-1", "bots", "roberval")


def entry(path: str) -> Entry:
    return Entry(cast(Vault, None), "kv", path)


@pytest.mark.parametrize("told", [None, {}, {"owner": "x"}, {"owner": "x", **OWN}])
def test_an_entry_of_its_own_or_of_nobody_is_taken(told: dict[str, str] | None) -> None:
    require_home(entry("agents/roberval"), told, OWN, "roberval")
    assert is_marked(told) == (told is not None and "agents_home" in told)


@pytest.mark.parametrize(
    ("theirs", "words"),
    [
        (mark("uid-1", "bots", "clovis"), "belongs to clovis in namespace bots of cluster uid-1"),
        (mark("uid-1", "other", "roberval"), "belongs to roberval in namespace other of cluster uid-1"),
        (mark("uid-2", "bots", "roberval"), "belongs to roberval in namespace bots of cluster uid-2"),
        ({"agents_home": "by hand"}, "belongs to ? in namespace ? of cluster by hand"),
    ],
)
def test_one_of_another_agent_or_place_is_refused_with_both_names(theirs: dict[str, str], words: str) -> None:
    with pytest.raises(AgentError) as refused:
        require_home(entry("agents/roberval"), theirs, OWN, "roberval")
    assert words in refused.value.message
    assert "this run is for roberval in namespace bots of cluster uid-1" in refused.value.message
    assert "-custom-metadata=agents_home=uid-1/bots/roberval agents/roberval" in refused.value.hint


@pytest.mark.parametrize("path", ["agents/roberval", "team/shared", "agents/team/roberval", "other/clovis"])
def test_a_place_that_names_no_other_agent_may_be_marked(path: str) -> None:
    require_nobodys(entry(path), OWN, "roberval")


def test_another_agents_place_is_not_marked() -> None:
    with pytest.raises(AgentError, match="looks like clovis's"):
        require_nobodys(entry("agents/clovis"), OWN, "roberval")


def test_two_agents_of_a_run_have_two_entries() -> None:
    def of(name: str, path: str) -> Any:
        return SimpleNamespace(name=name, vault_mount="kv", vault_path=path)

    require_an_entry_each([of("clovis", "agents/clovis"), of("roberval", "agents/roberval")])
    with pytest.raises(AgentError, match="clovis and roberval have one entry in Vault, kv/agents/clovis"):
        require_an_entry_each([of("clovis", "agents/clovis"), of("roberval", "agents/clovis")])
