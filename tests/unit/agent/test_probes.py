# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the kubelet asks the gateway. What the scripts of these probes do, run: test_container_scripts."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._agent.manifests import Stamps
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.probes import listens_on_the_pods_address
from tests.unit.builders import agent, deployment


def gateway_of(**options: Any) -> dict[str, Any]:
    made: dict[str, Any] = deployment(agent(**options), Stamps())["spec"]["template"]["spec"]["containers"][0]
    return made


def test_a_busy_agent_is_not_killed_by_an_impatient_probe() -> None:
    liveness, startup = (gateway_of(startup_seconds=300)[name] for name in ("livenessProbe", "startupProbe"))
    assert (liveness["timeoutSeconds"], liveness["periodSeconds"], liveness["failureThreshold"]) == (10, 30, 6)
    assert startup["periodSeconds"] * startup["failureThreshold"] == 300


@pytest.mark.parametrize("bind", ["lan", "loopback"])
def test_curl_gives_up_before_the_kubelet_does(bind: str) -> None:
    gateway = gateway_of(args=["openclaw", "gateway", "run", "--bind", bind])
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        if bind == "loopback" or name == "startupProbe":
            script = gateway[name]["exec"]["command"][2]
            limit = int(script.partition("--max-time ")[2].split()[0]) * script.count("http://")
            assert 0 < limit < gateway[name]["timeoutSeconds"]
        assert gateway[name]["timeoutSeconds"] <= gateway[name]["periodSeconds"]


@pytest.mark.parametrize(
    ("command", "args", "by_the_kubelet"),
    [
        ([], ["openclaw", "gateway", "run", "--bind", "lan", "--port", "18789"], True),
        ([], ["openclaw", "gateway", "--bind=lan", "run"], True),
        ([], ["openclaw", "gateway", "run", "--bind", "loopback", "--bind=lan"], True),
        ([], ["openclaw", "gateway", "run", "--bind", "lan", "--bind", "loopback"], False),
        ([], ["openclaw", "gateway", "run", "--bind=lan", "--bind=loopback"], False),
        ([], ["openclaw", "gateway", "run", "--bind", "loopback"], False),
        # What the container then listens on is decided in it: by its configuration, or by what it finds there.
        ([], ["openclaw", "gateway", "run"], False),
        ([], [], False),
        ([], ["openclaw", "gateway", "run", "--bind", "auto"], False),
        ([], ["openclaw", "gateway", "run", "--bind", "custom"], False),
        ([], ["openclaw", "gateway", "run", "--bind", "$(BIND)"], False),
        ([], ["openclaw", "gateway", "run", "--bind"], False),
        ([], ["openclaw", "gateway", "run", "--bind="], False),
        ([], ["openclaw", "gateway", "run", "--binding", "lan", "lan"], False),
        ([], ["sh", "-c", "exec openclaw gateway run --bind lan"], False),
        # A command of the inventory's own may do with the arguments what it likes.
        (["sh", "-c", "exec openclaw gateway run"], ["--bind", "lan"], False),
    ],
)
def test_the_kubelet_asks_the_pods_address_only_where_the_gateway_surely_listens_there(
    command: list[str], args: list[str], by_the_kubelet: bool
) -> None:
    of = agent(command=command, args=args)
    assert listens_on_the_pods_address(of) is by_the_kubelet
    gateway = gateway_of(command=command, args=args)
    ways = {name: "httpGet" if "httpGet" in gateway[f"{name}Probe"] else "exec" for name in ("readiness", "liveness")}
    assert set(ways.values()) == {"httpGet" if by_the_kubelet else "exec"}
    assert "exec" in gateway["startupProbe"], "the answers' content is proved from inside at each start"


def test_both_ways_of_asking_are_equally_patient() -> None:
    here, there = (gateway_of(args=["openclaw", "gateway", "run", "--bind", bind]) for bind in ("lan", "loopback"))
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        for number in ("periodSeconds", "timeoutSeconds", "failureThreshold"):
            assert here[name][number] == there[name][number]
    assert here["readinessProbe"]["httpGet"] == {"path": "/healthz", "port": "gateway"}
    assert here["ports"] == [{"name": "gateway", "containerPort": 18789, "protocol": "TCP"}]


def test_a_channel_that_is_down_takes_no_agent_down() -> None:
    assert "readyz" not in repr(gateway_of())


@pytest.mark.parametrize("seconds", [1, 3])
def test_even_the_shortest_start_is_given_one_try(seconds: int) -> None:
    assert gateway_of(startup_seconds=seconds)["startupProbe"]["failureThreshold"] >= 1
