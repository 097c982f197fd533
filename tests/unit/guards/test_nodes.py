# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No pod is told to end on a node that does not answer."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._guards.nodes import require_answering
from ansible_collections.digitalsys.agents.plugins.module_utils._options.agent import home
from tests.unit import builders

HOME = home(builders.params())
ON_N1 = {"metadata": {"name": "roberval-x"}, "spec": {"nodeName": "n1"}}


class _Nodes:
    def __init__(self, *conditions: Any, is_there: bool = True, refuses: bool = False) -> None:
        self._node = {"status": {"conditions": list(conditions)}} if is_there else None
        self._refuses = refuses
        self.asked: list[str] = []

    def get(self, _kind: Any, _namespace: str, name: str) -> Any:
        self.asked.append(name)
        if self._refuses:
            raise AgentError(ErrorKind.FORBIDDEN, "not allowed: GET nodes/n1")
        return self._node


@pytest.mark.parametrize("status", ["Unknown", "False"])
def test_a_silent_node_is_named_with_its_pod_and_since_when(status: str) -> None:
    ready = {**builders.condition("Ready", status, message="Kubelet stopped posting node status."),
             "lastTransitionTime": "2026-11-01T10:00:00Z"}  # fmt: skip
    with pytest.raises(AgentError) as refused:
        require_answering(_Nodes(ready), HOME, [ON_N1])  # type: ignore[arg-type]
    assert "node n1, where pod roberval-x runs, is not Ready since 2026-11-01T10:00:00Z" in refused.value.message
    assert "Kubelet stopped posting node status." in refused.value.message
    assert refused.value.details == {"pod": "roberval-x", "node": "n1"}


@pytest.mark.parametrize(
    ("nodes", "pods", "told"),
    [
        (_Nodes(builders.condition("Ready", "True")), [ON_N1], False),
        (_Nodes(is_there=False), [ON_N1], False),
        (_Nodes(), [{"metadata": {"name": "roberval-x"}, "spec": {}}], False),
        (_Nodes(), [], False),
        (_Nodes(refuses=True), [ON_N1], True),
    ],
    ids=["ready", "node gone", "not scheduled", "no pod", "no right"],
)
def test_all_else_goes_on_and_what_was_not_looked_at_is_told(nodes: _Nodes, pods: list[Any], told: bool) -> None:
    words = require_answering(nodes, HOME, pods)  # type: ignore[arg-type]
    assert bool(words) is told
    assert not told or "was not looked at" in words
