"""What an operator waits for when there is nothing to do for an agent, beside a playbook with one debug task on the
same inventory. In turns, so that a busy minute weighs on both."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from .agents import Agents
from .ways import BARE, ROLLOUT, Timed, Way, run

#: Runs of each.
REPEATS = 9


@dataclass(frozen=True)
class Beside:
    """Medians in seconds: (rollout.yml, bare playbook)."""

    cpu: tuple[float, float]
    wall: tuple[float, float]

    @property
    def cpu_ratio(self) -> float:
        return self.cpu[0] / self.cpu[1]

    @property
    def wall_ratio(self) -> float:
        return self.wall[0] / self.wall[1]


def _once(way: Way, agents: Agents) -> Timed:
    name = agents.names[0]
    timed = run(way, agents, words=("-e", f"agent={name}"))
    wanted = f"nothing to do for {name}" if way is ROLLOUT else way.idle
    if wanted not in timed.output:
        raise RuntimeError(f"{way.name} was to do nothing:\n{timed.output[-4000:]}")
    return timed


def measure(agents: Agents) -> Beside:
    """The first of these agents, for which nothing is to be done."""
    found: dict[str, list[Timed]] = {ROLLOUT.name: [], BARE.name: []}
    for _again in range(REPEATS):
        for way in (ROLLOUT, BARE):
            found[way.name].append(_once(way, agents))
    ours, bare = found[ROLLOUT.name], found[BARE.name]
    return Beside(
        cpu=(statistics.median(one.cpu for one in ours), statistics.median(one.cpu for one in bare)),
        wall=(statistics.median(one.seconds for one in ours), statistics.median(one.seconds for one in bare)),
    )
