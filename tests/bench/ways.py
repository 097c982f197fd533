"""The ways to apply the same objects, and one timed run of one of them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.sandbox.paths import CHECKOUT

from .agents import PLAYBOOKS, Agents


@dataclass(frozen=True)
class Way:
    """idle: words that its output must hold when there was nothing to do."""

    name: str
    what: str
    idle: str


ROLLOUT = Way(
    "rollout.yml", "the whole operation: lock, secret proved, waves, waited for, recorded", "nothing to do for "
)
AGENT = Way("agent", "module agent, one task per host: applied, nothing waited for", "changed=0 ")
EACH = Way("k8s, each", "kubernetes.core.k8s, one task for each object", "changed=0 ")
LIST = Way("k8s, list", "kubernetes.core.k8s, one task with a list of objects", "changed=0 ")
BARE = Way("bare", "a playbook with one debug task, on the same inventory", "msg: nothing")
KUBECTL = Way("kubectl", "kubectl apply --server-side of one file", "serverside-applied")


@dataclass(frozen=True)
class Timed:
    """cpu: seconds of processor, with its workers'. lines: when (time.monotonic()) each line of its output came."""

    seconds: float
    cpu: float
    lines: list[tuple[float, str]] = field(repr=False)

    @property
    def output(self) -> str:
        return "".join(line for _at, line in self.lines)


def command(way: Way, agents: Agents) -> list[str]:
    if way is KUBECTL:
        return ["kubectl", "apply", "--server-side", "--field-manager=bench", "-f", str(agents.manifests)]
    playbook, inventory = {
        BARE.name: (PLAYBOOKS / "bare.yml", agents.fleet.folder / "inventory"),
        ROLLOUT.name: (CHECKOUT / "rollout.yml", agents.fleet.folder / "inventory"),
        AGENT.name: (PLAYBOOKS / "agent.yml", agents.fleet.folder / "inventory"),
        EACH.name: (PLAYBOOKS / "each.yml", agents.objects),
        LIST.name: (PLAYBOOKS / "list.yml", agents.objects),
    }[way.name]
    return [str(Path(sys.executable).parent / "ansible-playbook"), str(playbook), "-i", str(inventory)]


def run(way: Way, agents: Agents, environment: Mapping[str, str] | None = None, *, words: Sequence[str] = ()) -> Timed:
    """One run, from the start of its process to its end. RuntimeError with its output when it fails."""
    environ = {**os.environ, **(environment or {}), "ANSIBLE_NOCOLOR": "1"}
    environ.pop("ANSIBLE_INVENTORY", None)
    started = time.monotonic()
    process = subprocess.Popen(
        [*command(way, agents), *words], cwd=CHECKOUT, env=environ, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    with process:
        lines = [(time.monotonic(), line) for line in process.stdout]
        _pid, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    timed = Timed(time.monotonic() - started, usage.ru_utime + usage.ru_stime, lines)
    if process.returncode:
        # Ansible's recap of a hundred hosts would hide what went wrong.
        said = timed.output.partition("PLAY RECAP")[0]
        raise RuntimeError(f"{way.name} failed ({process.returncode}):\n{said[-6000:]}")
    return timed


def require_idle(way: Way, agents: Agents, timed: Timed) -> Timed:
    """RuntimeError when a run that should have found nothing to do did something."""
    count = len(agents.names)
    found = sum(1 for _at, line in timed.lines if way.idle in line)
    wanted = 1 if way is ROLLOUT else count
    whole = way is not ROLLOUT or count == 1 or f"nothing to do for {count} of {count}" in timed.output
    if found < wanted or not whole:
        raise RuntimeError(f"{way.name} was to find nothing to do:\n{timed.output[-4000:]}")
    return timed
