# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the kubelet asks the gateway whether it started, is ready and lives. Pure functions.

An image that lacks a route answers it with 200 and a page, green for ever. So each start proves by the gateway's JSON
that both routes are there; from then on the same process answers, and its status says it all: OpenClaw's /healthz has
one body. Never /readyz: one channel that is down must not take the agent down.
"""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Object
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.pods import gateway_of
from ansible_collections.digitalsys.agents.plugins.module_utils._options.agent import Agent

GATEWAY_PORT = 18789
PORT_NAME = "gateway"
_KINDS = ("startup", "readiness", "liveness")
_HANDLERS = ("exec", "httpGet")
_STARTED = '.[0].ok == true and .[0].status == "started" and .[1].ok == true'


def probes(agent: Agent) -> Object:
    """The probes of the gateway's container."""
    # No longer than its period, or the failures would add up to far more than startup_seconds.
    startup = {"periodSeconds": 3, "timeoutSeconds": 3, "failureThreshold": max(1, agent.startup_seconds // 3)}
    return {
        "startupProbe": {**_exec(("startupz", "healthz"), _STARTED, seconds=3), **startup},
        "readinessProbe": {**_lives(agent), "periodSeconds": 10, "timeoutSeconds": 10, "failureThreshold": 3},
        "livenessProbe": {**_lives(agent), "periodSeconds": 30, "timeoutSeconds": 10, "failureThreshold": 6},
    }


def _lives(agent: Agent) -> Object:
    if listens_on_the_pods_address(agent):
        return {"httpGet": {"path": "/healthz", "port": PORT_NAME}}
    return _exec(("healthz",), ".[0].ok == true", seconds=10)


def listens_on_the_pods_address(agent: Agent) -> bool:
    """Whether it is certain. The argument wins over gateway.bind of the agent's own file, and the last one over others.
    What a command of the inventory's own makes of the arguments is its secret."""
    if agent.command:
        return False
    bind = ""
    words = iter(agent.args)
    for word in words:
        if word == "--bind":
            bind = next(words, "")
        elif word.startswith("--bind="):
            bind = word.removeprefix("--bind=")
    return bind == "lan"


def _exec(routes: Sequence[str], assertion: str, *, seconds: int) -> Object:
    """One curl for all routes, which gives up before the kubelet does; its --max-time is for each of them.

    jq reads with --slurp: of no input at all, which is what a refused connection leaves it, version 1.6 (Debian 12)
    says success.
    """
    addresses = " ".join(f"http://127.0.0.1:{GATEWAY_PORT}/{route}" for route in routes)
    answers = f"curl -fsS --fail-early --max-time {(seconds - 1) // len(routes)} {addresses}"
    script = f"{answers} | jq --slurp --exit-status '{assertion}' >/dev/null"
    return {"exec": {"command": ["sh", "-c", script]}}


def told(wanted: Object, live: Object) -> tuple[str, tuple[str, ...]]:
    """Of two Deployments: in a few words which probes ask in another way, and the paths of the fields behind them.
    A number is not among them, nor a field of an httpGet: those say it better by themselves."""
    ours = gateway_of(wanted["spec"]["template"]["spec"])
    theirs = gateway_of(live["spec"]["template"]["spec"])
    words = []
    paths = []
    for kind in _KINDS:
        want = ours.get(f"{kind}Probe") or {}
        have = theirs.get(f"{kind}Probe") or {}
        way = _way(want)
        before = _way(have)
        if before and way != before:
            words.append(f"{kind} {before} -> {way}")
        elif before == "exec" and want["exec"] != have["exec"]:
            words.append(f"{kind} by another script")
        else:
            continue
        paths += [f"containers[{ours['name']}].{kind}Probe.{handler}" for handler in sorted({before, way})]
    return f"probes: {', '.join(words)}" if words else "", tuple(paths)


def _way(probe: Object) -> str:
    return next((name for name in _HANDLERS if name in probe), "")
