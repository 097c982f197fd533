# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts a playbook runs on: one known agent or the fleet, and never a pattern."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.digitalsys.agents.plugins.filter.known_agents import (
    FilterModule,
    agent_options,
    known_agents,
    planned,
)

FLEET = ["clovis", "roberval", "clementina"]
GROUPS = {"all": [*FLEET, "web1"], "ungrouped": [], "agents": FLEET, "canary": ["clementina"], "web": ["web1"]}


def test_one_name_is_that_agent() -> None:
    assert known_agents("roberval", GROUPS) == ["roberval"]


def test_no_name_is_the_fleet_with_its_canary_first() -> None:
    assert known_agents(None, GROUPS) == ["clementina", "clovis", "roberval"]


@pytest.mark.parametrize(
    ("canary", "order"),
    [
        ([], FLEET),
        (["roberval", "clovis"], ["clovis", "roberval", "clementina"]),
        (["web1"], FLEET),
        (FLEET, FLEET),
    ],
)
def test_canaries_come_first_in_the_inventorys_order_and_only_agents_do(canary: list[str], order: list[str]) -> None:
    assert known_agents(None, {**GROUPS, "canary": canary}) == order
    assert known_agents(None, {"agents": FLEET}) == FLEET


@pytest.mark.parametrize(
    "agent",
    [
        "",
        " ",
        "all",
        "agents",
        "canary",
        "web",
        "ungrouped",
        "web1",
        "localhost",
        "*",
        "!clovis",
        "agents[0]",
        "clovis:roberval",
        "clovis,roberval",
        "clovis roberval",
        "r*",
        "~.*",
        "~roberval",
        "roberval\n",
        " roberval",
        "ROBERVAL",
        "Roberval",
        "robervall",
        "../roberval",
        "roberval; rm",
        "-a",
        "a.b",
        "r\u043eberval",
        "x" * 300,
        "@hosts",
        "&agents",
        "None",
        "null",
        "{{ x }}",
        ["roberval"],
        ["clovis", "roberval"],
        [],
        {},
        {"roberval": 1},
        0,
        1,
        True,
        False,
        b"roberval",
        ("roberval",),
        "roberval\x00",
        "clovis:&roberval",
    ],
    ids=lambda agent: repr(agent)[:30],
)
def test_whatever_is_not_exactly_one_name_is_refused_with_the_names_there_are(agent: Any) -> None:
    with pytest.raises(AnsibleFilterError) as caught:
        known_agents(agent, GROUPS)
    assert "clovis, roberval, clementina" in str(caught.value)
    assert len(str(caught.value)) < 250
    assert "\n" not in str(caught.value)


def test_an_unset_variable_of_a_shell_does_not_roll_the_fleet() -> None:
    with pytest.raises(AnsibleFilterError, match="is empty"):
        known_agents("", GROUPS)
    for limit in ("", " ", ",", " , "):
        with pytest.raises(AnsibleFilterError, match="--limit"):
            known_agents(None, GROUPS, limit)


@pytest.mark.parametrize(
    "limit", ["roberval", "clovis,roberval", "clovis, roberval", "clovis roberval", "clovis,roberval,"]
)
def test_several_agents_are_limited_by_their_names(limit: str) -> None:
    assert known_agents(None, GROUPS, limit) == ["clementina", "clovis", "roberval"], "ansible itself applies the limit"


@pytest.mark.parametrize(
    "limit",
    [
        "all",
        "agents",
        "canary",
        "web1",
        "*",
        "!clovis",
        "agents[0]",
        "clovis:roberval",
        "r*",
        "~.*",
        "clovis,!roberval",
        "clovis,r*",
        "clovis roberval,clementina",
        "robervall",
        "@retry",
        "&canary",
        "ROBERVAL",
        "r\u043eberval",
        ["roberval"],
        3,
        True,
        {},
    ],
    ids=repr,
)
@pytest.mark.parametrize("agent", [None, "roberval"])
def test_a_limit_that_is_no_list_of_names_is_refused(agent: Any, limit: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="--limit"):
        known_agents(agent, GROUPS, limit)


