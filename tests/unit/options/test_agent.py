# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of one agent, checked before any request."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._options.agent import (
    checked_params,
    from_params,
    of_params,
)
from tests.unit.builders import IMAGE, agent, params

NEEDED = {"image": IMAGE, "vault_server": "https://vault.example.com:8200"}


def refused(**options: Any) -> AgentError:
    with pytest.raises(AgentError) as caught:
        agent(**options)
    assert caught.value.kind is ErrorKind.INVALID
    assert len(caught.value.message) < 300
    return caught.value


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "roberval; rm",
        "ROBERVAL",
        "x" * 300,
        "",
        "-a",
        "a.b",
        "r\u043eberval",
        "roberval\n",
        "*",
        "!x",
        "a:b",
        "~re",
        "x[0]",
        None,
    ],
)
def test_an_agent_with_a_bad_name_does_not_come_to_be(name: Any) -> None:
    refused(name=name)


@pytest.mark.parametrize("size", ["10gi", "1e3", "-1Gi", "10 Gi", "0", "25GiB", "", None])
def test_a_bad_volume_size_is_refused_by_its_name(size: Any) -> None:
    assert refused(volume_size=size).message.startswith("volume_size: ")


@pytest.mark.parametrize("option", ["requests", "limits"])
@pytest.mark.parametrize("size", ["10gi", "1e3", "-1Gi", "10 Gi", "0", "25GiB", "", None, True, -1, 0, []])
def test_a_bad_resource_is_refused_by_its_name(option: str, size: Any) -> None:
    assert refused(**{option: {"memory": size}}).message.startswith(f"{option}.memory: ")


def test_resources_that_yaml_made_numbers_are_taken() -> None:
    made = agent(requests={"cpu": 0.5, "memory": "1024Mi"}, limits={"cpu": 2})
    assert made.requests == {"cpu": "500m", "memory": "1Gi"}
    assert made.limits == {"cpu": "2"}


def test_more_requested_than_allowed_is_refused_before_the_scheduler_says_so() -> None:
    assert (
        "requests.memory 2Gi is above limits.memory 1Gi"
        in refused(requests={"memory": "2Gi"}, limits={"memory": "1024Mi"}).message
    )


