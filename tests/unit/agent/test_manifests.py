# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the objects of a correct agent promise."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._agent.manifests import (
    Stamps,
    external_secret,
    network_policy,
    rendered,
    sealed,
    secret_store,
)
from tests.unit.builders import DIGEST, REPOSITORY, agent, deployment

STAMPS = Stamps("4", "job-812")


def pod_of(**options: Any) -> dict[str, Any]:
    spec: dict[str, Any] = deployment(agent(**options), STAMPS)["spec"]["template"]["spec"]
    return spec


def containers_of(**options: Any) -> list[dict[str, Any]]:
    pod = pod_of(**options)
    return [*pod["initContainers"], *pod["containers"]]


def everything_empty(value: Any, path: str = "") -> list[str]:
    if value in ({}, [], "", None):
        return [path]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, item in items for found in everything_empty(item, f"{path}.{key}")]


def test_never_two_pods_at_a_time() -> None:
    spec = deployment(agent(), STAMPS)["spec"]
    assert spec["strategy"] == {"type": "Recreate"}
    assert spec["replicas"] == 1


def test_the_controller_keeps_the_stability_window_and_a_patient_deadline() -> None:
    spec = deployment(agent(stability_seconds=25), STAMPS)["spec"]
    assert spec["minReadySeconds"] == 25
    assert spec["progressDeadlineSeconds"] == 1200
    assert spec["revisionHistoryLimit"] == 10


def test_a_draining_gateway_is_given_its_time() -> None:
    assert pod_of()["terminationGracePeriodSeconds"] == 330
    assert pod_of(grace_seconds=60)["terminationGracePeriodSeconds"] == 60


def test_every_container_runs_the_digest_and_no_tag() -> None:
    assert {one["image"] for one in containers_of()} == {f"{REPOSITORY}@{DIGEST}"}


def test_the_tag_stands_outside_the_template_so_that_a_new_name_restarts_nothing() -> None:
    one, other = (deployment(agent(image=f"{REPOSITORY}:{tag}@{DIGEST}"), STAMPS) for tag in ("latest", "v2"))
    assert one["metadata"]["annotations"] == {"agents.digitalsys/image-tag": "latest"}
    assert other["metadata"]["annotations"] == {"agents.digitalsys/image-tag": "v2"}
    assert one["spec"]["template"] == other["spec"]["template"]


def test_a_restart_has_a_key_and_no_clock() -> None:
    template = deployment(agent(), STAMPS)["spec"]["template"]
    assert template["metadata"]["annotations"] == {
        "agents.digitalsys/secret-version": "4",
        "agents.digitalsys/restart-id": "job-812",
    }
    assert deployment(agent(), STAMPS) == deployment(agent(), STAMPS)


def test_a_stamp_is_true_or_absent() -> None:
    assert "annotations" not in deployment(agent(), Stamps())["spec"]["template"]["metadata"]


def test_no_service_account_token_reaches_the_pod() -> None:
    objects = {manifest["kind"]: manifest for manifest in rendered(agent(), STAMPS)}
    assert objects["ServiceAccount"]["automountServiceAccountToken"] is False
    assert pod_of()["automountServiceAccountToken"] is False
    assert pod_of()["serviceAccountName"] == "roberval"
    assert pod_of()["enableServiceLinks"] is False


def test_every_container_drops_all_capabilities_and_gains_no_privileges() -> None:
    for container in containers_of(capabilities=["DAC_OVERRIDE"]):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"], "add": ["DAC_OVERRIDE"]},
        }
    assert pod_of()["securityContext"] == {"seccompProfile": {"type": "RuntimeDefault"}}


def test_capabilities_can_be_dropped_to_none() -> None:
    assert containers_of(capabilities=[])[-1]["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_agents_do_heavy_builds_so_no_limit_unless_asked_for() -> None:
    assert containers_of()[-1]["resources"] == {"requests": {"memory": "1Gi"}}
    assert containers_of(limits={"memory": "4Gi"})[-1]["resources"]["limits"] == {"memory": "4Gi"}


def test_secrets_come_by_reference_and_never_as_values() -> None:
    assert containers_of()[-1]["envFrom"] == [{"secretRef": {"name": "roberval-env"}}]
    assert all(manifest["kind"] != "Secret" for manifest in rendered(agent(), STAMPS))


def test_the_state_is_the_agents_own_claim() -> None:
    pod = pod_of()
    assert pod["volumes"] == [{"name": "state", "persistentVolumeClaim": {"claimName": "roberval-state"}}]
    for container in containers_of():
        assert container["volumeMounts"] == [{"name": "state", "mountPath": "/root/.openclaw"}]


def test_where_a_pod_may_run_and_pull_from_is_the_inventorys() -> None:
    pod = pod_of(
        node_selector={"pool": "bots"},
        tolerations=[{"key": "x", "operator": "Exists"}],
        image_pull_secrets=["registry"],
    )
    assert pod["nodeSelector"] == {"pool": "bots"}
    assert pod["tolerations"] == [{"key": "x", "operator": "Exists"}]
    assert pod["imagePullSecrets"] == [{"name": "registry"}]


def test_the_command_is_the_users() -> None:
    container = containers_of(command=["tini", "--"], args=["run", "{{ x }}"])[-1]
    assert (container["command"], container["args"]) == (["tini", "--"], ["run", "{{ x }}"])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {
            "args": [],
            "requests": {},
            "env": {"EMPTY": ""},
            "capabilities": [],
            "network": "strict",
            "image": f"{REPOSITORY}@{DIGEST}",
        },
    ],
)
def test_nothing_empty_is_applied_for_the_server_would_drop_it(options: dict[str, Any]) -> None:
    for manifest in rendered(agent(**options), Stamps()):
        assert everything_empty(manifest) == []


