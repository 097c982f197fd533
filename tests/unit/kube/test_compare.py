# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wanted against live."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._agent.manifests import Stamps, rendered
from ansible_collections.digitalsys.agents.plugins.module_utils._kube import compare
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.compare import readable
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.names import FENCE_MANAGER, FIELD_MANAGER
from tests.unit.builders import agent, served

TOLERATIONS = [{"key": "bots", "effect": "NoSchedule"}, {"key": "bots", "effect": "NoExecute"}]
FULL = {
    "env": {"A": "1", "EMPTY": ""},
    "limits": {"memory": "4Gi"},
    "node_selector": {"pool": "bots"},
    "tolerations": TOLERATIONS,
    "image_pull_secrets": ["registry"],
    "plugins": ["@openclaw/discord"],
    "network": "strict",
    "network_ingress": [{"podSelector": {}}],
    "command": ["tini", "--"],
}


def differences(wanted: Any, live: Any) -> list[str]:
    return [change.line for change in compare.differences(wanted, live)]


@pytest.mark.parametrize(
    "options",
    [
        {},
        FULL,
        {"network": "open"},
        {"args": [], "config_seed": {}, "requests": {}, "capabilities": [], "required_keys": []},
    ],
)
def test_what_was_applied_and_given_back_with_the_servers_defaults_differs_in_nothing(options: dict[str, Any]) -> None:
    for manifest in rendered(agent(**options), Stamps("4", "job-1")):
        assert differences(manifest, as_kept(served(manifest))) == []