@pytest.mark.parametrize("limit", ["clovis", "clovis,roberval", "clovis,clementina"])
def test_an_agent_and_a_limit_that_disagree_are_refused(limit: str) -> None:
    with pytest.raises(AnsibleFilterError, match="disagree"):
        known_agents("roberval", GROUPS, limit)


@pytest.mark.parametrize("limit", ["roberval", "roberval,", "roberval,roberval"])
def test_an_agent_and_a_limit_that_agree_are_that_agent(limit: str) -> None:
    assert known_agents("roberval", GROUPS, limit) == ["roberval"]


@pytest.mark.parametrize("groups", [{}, {"agents": []}, {"all": ["roberval"]}, {"agents": None}])
@pytest.mark.parametrize("agent", [None, "roberval"])
def test_an_inventory_without_agents_is_an_error_and_no_empty_success(agent: Any, groups: dict[str, Any]) -> None:
    with pytest.raises(AnsibleFilterError, match="no group 'agents'"):
        known_agents(agent, groups)


def test_a_name_that_is_a_group_too_is_still_the_agent() -> None:
    assert known_agents("canary", {"agents": ["canary"], "canary": ["x"]}) == ["canary"]


def test_the_inventory_is_not_changed_by_the_look() -> None:
    groups = {"agents": list(FLEET), "canary": ["clementina"]}
    known_agents(None, groups).append("x")
    assert groups == {"agents": FLEET, "canary": ["clementina"]}


# The agents that the plan found something to do for


def test_only_agents_with_something_to_do_are_planned_in_the_same_order() -> None:
    hostvars = {"clementina": {}, "clovis": {"agent_run": {"todo": ["roberval", "clementina"]}}, "roberval": {}}
    assert planned(["clementina", "clovis", "roberval"], hostvars) == ["clementina", "roberval"]


def test_without_a_plan_nobody_is_touched() -> None:
    assert planned(FLEET, {name: {} for name in FLEET}) == []
    assert planned(FLEET, {}) == []
    assert planned([], {}) == []


def test_an_agent_outside_the_run_is_not_planned() -> None:
    assert planned(["clovis"], {"clovis": {"agent_run": {"todo": ["roberval"]}}}) == []


# A host's options


def test_some_options_are_given_where_no_others_are_wanted() -> None:
    own = {"agent_vault_path": "bots/x", "agent_vault_mount": None, "agent_namespace": "bots"}
    context = {"hostvars": {"roberval": own}, "inventory_hostname": "roberval", **own}
    assert agent_options(context, own, ["vault_path", "vault_mount", "approle_mount"]) == {"vault_path": "bots/x"}


def options_of(own: dict[str, Any], **of_the_play: Any) -> dict[str, Any]:
    everything = {**own, **of_the_play}
    context = {"hostvars": {"roberval": own}, "inventory_hostname": "roberval", **everything}
    return agent_options(context, everything)


def test_a_hosts_variables_are_its_options_without_the_prefix() -> None:
    assert options_of({"agent_namespace": "bots", "agent_env": {"A": "1"}, "other": 1, "agent": "x"}) == {
        "namespace": "bots",
        "env": {"A": "1"},
    }


def test_a_variable_that_is_left_empty_is_left_to_the_default() -> None:
    assert options_of({"agent_vault_path": None, "agent_plugins": []}) == {"plugins": []}


@pytest.mark.parametrize(
    ("name", "meant"), [("agent_volume_sise", "agent_volume_size"), ("agent_name", "agent_namespace")]
)
def test_a_misspelt_variable_is_refused_with_what_was_probably_meant(name: str, meant: str) -> None:
    with pytest.raises(AnsibleFilterError, match=f"{name} is no variable of an agent; was {meant} meant"):
        options_of({name: "clovis"})


@pytest.mark.parametrize("own", [{}, {"agent_namespace": "bots"}])
def test_an_option_set_by_a_play_is_refused_for_the_plan_would_miss_it(own: dict[str, Any]) -> None:
    with pytest.raises(AnsibleFilterError, match="agent_namespace is set by a play"):
        options_of(own, agent_namespace="elsewhere")


def test_every_filter_has_its_name() -> None:
    assert set(FilterModule().filters()) == {"known_agents", "planned", "agent_options"}
