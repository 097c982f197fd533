# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API server's refusals mean."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kubernetes.client.exceptions import ApiException

from ansible_collections.digitalsys.agents.plugins.module_utils._core.timeouts import SETTLING
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.errors import (
    is_retryable,
    refusal,
    refused_handshake,
    status_of,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.managed_fields import conflicting_managers

PATH = "/apis/apps/v1/namespaces/bots/deployments/roberval"


def status(message: str = "", **more: Any) -> str:
    return json.dumps({"kind": "Status", "message": message, **more})


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
def test_a_passing_fault_is_tried_again(code: int) -> None:
    assert is_retryable(code, {"message": "etcdserver: leader changed"})


@pytest.mark.parametrize("code", [400, 401, 403, 404, 405, 409, 410, 413, 415, 422])
def test_a_refusal_is_not_tried_again(code: int) -> None:
    assert not is_retryable(code, {})


@pytest.mark.parametrize("code", [401, 403])
def test_a_server_that_was_away_a_moment_ago_may_refuse_what_it_has_not_loaded_yet(code: int) -> None:
    assert is_retryable(code, {}, since_broken=SETTLING - 1)
    assert not is_retryable(code, {}, since_broken=SETTLING + 1)
    assert not is_retryable(404, {}, since_broken=0)


def test_a_schema_error_dressed_as_a_500_is_not_tried_again() -> None:
    assert not is_retryable(
        500,
        {"message": "failed to create typed patch object (bots/roberval; apps/v1): .spec.x: field not declared"},
    )


@pytest.mark.parametrize("body", [None, "", "upstream connect error", "<html>", "[1]", '"x"', "3", b"\xff\xfe", b""])
def test_an_answer_that_is_no_status_is_none(body: Any) -> None:
    assert status_of(body) == {}


@pytest.mark.parametrize("body", [status("words"), status("words").encode()])
def test_a_status_is_read_from_text_and_bytes(body: Any) -> None:
    assert status_of(body)["message"] == "words"


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        (401, "Unauthorized", "unauthorized"),
        (403, 'deployments.apps "roberval" is forbidden: User "x" cannot patch resource', "forbidden"),
        (403, 'admission webhook "policy.example.com" denied the request: no latest tags', "conflict"),
        (
            403,
            'persistentvolumeclaims "x" is forbidden: exceeded quota: bots, requested: 1, used: 3, limited: 3',
            "conflict",
        ),
        (403, 'pods "x" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot', "conflict"),
        (404, "not found", "not_found"),
        (409, "the object has been modified", "conflict"),
        (422, "Deployment is invalid", "invalid"),
        (503, "apiserver not ready", "unavailable"),
        (500, "failed to create typed patch object", "unavailable"),
        (405, "method not allowed", "conflict"),
    ],
)
def test_each_refusal_has_its_kind_and_keeps_the_servers_words(code: int, message: str, kind: str) -> None:
    error = refusal("PATCH", f"{PATH}?fieldManager=x", code, status(message))
    assert error.kind.value == kind
    assert error.details["status_code"] == code
    assert error.details["request"] == f"PATCH {PATH}"
    if code not in (401, 404):
        assert message in error.message


@pytest.mark.parametrize("code", [403, 404, 409, 422, 503])
def test_a_refusal_names_the_object_and_its_namespace(code: int) -> None:
    assert "deployments/roberval in namespace bots" in refusal("PATCH", PATH, code, status("words")).message


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("/api/v1/namespaces/kube-system", "namespaces/kube-system"),
        ("/apis/storage.k8s.io/v1/storageclasses/fast", "storageclasses/fast"),
        ("/api/v1/namespaces/bots/pods/x/log", "pods/x/log in namespace bots"),
        ("/version", "/version"),
    ],
)
def test_paths_outside_a_namespace_are_named_too(path: str, what: str) -> None:
    assert refusal("GET", path, 404, status()).message == f"{what} is not there"


@pytest.mark.parametrize("body", ["denied by the gateway", b"denied by the gateway"])
def test_a_proxys_plain_text_is_shown_as_it_is(body: Any) -> None:
    assert refusal("GET", PATH, 403, body).message.endswith(": denied by the gateway")


def test_a_proxys_page_does_not_fill_the_screen() -> None:
    assert len(refusal("GET", PATH, 502, "<p>" * 5000).message) < 500


def test_a_field_of_another_manager_is_named_with_its_owner() -> None:
    causes = [
        {"reason": "FieldManagerConflict", "message": 'conflict with "argocd" using apps/v1', "field": ".spec.replicas"}
    ]
    error = refusal("PATCH", PATH, 409, status("Apply failed with 1 conflict", details={"causes": causes}))
    assert ".spec.replicas belongs to argocd" in error.message
    assert error.details["owners"] == {".spec.replicas": "argocd"}
    assert "take_ownership" in error.hint


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"details": None},
        {"details": {"causes": None}},
        {"details": {"causes": [{"reason": "UnexpectedServerResponse", "message": 'conflict with "x"'}]}},
    ],
)
def test_another_conflict_has_no_owners(given: dict[str, Any]) -> None:
    assert conflicting_managers(given) == {}
    assert "owners" not in refusal("PUT", PATH, 409, json.dumps(given)).details


def test_an_invalid_object_is_told_field_by_field_four_at_the_most() -> None:
    causes = [{"field": f"spec.x{number}", "message": "Invalid value"} for number in range(9)]
    error = refusal("PATCH", PATH, 422, status("long words", details={"causes": causes}))
    assert error.message.count("Invalid value") == 4
    assert "spec.x0: Invalid value" in error.message


@pytest.mark.parametrize(("code", "words"), [(403, "Forbidden"), (404, "Not Found"), (500, "Internal Server Error")])
def test_a_websocket_that_is_refused_says_its_status_in_words(code: int, words: str) -> None:
    """As the client library raises it: status 0, and all that it knows in the reason."""
    reason = f"Handshake status {code} {words} -+-+- {{'content-length': '19'}} -+-+- no"
    assert refused_handshake(ApiException(status=0, reason=reason)) == code
    assert refused_handshake(ApiException(status=0, reason="[Errno 104] Connection reset by peer")) == 0
    assert refused_handshake(OSError("403")) == 0
