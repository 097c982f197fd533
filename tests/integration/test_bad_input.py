"""Bad input is refused before the first request, what needs a look before the first write: counted at the proxy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.failing import error_of
from tests.integration.fleet import NAMESPACE, Fleet, Object, Run, apply, get, until, versions
from tests.sandbox.paths import CHECKOUT
from tests.sandbox.proxy.clients import Through

Make = Callable[..., Fleet]
BY_PATH, BY_NAME, ROTATE = "rollout.yml", "digitalsys.agents.rollout", "playbooks/rotate.yml"
#: A folder in which there is no ansible.cfg; '' would mean the working directory's.
NO_SETTINGS = {"ANSIBLE_CONFIG": "/proc/self/fdinfo"}
#: Each costs a start of ansible: one of each kind. tests/unit/filter/test_known_agents.py has all spellings.
BAD_WORDS = {
    BY_PATH: ("mal-tres", "../x", "", "all", "!mal-um", "mal-um\n"),
    BY_NAME: ("mal-tres", "", "~mal.*", "agents[0]"),
    ROTATE: ("mal-tres", ""),
}
#: --limit beside -e agent=mal-um, and the order of the two.
BAD_LIMITS = {
    BY_PATH: ("mal-dois", "mal-um,mal-dois", "mal-um,nobody"),
    BY_NAME: ("mal-dois", "mal-*"),
    ROTATE: ("mal-dois",),
}


class _Literal(str):
    """A text that ansible must not template."""


yaml.SafeDumper.add_representer(_Literal, lambda dumper, text: dumper.represent_scalar("!unsafe", str(text), style="'"))


def _play(fleet: Fleet, tasks: list[Object], env: dict[str, str], **variables: Any) -> Run:
    """A playbook of these tasks on localhost, which goes on after a failure."""
    play = {"hosts": "localhost", "gather_facts": False, "vars": variables, "tasks": tasks, "ignore_errors": True}
    file = fleet.folder / "play.yml"
    file.write_text(yaml.safe_dump([play], allow_unicode=True))
    return fleet.play(str(file), env=env)


def _refusals(run: Run) -> list[Object]:
    """The results of the last task's loop, all of them failures."""
    items: list[Object] = run.results["localhost"]["results"]
    for one in items:
        assert one.get("failed"), f"not refused: {one['item']}\n{run.output}"
    return items


@pytest.mark.parametrize("playbook", [BY_PATH, BY_NAME, ROTATE])
def test_a_name_that_is_no_agents_is_refused_before_any_request(
    make_fleet: Make, proxy: Through, tmp_path: Path, playbook: str
) -> None:
    fleet = make_fleet("mal-um", "mal-dois", provide=False)
    env = {**proxy.environment, **(NO_SETTINGS if playbook == BY_NAME else {})}
    cwd = tmp_path if playbook == BY_NAME else CHECKOUT
    for word in BAD_WORDS[playbook]:
        run = fleet.play(playbook, "-e", yaml.safe_dump({"agent": word}, default_flow_style=True), env=env, cwd=cwd)
        run.failed("the agents are: mal-dois, mal-um")
        assert not run.results, run.output
    for number, limit in enumerate(BAD_LIMITS[playbook]):
        words = ["-e", "agent=mal-um", "--limit", limit]
        run = fleet.play(playbook, *(words[2:] + words[:2] if number % 2 else words), env=env, cwd=cwd)
        run.failed("nobody" if "nobody" in limit else "disagree" if "*" not in limit else "--limit")
        assert not run.results, run.output
    for limit in ("", "mal-*", "nobody") if playbook == BY_PATH else ("mal-*",):
        assert not fleet.play(playbook, "--limit", limit, env=env, cwd=cwd).failed().results
    assert proxy.proxy.requests() == []


def _agent(**options: Any) -> Object:
    return {
        "image": "127.0.0.1:15000/digitalsys/testgateway:latest",
        "vault_server": "http://127.0.0.1:18200",
        **options,
    }


