"""What counts as a write."""

from __future__ import annotations

import pytest

from tests.sandbox.proxy import is_write

DEPLOYMENT = "/apis/apps/v1/namespaces/bots/deployments/roberval"


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "LIST"])
def test_reading_is_no_write(method: str) -> None:
    assert not is_write(method, DEPLOYMENT)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "patch"])
@pytest.mark.parametrize("path", [DEPLOYMENT, "/v1/kv/data/agents/roberval", "/v1/auth/approle/role/roberval-role"])
def test_changing_is_a_write(method: str, path: str) -> None:
    assert is_write(method, path)


@pytest.mark.parametrize(
    ("query", "write"),
    [
        ("fieldManager=digitalsys.agents&force=true", True),
        ("fieldManager=digitalsys.agents&dryRun=All", False),
        ("dryRun=All&dryRun=All", False),
        ("dryRun=", True),
        ("dryRun=Some", True),
        ("note=dryRun%3DAll", True),
        ("xdryRun=All", True),
    ],
)
def test_a_dry_run_is_told_by_its_query(query: str, write: bool) -> None:
    assert is_write("PATCH", DEPLOYMENT, query) is write


@pytest.mark.parametrize(
    "path",
    [
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
        "/apis/authentication.k8s.io/v1/selfsubjectreviews",
        "/api/v1/namespaces/bots/pods/roberval-5d4/portforward",
        "/v1/auth/approle/login",
        "/v1/auth/userpass/login/alice",
        "/v1/auth/token/renew-self",
        "/v1/auth/approle/role/roberval-role/secret-id/lookup",
        "/v1/auth/approle/role/roberval-role/secret-id-accessor/lookup",
        "/v1/sys/capabilities-self",
    ],
)
def test_questions_tunnels_and_logins_are_no_writes(path: str) -> None:
    assert not is_write("POST", path)


@pytest.mark.parametrize(
    "path",
    [
        "/apis/authorization.k8s.io/v1/namespaces/bots/localsubjectaccessreviews",
        "/api/v1/namespaces/bots/pods/roberval-5d4/exec",
        "/api/v1/namespaces/bots/pods/portforward",
        "/api/v1/namespaces/bots/configmaps/portforward",
        "/v1/auth/approle/role/login",
        "/v1/auth/approle/role/login/secret-id",
        "/v1/kv/data/auth/approle/login",
        "/v1/auth/token/create",
        "/prefix/v1/auth/approle/login",
    ],
)
def test_what_only_looks_like_one_of_them_is_a_write(path: str) -> None:
    assert is_write("POST", path)
