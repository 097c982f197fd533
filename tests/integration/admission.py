"""An API server that refuses writes to one object: as a policy of the cluster does, and as the External Secrets
Operator's own webhook does where the operator is down."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from tests.integration.fleet import NAMESPACE, Object, apply, kubectl, until

_API = "admissionregistration.k8s.io/v1"
_NEVER = "false"
#: Nothing listens there.
_NOBODY = "https://127.0.0.1:9/"


def _rules(group: str, resource: str) -> list[Object]:
    return [{"apiGroups": [group], "apiVersions": ["*"], "operations": ["UPDATE"], "resources": [resource]}]


def _named(name: str) -> list[Object]:
    return [{"name": "named", "expression": f"object.metadata.name == '{name}'"}]


@contextmanager
def _in_force(made: list[Object], what: str, patch: Object) -> Iterator[None]:
    """While these are there such a patch of `what` is refused; before and afterwards it is not."""

    def taken() -> bool:
        words = ("--type=merge", "-p", json.dumps(patch), "--dry-run=server")
        return bool(kubectl("patch", what, "-n", NAMESPACE, *words, check=False))

    assert taken()
    try:
        apply(*made)
        until(lambda: not taken(), f"a patch of {what} is refused")
        yield
    finally:
        for one in made:
            kubectl("delete", one["kind"], one["metadata"]["name"], "--ignore-not-found")
        until(taken, f"a patch of {what} is taken again")


def _policy(name: str, group: str, resource: str, expression: str) -> list[Object]:
    spec = {
        "matchConstraints": {"resourceRules": _rules(group, resource)},
        "matchConditions": _named(name),
        "validations": [{"expression": expression, "message": "stock-taking"}],
    }
    return [
        {"apiVersion": _API, "kind": kind, "metadata": {"name": name}, "spec": spec}
        for kind, spec in (
            ("ValidatingAdmissionPolicy", spec),
            ("ValidatingAdmissionPolicyBinding", {"policyName": name, "validationActions": ["Deny"]}),
        )
    ]


_ANNOTATED: Object = {"metadata": {"annotations": {"asked": "by-a-test"}}}


@contextmanager
def no_sync_can_be_asked_for(agent: str) -> Iterator[None]:
    """A policy lets nobody write to the ExternalSecret."""
    name = f"{agent}-env-secret"
    with _in_force(
        _policy(name, "external-secrets.io", "externalsecrets", _NEVER), f"externalsecret/{name}", _ANNOTATED
    ):
        yield


@contextmanager
def no_pod_can_be_new(agent: str) -> Iterator[None]:
    """A policy lets nobody change the Deployment's template."""
    same = "object.spec.template == oldObject.spec.template"
    patch = {"spec": {"template": _ANNOTATED}}
    with _in_force(_policy(agent, "apps", "deployments", same), f"deployment/{agent}", patch):
        yield


@contextmanager
def only_with(agent: str, variable: str) -> Iterator[None]:
    """A policy lets nobody write a Deployment whose gateway has no such environment variable."""
    has_it = f"object.spec.template.spec.containers.all(c, has(c.env) && c.env.exists(e, e.name == '{variable}'))"
    patch = {"spec": {"template": _ANNOTATED}}
    with _in_force(_policy(agent, "apps", "deployments", has_it), f"deployment/{agent}", patch):
        yield


@contextmanager
def webhook_of_eso_is_down(agent: str) -> Iterator[None]:
    """Its words on the ExternalSecret are required, and nobody gives them."""
    name = f"{agent}-env-secret"
    webhook = {
        "name": f"{agent}.agents.digitalsys.example",
        "clientConfig": {"url": _NOBODY},
        "rules": _rules("external-secrets.io", "externalsecrets"),
        "matchConditions": _named(name),
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "timeoutSeconds": 1,
        "admissionReviewVersions": ["v1"],
    }
    made = {"apiVersion": _API, "kind": "ValidatingWebhookConfiguration", "metadata": {"name": name}}
    with _in_force([{**made, "webhooks": [webhook]}], f"externalsecret/{name}", _ANNOTATED):
        yield
