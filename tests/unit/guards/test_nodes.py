# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No pod is told to end on a node that does not answer."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._guards.nodes import require_answering
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kinds import LEASE
from ansible_collections.digitalsys.agents.plugins.module_utils._options.agent import home
from tests.unit import builders

NOW = 1_800_000_000.0
HOME = home(builders.params())
ON_N1 = {"metadata": {"name": "roberval-x"}, "spec": {"nodeName": "n1"}}


class _Nodes:
    def __init__(self, *conditions: Any, is_there: bool = True, refuses: bool = False, renewed: int = 0) -> None:
        """renewed: seconds ago; 0 for a node without a Lease."""
        self._node = {"status": {"conditions": list(conditions)}} if is_there else None
        self._refuses = refuses
        at = datetime.datetime.fromtimestamp(NOW - renewed, datetime.UTC)
        self._lease = {"spec": {"renewTime": at.strftime("%Y-%m-%dT%H:%M:%S.000000Z")}} if renewed else None
        self.asked: list[str] = []

    def get(self, kind: Any, _namespace: str, name: str) -> Any:
        self.asked.append(name)
        if self._refuses:
            raise AgentError(ErrorKind.FORBIDDEN, "not allowed: GET nodes/n1")
        return self._lease if kind is LEASE else self._node

    def server_time(self) -> float:
        return NOW


@pytest.mark.parametrize("status", ["Unknown", "False"])
def test_a_silent_node_is_named_with_its_pod_and_since_when(status: str) -> None:
    ready = {**builders.condition("Ready", status, message="Kubelet stopped posting node status."),
             "lastTransitionTime": "2026-11-01T10:00:00Z"}  # fmt: skip
    with pytest.raises(AgentError) as refused:
        require_answering(_Nodes(ready), HOME, [ON_N1])  # type: ignore[arg-type]
    assert "node n1, where pod roberval-x runs, is not Ready since 2026-11-01T10:00:00Z" in refused.value.message
    assert "Kubelet stopped posting node status." in refused.value.message
    assert refused.value.details == {"pod": "roberval-x", "node": "n1"}


def test_a_node_that_is_still_called_ready_and_has_not_renewed_its_lease_is_silent_too() -> None:
    """Trials A8: Kubernetes itself waits for up to 50 s."""
    with pytest.raises(AgentError, match="node n1, where pod roberval-x runs, has not renewed its Lease since 20"):
        require_answering(
            _Nodes(builders.condition("Ready", "True"), renewed=45),  # type: ignore[arg-type]
            HOME,
            [ON_N1],
        )


@pytest.mark.parametrize(
    ("nodes", "pods", "told"),
    [
        (_Nodes(builders.condition("Ready", "True")), [ON_N1], False),
        (_Nodes(builders.condition("Ready", "True"), renewed=40), [ON_N1], False),
        (_Nodes(is_there=False), [ON_N1], False),
        (_Nodes(), [{"metadata": {"name": "roberval-x"}, "spec": {}}], False),
        (_Nodes(), [], False),
        (_Nodes(refuses=True), [ON_N1], True),
    ],
    ids=["ready", "renewed", "node gone", "not scheduled", "no pod", "no right"],
)
def test_all_else_goes_on_and_what_was_not_looked_at_is_told(nodes: _Nodes, pods: list[Any], told: bool) -> None:
    words = require_answering(nodes, HOME, pods)  # type: ignore[arg-type]
    assert bool(words) is told
    assert not told or "was not looked at" in words