def test_equal_agents_are_equal_however_their_quantities_are_written() -> None:
    assert agent(volume_size="10240Mi", requests={"memory": "1024Mi"}) == agent(
        volume_size="10Gi", requests={"memory": "1Gi"}
    )


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("namespace", "Bots"),
        ("namespace", "../kube-system"),
        ("namespace", "bots\n"),
        ("image", "openclaw-agent"),
        ("image", ""),
        ("required_keys", ["github_token"]),
        ("required_keys", ["A B"]),
        ("required_keys", ["A=B"]),
        ("required_keys", ["A\n"]),
        ("required_keys", [""]),
        ("required_keys", [None]),
        ("env", {"A B": "x"}),
        ("env", {"A=B": "x"}),
        ("env", {"1A": "x"}),
        ("env", {"A\n": "x"}),
        ("env", {"": "x"}),
        ("env", {"A": None}),
        ("env", {"A": ["x"]}),
        ("env", {"A": {"b": "c"}}),
        ("plugins", ["-g"]),
        ("plugins", ["a; rm"]),
        ("plugins", ["$(id)"]),
        ("plugins", ["../x"]),
        ("plugins", ["a\n"]),
        ("volume_class", ""),
        ("volume_class", "A"),
        ("volume_class", "a/b"),
        ("volume_class", None),
        ("capabilities", ["chown"]),
        ("capabilities", ["CHOWN; X"]),
        ("grace_seconds", 0),
        ("grace_seconds", -1),
        ("grace_seconds", 86401),
        ("startup_seconds", 0),
        ("stability_seconds", -5),
        ("vault_server", "vault.example.com"),
        ("vault_server", "https://vault.example.com/ui"),
        ("vault_server", "file:///etc"),
        ("vault_server", ""),
        ("vault_server", None),
        ("vault_server", "https://vault.example.com\n"),
        ("vault_mount", "/kv"),
        ("vault_mount", "kv/"),
        ("vault_mount", "../sys"),
        ("vault_mount", ""),
        ("vault_path", "/agents/x"),
        ("vault_path", "agents//x"),
        ("vault_path", "../sys/policy"),
        ("vault_path", "agents/../clovis"),
        ("vault_path", "agents/./x"),
        ("vault_path", "agents/x?list=true"),
        ("approle_mount", "../token"),
        ("secret_refresh", "0"),
        ("secret_refresh", "0s"),
        ("secret_refresh", "1"),
        ("secret_refresh", "-1m"),
        ("secret_refresh", "1 m"),
        ("secret_refresh", "1m\n"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_an_option_that_cannot_be_is_refused_before_any_request(option: str, value: Any) -> None:
    refused(**{option: value})


def test_the_path_in_vault_is_the_agents_own_unless_it_is_said() -> None:
    assert agent().vault_path == "agents/roberval"
    assert agent(vault_path="team/bots.v2/roberval").vault_path == "team/bots.v2/roberval"


def test_environment_values_become_the_text_that_a_pod_reads() -> None:
    assert agent(env={"B": True, "A": 3, "C": 0.5, "D": False, "E": ""}).env == {
        "A": "3",
        "B": "true",
        "C": "0.5",
        "D": "false",
        "E": "",
    }


@pytest.mark.parametrize(
    "value", ["{{ lookup('env', 'HOME') }}", "a: b\n- c", "!vault x", "*", "$(id)", "%{x}", "'\"\\"]
)
def test_jinja_and_yaml_inside_values_stay_literal(value: str) -> None:
    assert agent(env={"X": value}).env == {"X": value}
    assert agent(config_seed={"x": value}).config_seed == {"x": value}


def test_the_required_keys_are_a_set() -> None:
    assert agent(required_keys=["B", "A", "B"]).required_keys == ["A", "B"]


def test_what_the_api_server_would_drop_from_a_toleration_is_not_asked_for() -> None:
    given = {"key": "bots", "operator": "Exists", "value": "", "effect": None}
    assert agent(tolerations=[given]).tolerations == [{"key": "bots", "operator": "Exists"}]


def test_an_unknown_option_of_an_inventory_host_is_named() -> None:
    with pytest.raises(AgentError, match=r"roberval: unknown option volum_size\Z"):
        checked_params("roberval", {**NEEDED, "volum_size": "10Gi"})


@pytest.mark.parametrize("missing", ["image", "vault_server"])
def test_a_missing_option_is_named_with_its_agent(missing: str) -> None:
    given = {name: value for name, value in NEEDED.items() if name != missing}
    with pytest.raises(AgentError, match=rf"roberval: .*{missing}"):
        checked_params("roberval", given)


@pytest.mark.parametrize(
    ("option", "value"),
    [("network", "closed"), ("grace_seconds", "soon"), ("verify", "hope"), ("requests", ["memory"])],
)
def test_an_option_of_a_wrong_type_or_choice_is_named(option: str, value: Any) -> None:
    with pytest.raises(AgentError, match=option):
        checked_params("roberval", {**NEEDED, option: value})


def test_defaults_are_filled_in_as_a_module_would_do_it() -> None:
    checked = checked_params("roberval", {**NEEDED, "grace_seconds": "60"})
    assert (checked["namespace"], checked["verify"], checked["grace_seconds"]) == ("bots", "probe", 60)
    assert of_params(checked) == agent(grace_seconds=60)


def test_options_of_other_groups_beside_an_agents_are_not_its_own() -> None:
    assert of_params({**params(), "kubeconfig": "/x", "timeout": 3}) == from_params(params())


def test_a_volume_without_a_unit_is_refused_with_what_was_probably_meant() -> None:
    with pytest.raises(AgentError) as error:
        agent(volume_size="10")
    assert "10Gi" in error.value.hint


def test_a_network_rule_is_asked_for_as_the_server_keeps_it() -> None:
    given = {"to": [], "ports": [{"port": 443, "endPort": None}]}
    everything: dict[str, Any] = {"from": [{"podSelector": {}}]}
    one = agent(network_egress=[given], network_ingress=[everything, {}])
    assert one.network_egress == [{"ports": [{"port": 443}]}]
    assert one.network_ingress == [everything, {}]