_OPTIONS: list[tuple[str, Any]] = [
    *(
        ("volume_size", word)
        for word in ("10gi", "1e3", "-1Gi", "10 Gi", "0", "25GiB", "10Gi\n", _Literal("{{ 10 }}Gi"))
    ),
    ("requests", {"memory": "1gi"}),
    ("limits", {"memory": "0"}),
    ("volume_class", "Do Block"),
    ("namespace", "Bots"),
    ("namespace", "bots/x"),
    ("image", "testgateway latest"),
    ("image", "127.0.0.1:15000/x@sha256:12"),
    ("vault_server", "vault.example.com"),
    ("vault_path", "agents/../other"),
    ("required_keys", ["github_token"]),
    ("env", {"A-B": "x"}),
    ("env", {"A": {"b": "c"}}),
    ("plugins", ["@openclaw/discord; rm -rf /"]),
    ("capabilities", ["all"]),
    ("grace_seconds", 0),
    ("network", "closed"),
    ("secret_refresh", "every minute"),
    ("no_such_option", "x"),
]
_NAMES = (
    "../x",
    "roberval; rm",
    "ROBERVAL",
    "x" * 300,
    "-a",
    "a-",
    "a.b",
    "r\u043eberval",
    "roberval\n",
    "*",
    "~re",
    "x[0]",
)


def test_no_bad_name_quantity_or_text_reaches_a_server(make_fleet: Make, proxy: Through) -> None:
    fleet = make_fleet("mal-um", provide=False)
    cases = [{"option": "name", "agents": {name: _agent()}} for name in _NAMES]
    cases += [{"option": option, "agents": {"mal-um": _agent(**{option: value})}} for option, value in _OPTIONS]
    uid = {"cluster_uid": "{{ lookup('ansible.builtin.env', 'AGENTS_SANDBOX_CLUSTER_UID') }}"}
    plan = {"digitalsys.agents.agent_plan": {"agents": "{{ item.agents }}", **uid}, "loop": "{{ cases }}"}
    refused = _refusals(_play(fleet, [plan], dict(proxy.environment), cases=cases))
    assert len(refused) == len(cases)
    for case, one in zip(cases, refused, strict=True):
        assert one["error"]["kind"] == "invalid", one
        message, name = one["msg"], next(iter(case["agents"]))
        assert len(message) < 600
        if case["option"] == "name":
            assert "is not the name of an agent" in message
        else:
            assert name in message
            assert case["option"] in message
    assert proxy.proxy.requests() == []


def test_the_modules_themselves_refuse_a_name_before_any_request(make_fleet: Make, proxy: Through) -> None:
    """Not every playbook is ours: someone's own task may loop over names from anywhere."""
    fleet = make_fleet("mal-um", provide=False)
    seen = 0
    for module in ("agent", "agent_rollout", "agent_access", "agent_rotation"):
        options = _agent() if module in ("agent", "agent_rollout") else {}
        task = {f"digitalsys.agents.{module}": {"name": "{{ item }}", **options}, "loop": list(_NAMES)}
        seen += len(_refusals(_play(fleet, [task], dict(proxy.environment))))
    assert seen == 4 * len(_NAMES)
    assert proxy.proxy.requests() == []


def _claim(name: str, **labels: str) -> Object:
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "do-block-storage",
        "resources": {"requests": {"storage": "25Gi"}},
    }
    meta = {"name": f"{name}-state", "namespace": NAMESPACE, "labels": labels}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec}


def _ours(name: str) -> dict[str, str]:
    return {"app.kubernetes.io/managed-by": "digitalsys.agents", "app.kubernetes.io/instance": name}


def _of(name: str) -> dict[str, str]:
    return {key: version for key, version in versions().items() if name in key}


