"""What an operator rotates every day, on the small image: proved in the pod, once, and in waves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
import yaml

from tests.integration.fleet import KWOK, NAMESPACE, Fleet, apply, gateway, kubectl, pods, versions
from tests.integration.podwatch import PodWatch
from tests.integration.rotating import (
    TOKEN,
    bring,
    inbox,
    journal,
    secret,
    stamp,
    told,
    values_left,
    vault_version,
)
from tests.integration.writes import releases
from tests.sandbox.addresses import IDENTITIES_NAMESPACE
from tests.sandbox.paths import CHECKOUT
from tests.sandbox.proxy import Through

Make = Callable[..., Fleet]


def test_a_new_token_runs_in_the_pod_and_the_old_one_is_refused(make_fleet: Make, proxy: Through) -> None:
    agent = "troca-um"
    fleet = make_fleet(agent, variables={"agent_secret_refresh": "1h"})
    fleet.rollout(agent).ok()
    old, before = fleet.values(agent), versions(agent)
    words = ("-e", f"keys={TOKEN}", "-e", "rotation_id=marco-2026")

    # I11: the plan alone writes nothing.
    foretold = fleet.rotate(agent, *words, "--check", "--diff", env=proxy.environment).ok()
    assert f"would rotate {TOKEN}" in foretold.output
    assert not proxy.proxy.writes()
    assert versions(agent) == before
    assert fleet.values(agent) == old
    assert not journal(agent)

    with PodWatch() as watch:
        run = fleet.rotate(agent, *words).ok()
        assert run.changed(agent)
    new = fleet.values(agent)
    # I1: the named key alone. I6: one new pod, never two.
    assert {**old, TOKEN: new[TOKEN]} == new
    assert new[TOKEN] != old[TOKEN]
    assert len(watch.seen[agent]) == 2
    assert not [names for names in watch.together if names[0].startswith(f"{agent}-")]
    assert secret(agent) == new
    assert stamp(agent) == str(vault_version(agent)) == run.results[agent]["secret_version"] == "2"
    assert gateway(agent, new[TOKEN]) == 200
    assert gateway(agent, old[TOKEN]) == 401
    assert "the gateway refuses the old token" in run.output
    assert journal(agent)["phase"] == "finished"
    assert not values_left(agent)
    assert told(agent)["rotation_id"] == "marco-2026"
    assert told(agent)[f"rotated_at.{TOKEN}"].isdigit()
    assert releases(agent) == ["r1", "r2"]
    for value in (*old.values(), *new.values()):
        assert value not in run.output + json.dumps(run.results)

    # The same rotation is not repeated; and a rollout finds nothing to do.
    before = versions(agent)
    again = fleet.rotate(agent, *words).ok()
    assert not again.changed(agent)
    assert "rotation marco-2026 of OPENCLAW_GATEWAY_TOKEN is finished already" in again.output
    assert "nothing to do for troca-um" in fleet.rollout(agent).ok().output
    assert versions(agent) == before
    assert fleet.values(agent) == new


def test_what_a_person_brings_and_what_is_due(make_fleet: Make) -> None:
    agent = "troca-duas"
    policy = {TOKEN: {"generated": 48, "max_age": "90d"}, "LINEAR_API_KEY": {}, "CERTIFICATE": {"multi_line": True}}
    fleet = make_fleet(agent, variables={"agent_secret_refresh": "1h", "agent_key_policy": policy})
    fleet.rollout(agent).ok()
    old = fleet.values(agent)
    # Nobody generates what a person brings: named, and nothing begun.
    fleet.rotate(agent, "-e", "keys=LINEAR_API_KEY").failed("LINEAR_API_KEY is brought by a person", "agents-inbox")
    assert not journal(agent)
    # In one rotation: what lies in the inbox, one of it a new key, and the token, whose age nobody knows.
    lines = "one\ntwo {{ 6 * 7 }}"
    bring(agent, LINEAR_API_KEY="lin-2", CERTIFICATE=lines)
    fleet.rotate(agent).ok()
    new = fleet.values(agent)
    assert new == {**old, "LINEAR_API_KEY": "lin-2", "CERTIFICATE": lines, TOKEN: new[TOKEN]}
    assert len(new[TOKEN]) == 64  # 48 random bytes
    assert vault_version(agent) == 2
    assert inbox(agent) == {}
    assert not values_left(agent)
    pod = pods(agent)[0]["metadata"]["name"]
    words = ("exec", "-n", NAMESPACE, pod, "-c", "openclaw", "--", "printenv", "CERTIFICATE")
    assert kubectl(*words) == f"{lines}\n"
    # Now nothing is due any more.
    before = versions(agent)
    assert not (run := fleet.rotate(agent).ok()).changed(agent)
    assert "nothing is due" in run.output
    assert versions(agent) == before


@pytest.fixture
def may_exec(needs: Callable[..., None]) -> Iterator[None]:
    """The operator with the right that agent_verify: exec needs, from the file that is shipped."""
    needs("admin", "kubelet")
    role = yaml.safe_load((CHECKOUT / "docs/permissions/operator-exec.yaml").read_text())
    name = role["metadata"]["name"]
    role["metadata"]["namespace"] = NAMESPACE
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": "agents-operator", "namespace": IDENTITIES_NAMESPACE}],
    }
    apply(role, binding)
    yield
    kubectl("delete", f"role/{name}", f"rolebinding/{name}", "-n", NAMESPACE)


@pytest.mark.usefixtures("may_exec")
def test_the_pod_itself_proves_each_new_value_where_that_is_allowed(make_fleet: Make) -> None:
    agent = "troca-prova"
    fleet = make_fleet(agent, variables={"agent_verify": "exec"})
    fleet.rollout(agent).ok()
    bring(agent, GITHUB_TOKEN='it\'s "hard" to $quote {{ 7 }} ü')
    run = fleet.rotate(agent, "-e", f"keys=GITHUB_TOKEN,{TOKEN}").ok()
    assert f"the pod has the new GITHUB_TOKEN, {TOKEN}" in run.output


@pytest.mark.usefixtures("fake_nodes")
def test_the_fleet_is_rotated_in_waves_and_stops_at_the_first_failure(make_fleet: Make) -> None:
    names = [f"troca-onda-{number}" for number in range(6)]
    fleet = make_fleet(*names, host_variables=dict.fromkeys(names, KWOK), canaries=names[5:])
    fleet.rollout("").ok()
    old = {name: fleet.values(name) for name in names}
    # The one of the second wave does not follow Vault: it is found out before anything is written.
    broken = names[0]
    kubectl(
        "patch", "externalsecret", f"{broken}-env-secret", "-n", NAMESPACE, "--type=merge",
        "-p", '{"spec":{"refreshInterval":"0"}}',
    )  # fmt: skip
    run = fleet.rotate("", "-e", f"keys={TOKEN}").failed("refreshInterval 0, so it never refreshes")
    done = [name for name in names if fleet.values(name)[TOKEN] != old[name][TOKEN]]
    untouched = [name for name in names if not journal(name)]
    # The canary, then a quarter of six.
    assert done == [names[5]]
    assert untouched == names[:5]
    assert f"Not reached: {', '.join(names[1:5])}" in run.output
    assert all(fleet.values(name) == old[name] for name in untouched)
