# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts a playbook runs on: one known agent, or the fleet with its canaries first. Never a host pattern."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from jinja2 import pass_context

from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Spec
from ansible_collections.digitalsys.agents.plugins.module_utils._options.argspec import (
    ACCESS_MODULE,
    HOLDER,
    KUBE,
    OF_AN_AGENT,
    PLAN_MODULE,
    ROTATION_MODULE,
    VAULT,
)

GROUP = "agents"
CANARY = "canary"
PREFIX = "agent_"
#: Results that the roles register, and variables that a role calls otherwise than the module calls its option: no
#: argument spec knows these.
_OF_THE_ROLES = (
    "run",
    "result",
    "status",
    "secrets_result",
    "run_image",
    "run_tag",
    "status_secrets",
    "status_gateway",
)
_OPTIONS = tuple(option for option in OF_AN_AGENT if option != "name")


def _own(module: Spec, *fed_otherwise: str) -> frozenset[str]:
    """A module's options that are not an agent's, a login's or the lock's; nor those that no variable of it feeds."""
    return frozenset(module) - {*KUBE, *VAULT, *OF_AN_AGENT, *HOLDER, *fed_otherwise}


#: Variables of a run, of provision alone, and of the roles' own results: no options of the plan's agents.
_BESIDES = frozenset(
    {
        *_OF_THE_ROLES,
        *HOLDER,
        *_own(PLAN_MODULE, "agents", "tag"),
        *_own(ACCESS_MODULE, "secret_id", "rotation_id"),
        *(f"secrets_{option}" for option in _own(ROTATION_MODULE)),
    }
)
_KNOWN = frozenset((*_OPTIONS, *_BESIDES))


def _known(groups: Mapping[str, list[str]]) -> list[str]:
    known = list(groups.get(GROUP) or [])
    if not known:
        raise AnsibleFilterError(f"the inventory has no group '{GROUP}' with an agent in it; give one with -i")
    return known


def _shown(value: Any) -> str:
    return repr(str(value)[:60])


def _limited(limit: str, known: list[str]) -> list[str]:
    """--limit's names, each checked: a pattern would quietly mean other agents than the operator thinks."""
    if not isinstance(limit, str):
        raise AnsibleFilterError("--limit must be names of agents")
    # Ansible splits at commas, and at spaces only where there is no comma.
    names = [name.strip() for name in (limit.split(",") if "," in limit else limit.split()) if name.strip()]
    if not names:
        # Ansible would take it for no limit at all: --limit "$UNSET" must not roll the fleet.
        raise AnsibleFilterError(f"--limit is empty; the agents are: {', '.join(known)}")
    for name in names:
        if name not in known:
            raise AnsibleFilterError(f"--limit: {_shown(name)} is no agent; the agents are: {', '.join(known)}")
    return names


def known_agents(agent: Any, groups: Mapping[str, list[str]], limit: Any = None) -> list[str]:
    """The hosts of a play. agent: None for the fleet, else exactly one name. limit: ansible_limit, or None."""
    known = _known(groups)
    names = _limited(limit, known) if limit is not None else []
    if agent is None:
        canary = [name for name in known if name in (groups.get(CANARY) or [])]
        return canary + [name for name in known if name not in canary]
    if not isinstance(agent, str) or agent not in known:
        what = "agent is empty" if agent == "" else f"{_shown(agent)} is no agent"
        raise AnsibleFilterError(f"{what}; the agents are: {', '.join(known)}")
    if names and set(names) != {agent}:
        raise AnsibleFilterError(f"-e agent={agent} and --limit {limit} disagree; give one of them")
    return [agent]


def planned(agents: list[str], hostvars: Mapping[str, Any], variable: str = "agent_run") -> list[str]:
    """Of a run's agents those that its plan found something to do for, in the same order."""
    for name in agents:
        found = hostvars[name].get(variable) if name in hostvars else None
        if found:
            todo = list(found["todo"])
            return [one for one in agents if one in todo]
    return []


def _refuse_what_the_inventory_does_not_say(context: Any, own: Mapping[str, Any]) -> None:
    for option in _OPTIONS:
        name = PREFIX + option
        if name in context and (name not in own or context[name] != own[name]):
            raise AnsibleFilterError(
                f"{name} is set by a play or a role's parameters; set it in the inventory (group_vars, "
                "host_vars) or with -e"
            )


@pass_context
def agent_options(context: Any, variables: Mapping[str, Any], only: Collection[str] = _OPTIONS) -> dict[str, Any]:
    """A host's options for our modules: each inventory variable agent_<option> that is set, without the prefix.
    only: names of the options that are wanted.

    An agent is an inventory host: the plan sees all of them at once, and of another host only what the inventory and
    the command line say. A value from a play or a role's parameters would be missed silently, so it is refused.
    """
    here = context["inventory_hostname"]
    # Once for all hosts: what a play or a role sets, it sets for this one too.
    if variables.get("inventory_hostname", here) == here:
        _refuse_what_the_inventory_does_not_say(context, context["hostvars"][here])
    for name in variables:
        if name.startswith(PREFIX) and name[len(PREFIX) :] not in _KNOWN:
            meant = difflib.get_close_matches(name, [PREFIX + known for known in sorted(_KNOWN)], 1)
            raise AnsibleFilterError(
                f"{name} is no variable of an agent" + (f"; was {meant[0]} meant?" if meant else "")
            )
    found = {option: variables[PREFIX + option] for option in only if PREFIX + option in variables}
    return {option: value for option, value in found.items() if value is not None}


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"known_agents": known_agents, "planned": planned, "agent_options": agent_options}
