# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which agents get a new pod that nobody asked for."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._agent import releases
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.facts import Proved
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.live import Live
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.manifests import Stamps
from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Object
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.due import due_restart, of_pods, why
from tests.unit.builders import agent, deployment, record

END = {"terminated": {"exitCode": 66, "message": "expected 0a1b, found none"}}


def pod(**status: Any) -> Object:
    claim = {"name": "state", "persistentVolumeClaim": {"claimName": "roberval-state"}}
    spec = {"containers": [{"name": "openclaw"}], "volumes": [claim]}
    return {"metadata": {"name": "roberval-x", "uid": "0a1b2c3d-4e5f"}, "spec": spec, "status": status}


def of_gateway(state: Object, **more: Any) -> list[Object]:
    return [{"name": "openclaw", "state": state, "restartCount": 3, **more}]


def test_a_pod_that_was_refused_has_a_key_for_the_next_one() -> None:
    assert of_pods([pod()]) == ""
    refused = pod(initContainerStatuses=[{"name": "seed", "state": {"waiting": {}}, "lastState": END}])
    assert of_pods([refused]) == "volume/0a1b2c3d"
    assert why("volume/0a1b2c3d") == "its volume was refused: a new pod looks again"


@pytest.mark.parametrize(
    ("state", "key"),
    [
        ({"running": {}}, ""),
        ({"terminated": {"exitCode": 1}}, ""),
        ({"waiting": {"reason": "CrashLoopBackOff"}}, "crash/0a1b2c3d"),
    ],
)
def test_a_pod_that_ends_again_and_again_has_one_too(state: Object, key: str) -> None:
    """Trials C7."""
    assert of_pods([pod(containerStatuses=of_gateway(state))]) == key


class Server:
    """Has the Secret, as of this version; None for none."""

    def __init__(self, version: str | None) -> None:
        self.version = version
        self.asked = 0

    def get_metadata(self, _kind: Any, _namespace: str, name: str) -> Object | None:
        assert name == "roberval-env"
        self.asked += 1
        return {"metadata": {"resourceVersion": self.version}} if self.version else None


def due(proved: Proved | None, container: str, version: str | None = "70") -> tuple[str, int]:
    """The key, and how often the Secret was asked for."""
    made = deployment(agent(), Stamps("4"))
    known = record(made, proved=proved) if proved else None
    kept = releases.manifest(agent(), [], known) if known else {"metadata": {"name": "x"}}
    live = Live("roberval", {"Deployment": made, "ConfigMap": kept})
    server: Any = Server(version)
    one = pod(containerStatuses=of_gateway({"running": {}}, containerID=container))
    return due_restart(server, "bots", live, [one]), server.asked


PROVED = Proved(container="containerd://aaaa1111bbbb2222", secret="70")


@pytest.mark.parametrize("container", [PROVED.container, ""])
def test_a_container_that_was_proved_is_not_asked_about(container: str) -> None:
    assert due(PROVED, container, "71") == ("", 0)


def test_a_container_that_began_again_reads_what_was_proved_while_the_secret_is_the_same() -> None:
    assert due(PROVED, "containerd://cccc3333dddd4444") == ("", 1)


@pytest.mark.parametrize("version", ["71", None])
def test_a_container_that_began_again_with_another_secret_is_restarted(version: str | None) -> None:
    """Trials C15: Vault had the old values again, and the container those from in between."""
    assert due(PROVED, "containerd://cccc3333dddd4444", version) == ("secret/cccc3333dddd", 1)
    assert "what it reads is not known" in why("secret/cccc3333dddd")


@pytest.mark.parametrize("proved", [None, Proved(), Proved(container="x"), Proved(secret="70")])
def test_where_nobody_looked_nothing_is_due(proved: Proved | None) -> None:
    assert due(proved, "containerd://cccc3333dddd4444", "71") == ("", 0)


def test_a_restart_that_was_asked_for_has_no_such_word() -> None:
    assert why("job-812") == ""