def test_every_object_is_labelled_as_ours_and_stands_in_the_agents_namespace() -> None:
    for manifest in rendered(agent(namespace="elsewhere"), STAMPS):
        assert manifest["metadata"]["namespace"] == "elsewhere"
        assert manifest["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "digitalsys.agents"
        assert manifest["metadata"]["labels"]["app.kubernetes.io/instance"] == "roberval"


def test_what_others_need_is_applied_first_and_the_deployment_last() -> None:
    kinds = [manifest["kind"] for manifest in rendered(agent(), STAMPS)]
    assert kinds == [
        "ServiceAccount",
        "PersistentVolumeClaim",
        "NetworkPolicy",
        "SecretStore",
        "ExternalSecret",
        "Deployment",
    ]


def test_the_selector_picks_this_agents_pods_alone() -> None:
    made = deployment(agent(), STAMPS)
    assert made["spec"]["selector"]["matchLabels"]["app.kubernetes.io/instance"] == "roberval"
    assert made["spec"]["selector"]["matchLabels"].items() <= made["spec"]["template"]["metadata"]["labels"].items()


def test_the_seal_tells_a_removed_field() -> None:
    one: dict[str, Any] = {"metadata": {"annotations": {"a": "b"}}, "spec": {"x": 1}}
    other = {**one, "spec": {}}
    assert sealed(one) != sealed(other)
    assert sealed(one) == sealed(one)
    assert sealed(one)["metadata"]["annotations"]["a"] == "b"
    assert one["metadata"]["annotations"] == {"a": "b"}, "sealing makes a new object"


# Secrets


def test_the_store_logs_in_with_the_agents_own_approle() -> None:
    vault = secret_store(agent())["spec"]["provider"]["vault"]
    assert (vault["server"], vault["path"], vault["version"]) == ("https://vault.example.com:8200", "kv", "v2")
    assert vault["auth"]["appRole"] == {
        "path": "approle",
        "roleRef": {"name": "roberval-vault-approle", "key": "role-id"},
        "secretRef": {"name": "roberval-vault-approle", "key": "secret-id"},
    }


def test_a_given_role_id_takes_the_place_of_the_referred_one() -> None:
    approle = secret_store(agent(approle_role_id="3f2a"))["spec"]["provider"]["vault"]["auth"]["appRole"]
    assert approle["roleId"] == "3f2a"
    assert "roleRef" not in approle


def test_the_external_secret_is_the_one_of_the_fleet() -> None:
    made = external_secret(agent())
    assert made["metadata"]["name"] == "roberval-env-secret"
    assert made["spec"]["target"]["name"] == "roberval-env"
    assert made["spec"]["dataFrom"] == [{"extract": {"key": "agents/roberval"}}]
    assert made["spec"]["refreshInterval"] == "1m0s"


# Network profiles


def reaches(policy: dict[str, Any], address: str) -> bool:
    """Whether some egress rule without ports lets a packet out to the address."""
    target = ipaddress.ip_address(address)

    def covers(block: dict[str, Any]) -> bool:
        network = ipaddress.ip_network(block["cidr"])
        return target in network and not any(target in ipaddress.ip_network(one) for one in block.get("except", []))

    blocks = [
        peer["ipBlock"]
        for rule in policy["spec"]["egress"]
        if "ports" not in rule
        for peer in rule.get("to", [])
        if "ipBlock" in peer
    ]
    return any(covers(block) for block in blocks)


def policy_of(**options: Any) -> dict[str, Any]:
    made = network_policy(agent(**options))
    assert made is not None
    return made


def test_an_open_network_has_no_policy() -> None:
    assert network_policy(agent(network="open")) is None
    assert "NetworkPolicy" not in {manifest["kind"] for manifest in rendered(agent(network="open"), STAMPS)}


@pytest.mark.parametrize(
    ("network", "address", "reached"),
    [
        ("guarded", "8.8.8.8", True),
        ("guarded", "10.0.0.1", True),
        ("guarded", "192.168.1.1", True),
        ("guarded", "2606:4700::1111", True),
        ("guarded", "169.254.169.254", False),
        ("strict", "8.8.8.8", True),
        ("strict", "10.0.0.1", False),
        ("strict", "172.20.0.1", False),
        ("strict", "192.168.1.1", False),
        ("strict", "100.64.0.1", False),
        ("strict", "169.254.169.254", False),
    ],
)
def test_a_profile_lets_out_what_it_says(network: str, address: str, reached: bool) -> None:
    assert reaches(policy_of(network=network), address) is reached


@pytest.mark.parametrize("network", ["guarded", "strict"])
def test_nobody_comes_in_but_to_the_gateway_from_where_it_is_declared(network: str) -> None:
    closed = policy_of(network=network)["spec"]
    assert "Ingress" in closed["policyTypes"]
    assert "ingress" not in closed
    opened = policy_of(network=network, network_ingress=[{"podSelector": {"matchLabels": {"app": "web"}}}])["spec"][
        "ingress"
    ]
    assert opened == [
        {"from": [{"podSelector": {"matchLabels": {"app": "web"}}}], "ports": [{"protocol": "TCP", "port": 18789}]}
    ]


def test_strict_lets_dns_out_and_what_the_inventory_adds() -> None:
    extra = {"to": [{"ipBlock": {"cidr": "10.9.0.0/24"}}]}
    policy = policy_of(network="strict", network_egress=[extra])
    assert {"ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]} in policy["spec"]["egress"]
    assert reaches(policy, "10.9.0.7")


def test_the_policy_is_about_this_agents_pods() -> None:
    assert policy_of()["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/instance"] == "roberval"