def test_what_needs_a_look_to_be_refused_is_refused_before_any_write(make_fleet: Make, proxy: Through) -> None:
    fleet = make_fleet("mal-olhar")
    apply(_claim("mal-olhar", **_ours("mal-olhar")))
    until(lambda: (get("pvc", "mal-olhar-state") or {})["status"]["phase"] == "Bound", "the claim is bound")
    before = _of("mal-olhar")
    cases: list[tuple[Object, tuple[str, ...]]] = [
        ({"agent_volume_size": "25599Mi"}, ("25Gi", "25599Mi", "volumes never shrink")),
        ({"agent_volume_size": "25Gi", "agent_volume_class": "fast"}, ("do-block-storage", "fast")),
        (
            {"agent_cluster_uid": "00000000-0000-0000-0000-000000000000"},
            ("but the inventory means 00000000", "KUBECONFIG"),
        ),
        ({"agent_cluster_uid": ""}, ("does not say which cluster is meant", "set agent_cluster_uid: ")),
    ]
    for variables, words in cases:
        fleet.variables = variables
        for more in ((), ("--check",)) if "agent_volume_size" in variables else ((),):
            run = fleet.rollout("mal-olhar", *more, env=proxy.environment).failed()
            for word in words:
                assert word in run.message("mal-olhar"), run.output
            assert len(run.message("mal-olhar").splitlines()) <= 10
    assert proxy.proxy.requests()
    assert proxy.proxy.writes() == []
    assert _of("mal-olhar") == before


def _strangers(name: str) -> dict[str, Object]:
    """One object of each kind that a rollout writes, made by somebody else, under the name that ours would have."""
    meta = {"name": name, "namespace": NAMESPACE}
    labels = {"app": name}
    container = {
        "name": "openclaw",
        "image": "127.0.0.1:15000/digitalsys/testgateway:latest",
        "imagePullPolicy": "Never",
    }
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    vault = {
        "server": "http://127.0.0.1:1",
        "path": "kv",
        "version": "v2",
        "auth": {"tokenSecretRef": {"name": "x", "key": "x"}},
    }
    store = {"provider": {"vault": vault}}
    data = {
        "dataFrom": [{"extract": {"key": "x"}}],
        "secretStoreRef": {"name": "nowhere"},
        "target": {"name": f"{name}-env"},
    }
    return {
        "Deployment": {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta,
                       "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}},
        "ServiceAccount": {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
        "PersistentVolumeClaim": _claim(name),
        "NetworkPolicy": {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": meta,
                          "spec": {"podSelector": {}}},
        "SecretStore": {"apiVersion": "external-secrets.io/v1", "kind": "SecretStore",
                        "metadata": {**meta, "name": f"{name}-vault"}, "spec": store},
        "ExternalSecret": {"apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret",
                           "metadata": {**meta, "name": f"{name}-env-secret"}, "spec": data},
        "ConfigMap": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {**meta, "name": f"{name}-releases"},
                      "data": {"x": "y"}},
    }  # fmt: skip


def test_an_object_that_is_not_ours_stops_the_run_before_any_write(make_fleet: Make, proxy: Through) -> None:
    kinds = list(_strangers("x"))
    names = {kind: f"mal-{kind.lower()[:14]}" for kind in kinds}
    fleet = make_fleet(*names.values(), variables={"agent_take_ownership": True, "agent_node_selector": {}})
    strangers = [_strangers(name)[kind] for kind, name in names.items()]
    apply(*strangers)
    # One by one through the module, which looks by name, under its lock; the plan below looks by label, before any.
    task = {
        "digitalsys.agents.agent_rollout": {
            **_agent(), "namespace": NAMESPACE, "name": "{{ item }}", "take_ownership": True,
            "cluster_uid": "{{ lookup('ansible.builtin.env', 'AGENTS_SANDBOX_CLUSTER_UID') }}",
        },
        "loop": list(names.values()),
    }  # fmt: skip
    refused = _refusals(_play(fleet, [task], dict(proxy.environment)))
    for kind, one in zip(kinds, refused, strict=True):
        assert one["error"]["kind"] == "not_ours", one
        assert f"{kind} {names[kind]}" in one["msg"]
    for kind in ("Deployment", "ExternalSecret"):
        name = names[kind]
        run = fleet.rollout(name, env=proxy.environment).failed(f"{kind} {name}", "was not made by this collection")
        assert error_of(run, name)["kind"] == "not_ours"
    assert [one for one in proxy.proxy.writes() if "/leases" not in one.path] == []
    for one in strangers:
        kind, name = one["kind"], one["metadata"]["name"]
        live = get(kind, name)
        assert live, f"{kind} {name} has gone"
        assert "app.kubernetes.io/managed-by" not in (live["metadata"].get("labels") or {})
        assert "digitalsys.agents" not in {entry["manager"] for entry in live["metadata"].get("managedFields") or []}