def as_kept(value: Any) -> Any:
    """The API server drops what is empty: strings, lists and null of its typed kinds (their fields are 'omitempty')."""
    if isinstance(value, dict):
        return {key: as_kept(item) for key, item in value.items() if item not in ("", [], None)}
    return [as_kept(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("wanted", "live", "lines"),
    [
        ({"a": 1}, {"a": 2}, ["a: 2 -> 1"]),
        ({"a": {"b": "x"}}, {"a": {"b": "y"}}, ["a.b: 'y' -> 'x'"]),
        ({"a": {"b": "x"}}, {"a": {}}, ["a.b is missing"]),
        ({"a": {"b": "x"}}, {}, ["a is missing"]),
        ({"a": {"b": "x"}}, {"a": None}, ["a: None -> {'b': 'x'}"]),
        ({"a": True}, {"a": 1}, ["a: 1 -> True"]),
        ({"a": False}, {"a": 0}, ["a: 0 -> False"]),
        ({"a": 1}, {"a": 1.0}, []),
        ({"a": "1"}, {"a": 1}, ["a: 1 -> '1'"]),
        ({"a": [1, 2]}, {"a": [2, 1]}, ["a[0]: 2 -> 1", "a[1]: 1 -> 2"]),
        ({"a": [1]}, {"a": [1, 2]}, ["a: [1, 2] -> [1]"]),
        ({"a": ["x"]}, {"a": "x"}, ["a: 'x' -> ['x']"]),
    ],
)
def test_each_wanted_field_that_is_not_so_is_one_line(wanted: Any, live: Any, lines: list[str]) -> None:
    assert differences(wanted, live) == lines


def test_what_others_added_is_not_ours_to_judge() -> None:
    wanted = {"spec": {"containers": [{"name": "openclaw", "image": "a"}]}}
    live = {
        "spec": {
            "containers": [{"name": "sidecar"}, {"name": "openclaw", "image": "a", "resources": {}}],
            "dnsPolicy": "x",
        },
        "status": {},
    }
    assert differences(wanted, live) == []


def test_a_container_is_compared_with_its_namesake_wherever_it_stands() -> None:
    wanted = {"containers": [{"name": "openclaw", "image": "new"}]}
    live = {"containers": [{"name": "sidecar", "image": "x"}, {"name": "openclaw", "image": "old"}]}
    assert differences(wanted, live) == ["containers[openclaw].image: 'old' -> 'new'"]
    assert differences(wanted, {"containers": [{"name": "sidecar"}]}) == ["containers[openclaw] is missing"]


def test_items_that_share_their_key_are_compared_one_by_one() -> None:
    assert differences({"tolerations": TOLERATIONS}, {"tolerations": list(TOLERATIONS)}) == []
    assert differences({"tolerations": TOLERATIONS}, {"tolerations": TOLERATIONS[:1]})


@pytest.mark.parametrize("field", ["add", "drop", "policyTypes", "accessModes"])
def test_the_order_of_a_set_does_not_matter(field: str) -> None:
    assert differences({field: ["A", "B"]}, {field: ["B", "A"]}) == []
    assert differences({field: ["A", "B"]}, {field: ["B", "C"]})


def test_a_removed_field_is_seen_by_the_seal_where_nothing_else_tells_of_it() -> None:
    before, after = (rendered(agent(env=env), Stamps())[-1] for env in ({"A": "1"}, {}))
    changes = compare.compare(after, served(before))
    assert changes
    assert compare.shown(changes) == []


# Who owns a field: as the API server keeps it.

ENV = 'k:{"name":"MARK"}'
CONTAINER = 'k:{"name":"openclaw"}'


def entry(fields: dict[str, Any], manager: str = FIELD_MANAGER, operation: str = "Apply", **more: Any) -> Any:
    return {"manager": manager, "operation": operation, "fieldsType": "FieldsV1", "fieldsV1": fields, **more}


def in_pod(fields: dict[str, Any]) -> dict[str, Any]:
    return {"f:spec": {"f:template": {"f:spec": fields}}}


def of_container(fields: dict[str, Any]) -> dict[str, Any]:
    return in_pod({"f:containers": {CONTAINER: {".": {}, "f:name": {}, **fields}}})


def live(*entries: Any, env: dict[str, str] | None = None, container: Any = None) -> Any:
    """A Deployment as we made it with these variables, and with what else stands in its container."""
    made = served(rendered(agent(env=env or {}), Stamps("4"))[-1], managedFields=list(entries))
    made["spec"]["template"]["spec"]["containers"][0].update(container or {})
    return made


def told(found: Any, **options: Any) -> list[str]:
    return compare.shown(compare.compare(rendered(agent(**options), Stamps("4"))[-1], found))


PLACE = "spec.template.spec.containers[openclaw]"


@pytest.mark.parametrize("operation", ["Apply", "Update"])
def test_what_was_taken_out_of_the_wish_is_told_by_its_name_and_value(operation: str) -> None:
    """Trials B1: "a field that is not wanted any more", fields: []."""
    env: dict[str, Any] = {".": {}, ENV: {".": {}, "f:name": {}, "f:value": {}}}
    defaults: dict[str, Any] = {"f:terminationMessagePath": {}, "f:resources": {}, "f:terminationMessagePolicy": {}}
    found = live(
        entry(of_container({"f:env": env, **defaults}), operation="Update" if operation == "Update" else "Apply"),
        env={"MARK": "two", "KEPT": "x"},
    )
    lines = told(found, env={"KEPT": "x"})
    assert lines == [f"{PLACE}.env[MARK] removed"], "what the server puts in by itself is nothing that was wanted"
    assert f"{PLACE}.env[MARK] removed" in told(found), "also where it was the only one"


def test_what_was_moved_to_us_and_then_left_is_still_told() -> None:
    """A run that was killed between the two writes: the field is ours already, and still unwanted."""
    env: dict[str, Any] = {"f:env": {".": {}, 'k:{"name":"TOKEN"}': {".": {}, "f:name": {}, "f:value": {}}}}
    found = live(entry(of_container(env)))
    found["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "TOKEN", "value": "geheim"}]
    assert told(found) == [f"{PLACE}.env[TOKEN] removed"]


def test_while_the_wish_is_the_same_nothing_of_ours_is_unwanted() -> None:
    """As after a POST, which counts the server's defaults as ours."""
    assert told(live(entry(of_container({"f:tty": {}}), operation="Update"), container={"tty": True})) == []


@pytest.mark.parametrize(
    ("fields", "container", "line"),
    [
        ({"f:tty": {}}, {"tty": True}, f"{PLACE}.tty added by kubectl-edit, removed"),
        (
            {"f:env": {".": {}, 'k:{"name":"TOKEN"}': {".": {}, "f:name": {}, "f:value": {}}}},
            {"env": [{"name": "TOKEN", "value": "geheim"}]},
            f"{PLACE}.env[TOKEN] added by kubectl-edit, removed",
        ),
        (
            {"f:lifecycle": {"f:preStop": {}}},
            {"lifecycle": {"preStop": {}}},
            f"{PLACE}.lifecycle added by kubectl-edit",
        ),
    ],
)
def test_another_hand_in_the_pod_template_is_named_and_its_values_are_not(
    fields: dict[str, Any], container: dict[str, Any], line: str
) -> None:
    """Trials A3 and B2: it stayed, "nothing to do"."""
    (found,) = told(live(entry(of_container(fields), "kubectl-edit", "Update"), container=container))
    assert found.startswith(line)
    assert "geheim" not in found


def test_a_second_container_is_named() -> None:
    second = in_pod({"f:containers": {'k:{"name":"roberval"}': {".": {}, "f:name": {}, "f:image": {}}}})
    found = live(entry(second, "kubectl-client-side-apply", "Update"))
    found["spec"]["template"]["spec"]["containers"].append({"name": "roberval", "image": "x"})
    assert told(found) == [
        "spec.template.spec.containers[roberval] added by kubectl-client-side-apply, removed",
    ]


def test_a_variable_that_another_hand_has_changed_is_named_without_its_value() -> None:
    env: dict[str, Any] = {"f:env": {ENV: {"f:value": {}}}}
    found = live(entry(of_container(env), "kubectl-set", "Update"), env={"MARK": "two"})
    found["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] = "geheim"
    assert told(found, env={"MARK": "two"}) == [f"{PLACE}.env[MARK].value changed by kubectl-set"]


def test_a_field_that_another_hand_has_changed_is_told_with_both_values_and_the_hand() -> None:
    found = live(entry({"f:spec": {"f:replicas": {}}}, "kubectl", "Update", subresource="scale"))
    found["spec"]["replicas"] = 0
    assert told(found) == ["spec.replicas: 0 -> 1 (by kubectl)"]


def test_outside_of_the_template_others_may_add_what_they_like() -> None:
    meta: dict[str, Any] = {"f:metadata": {"f:annotations": {"f:example.com/x": {}}, "f:labels": {"f:team": {}}}}
    found = live(entry(meta, "flux"), entry({"f:spec": {"f:paused": {}}}, "flux"))
    found["metadata"]["annotations"]["example.com/x"] = "y"
    found["metadata"]["labels"]["team"] = "z"
    found["spec"]["paused"] = False
    assert told(found) == []


def test_what_may_stand_in_a_template_stays() -> None:
    """The annotation of `kubectl rollout restart`, the fence, and whatever the controllers say."""
    name = "kubectl.kubernetes.io/restartedAt"
    restarted: dict[str, Any] = {
        "f:spec": {"f:template": {"f:metadata": {"f:annotations": {".": {}, f"f:{name}": {}}}}}
    }
    fence: dict[str, Any] = {"f:metadata": {"f:annotations": {"f:agents.digitalsys/fence": {}}}}
    status = entry({"f:status": {"f:replicas": {}}}, "kube-controller-manager", "Update", subresource="status")
    found = live(entry(restarted, "kubectl-rollout", "Update"), entry(fence, FENCE_MANAGER), status)
    found["spec"]["template"]["metadata"]["annotations"][name] = "2026-11-28T02:00:00Z"
    assert told(found) == []


@pytest.mark.parametrize(
    ("kind", "field", "change"),
    [
        ("Deployment", "spec.template.spec.nodeSelector", {"other": "x"}),
        ("Deployment", "spec.template.spec.tolerations", [*TOLERATIONS, {"key": "x"}]),
        ("ExternalSecret", "spec.dataFrom", [{"extract": {"key": "agents/roberval", "version": "1"}}]),
        ("NetworkPolicy", "spec.podSelector", {"matchLabels": {"nobody": "x"}}),
    ],
)
def test_what_another_hand_puts_into_a_list_or_a_map_of_one_owner_is_told(kind: str, field: str, change: Any) -> None:
    """It stands in no field of its own, and nothing that is wanted is missing."""
    options = {"node_selector": {"pool": "bots"}, "tolerations": TOLERATIONS}
    wanted = next(one for one in rendered(agent(**options), Stamps("4")) if one["kind"] == kind)
    fields: dict[str, Any] = {}
    for step in reversed(field.split(".")):
        fields = {f"f:{step}": fields}
    found = served(wanted, managedFields=[entry(fields, "kubectl-edit", "Update")])
    place = found
    *above, name = field.split(".")
    for step in above:
        place = place[step]
    assert compare.compare(wanted, found) == [], "as it is wanted, whoever owns it"
    place[name] = {**place[name], **change} if isinstance(change, dict) else change
    lines = compare.shown(compare.compare(wanted, found))
    assert lines
    assert all("kubectl-edit" in line for line in lines), lines


def test_what_is_too_much_in_our_own_list_of_one_owner_is_told_as_a_change() -> None:
    """Trials B: a toleration was taken out of the inventory; no restart was foretold, and a new pod came."""
    two = [{"key": "a", "operator": "Exists"}, {"key": "b"}]
    found = live(entry(in_pod({"f:tolerations": {}})))
    found["spec"]["template"]["spec"]["tolerations"] = two
    (line,) = told(found, tolerations=two[:1])
    assert line.startswith("spec.template.spec.tolerations: [")
    assert line.endswith(f" -> {two[:1]}")
    assert told(found, tolerations=two) == []


def test_what_the_server_puts_in_is_nobodys_addition() -> None:
    """As after a restore from a dump: one manager has it all."""
    fields = in_pod({"f:dnsPolicy": {}, "f:restartPolicy": {}, "f:schedulerName": {}, "f:serviceAccount": {}})
    assert told(live(entry(fields, "velero-server", "Update"))) == []


def test_an_init_container_that_nobody_would_wait_for_is_told() -> None:
    """The server puts no restartPolicy there: with it, the gateway would start on any volume."""
    place = 'k:{"name":"seed"}'
    found = live(entry(in_pod({"f:initContainers": {place: {"f:restartPolicy": {}}}}), "kubectl-patch", "Update"))
    found["spec"]["template"]["spec"]["initContainers"][0]["restartPolicy"] = "Always"
    assert told(found) == [
        "spec.template.spec.initContainers[seed].restartPolicy added by kubectl-patch, removed",
    ]


def test_a_value_that_was_wanted_by_two_is_not_told_as_the_others_change() -> None:
    both = of_container({"f:env": {ENV: {"f:value": {}}}})
    found = live(entry(both), entry(both, "handbook"), env={"MARK": "two"})
    assert told(found, env={"MARK": "three"}) == [f"{PLACE}.env[MARK].value: 'two' -> 'three'"]


def test_a_mount_that_another_hand_adds_is_told_by_its_folder() -> None:
    fields: dict[str, Any] = {"f:volumeMounts": {'k:{"mountPath":"/x"}': {".": {}, "f:mountPath": {}, "f:name": {}}}}
    found = live(entry(of_container(fields), "kubectl-edit", "Update"))
    found["spec"]["template"]["spec"]["containers"][0]["volumeMounts"].append({"mountPath": "/x", "name": "state"})
    assert told(found) == [f"{PLACE}.volumeMounts[/x] added by kubectl-edit, removed"]


def test_an_external_secret_is_ours_whole_too() -> None:
    """Trials B11: refreshPolicy by hand; the plan was silent."""
    wanted = next(one for one in rendered(agent(), Stamps("4")) if one["kind"] == "ExternalSecret")
    found = served(wanted, managedFields=[entry({"f:spec": {"f:refreshPolicy": {}}}, "kubectl-edit", "Update")])
    found["spec"]["refreshPolicy"] = "CreatedOnce"
    assert compare.shown(compare.compare(wanted, found)) == ["spec.refreshPolicy added by kubectl-edit, removed"]


def test_a_long_value_is_cut_in_the_line() -> None:
    (line,) = differences({"a": "x" * 500}, {"a": "y" * 500})
    assert len(line) < 140


def test_a_person_sees_no_bookkeeping_in_a_diff() -> None:
    wanted = rendered(agent(), Stamps("4"))[-1]
    live = served(wanted, managedFields=[{"manager": "x"}], selfLink="/x")
    shown = readable(live, wanted)
    assert "status" not in shown
    assert shown["metadata"].keys() == {"name", "namespace", "labels", "annotations"}
    assert shown["metadata"]["annotations"] == {"agents.digitalsys/image-tag": "latest"}
    assert live["metadata"]["managedFields"], "the object itself stays as it was read"


def test_the_value_of_a_variable_that_another_hand_has_set_is_in_no_diff() -> None:
    value: dict[str, Any] = {".": {}, "f:name": {}, "f:value": {}}
    theirs: dict[str, Any] = {"f:env": {'k:{"name":"TOKEN"}': value}}
    ours: dict[str, Any] = {"f:env": {ENV: value}}
    entries = entry(of_container(theirs), "kubectl-set", "Update"), entry(of_container(ours))
    found = live(*entries, env={"MARK": "two"})
    variables = found["spec"]["template"]["spec"]["containers"][0]["env"]
    variables.append({"name": "TOKEN", "value": "geheim"})
    shown = readable(found, rendered(agent(env={"MARK": "two"}), Stamps("4"))[-1])["spec"]["template"]["spec"][
        "containers"
    ][0]["env"]
    assert shown == [{"name": "MARK", "value": "two"}, {"name": "TOKEN", "value": "********"}]
    assert variables[1]["value"] == "geheim", "the object itself stays as it was read"
    found["metadata"]["managedFields"] = []
    masked = readable(found, rendered(agent(env={"MARK": "two"}), Stamps("4"))[-1])
    assert "two" not in str(masked), "where somebody has cleared who owns what, nobody knows whose it is"


def test_nothing_is_readable_of_what_is_not_there() -> None:
    assert readable(None, {}) == {}
