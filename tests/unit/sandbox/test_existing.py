"""The guard before somebody's own cluster."""

from __future__ import annotations

import pytest

from tests.sandbox import existing
from tests.sandbox.errors import SandboxError

_ALL = {
    "KUBECONFIG": "/somewhere/config",
    "VAULT_ADDR": "http://127.0.0.1:8200",
    "VAULT_TOKEN": "a-token",
    "AGENTS_SANDBOX_CAPABILITIES": "kubelet, real-image,",
}


def test_four_variables_are_enough() -> None:
    found = existing.from_environment(_ALL)
    assert (found.kubeconfig, found.vault_addr, found.vault_token) == tuple(_ALL.values())[:3]
    assert found.capabilities == {"kubelet", "real-image"}


@pytest.mark.parametrize("name", _ALL)
def test_a_missing_one_is_named(name: str) -> None:
    with pytest.raises(SandboxError, match=f"not set: {name}\\."):
        existing.from_environment({key: value for key, value in _ALL.items() if key != name})


def test_no_capability_at_all_is_an_answer_too() -> None:
    assert existing.from_environment({**_ALL, "AGENTS_SANDBOX_CAPABILITIES": ""}).capabilities == frozenset()
