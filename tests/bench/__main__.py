"""`make bench`: the same objects of 1, 10 and 100 agents on fake nodes, the first time and with nothing to do.

By rollout.yml, by module `agent` alone, by kubernetes.core.k8s as its users write it, and by kubectl. Prints seconds
and the ratios of this one run, requests, how late "done" is told, and how many times a bare playbook an operator waits
for when there is nothing to do. One task per object takes minutes for 100 agents: only with --full (make bench
ARGS=--full). Before that a rotation of one agent on the real kubelet, beside doing it by hand. Needs the sandbox, or a
test cluster with KWOK, and its administrator.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.integration.home import at_home
from tests.sandbox.existing import from_environment, require_marker
from tests.sandbox.proxy.clients import API, VAULT, proxied

from . import agents as fleet
from . import bare, rotation
from .lateness import Watch
from .report import Figures, load, show
from .ways import AGENT, EACH, KUBECTL, LIST, ROLLOUT, Way, require_idle, run

#: Times that a run with nothing to do is repeated; the median counts.
REPEATS = 3
#: One task per object is this slow only where it was asked for.
_SLOW_FROM = 100


def measure(way: Way, agents: fleet.Agents, figures: Figures, repeats: int) -> None:
    """The first time on a cluster without these agents, then with nothing to do."""
    count = len(agents.names)
    fleet.fresh(agents.names)
    with Watch() if way is ROLLOUT else contextlib.nullcontext() as watch:
        first = run(way, agents)
        if watch:
            figures.late[count] = watch.late(first.lines)
    figures.first[way.name, count] = first.seconds
    fleet.settled(agents.names)
    idle = [require_idle(way, agents, run(way, agents)).seconds for _ in range(repeats)]
    figures.idle[way.name, count] = statistics.median(idle)


def count_requests(way: Way, agents: fleet.Agents, figures: Figures, folder: Path) -> None:
    """Through the proxy, which costs time: so not in the runs that are timed."""
    count = len(agents.names)
    fleet.fresh(agents.names)
    with proxied(folder) as through:
        for kind in ("first", "idle"):
            mark = through.proxy.mark()
            timed = run(way, agents, through.environment)
            if kind == "idle":
                require_idle(way, agents, timed)
            seen = through.proxy.requests(mark)
            asked = {front: sum(1 for one in seen if one.front == front) for front in (API, VAULT)}
            # One more write to each Lease is its release.
            leases = Counter(one.path for one in seen if one.method == "PUT" and "/leases/" in one.path)
            renewals = leases.total() - len(leases)
            figures.requests[way.name, count, kind] = (asked[API] - renewals, renewals, asked[VAULT])
            fleet.settled(agents.names)


def _ways(count: int, full: bool) -> Iterator[tuple[Way, int]]:
    """Each with how often it is repeated."""
    yield KUBECTL, REPEATS
    yield AGENT, REPEATS
    yield ROLLOUT, REPEATS
    yield LIST, 1
    if full or count < _SLOW_FROM:
        yield EACH, 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--full", action="store_true", help="one task per object for 100 agents too: minutes")
    parser.add_argument("--rotation", action="store_true", help="the rotation alone, beside doing it by hand")
    parser.add_argument("--agents", default="1,10,100", help="how many agents; default %(default)s")
    given = parser.parse_args()
    counts = [int(word) for word in given.agents.split(",")]
    existing = from_environment()
    require_marker(existing)
    if missing := {"kwok", "admin", "vault-admin"} - existing.capabilities:
        print(f"bench: this backend lacks {', '.join(sorted(missing))}", file=sys.stderr)
        return 77
    # Ended from outside it removes its agents all the same.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))
    with at_home():
        rotation.main(given.full)
        if not given.rotation:
            show(_measured(counts, given.full))
    return 0


def _measured(counts: list[int], full: bool) -> Figures:
    figures = Figures(counts, before=load())
    names: list[str] = []
    with tempfile.TemporaryDirectory(prefix="agents-bench-") as scratch, fleet.node():
        folder = Path(scratch)
        for count in counts:
            agents = fleet.make(folder / str(count), count)
            names = agents.names
            with fleet.provided(names):
                try:
                    for way, repeats in _ways(count, full):
                        print(f"bench: {count} agents by {way.name}", flush=True)
                        measure(way, agents, figures, repeats)
                        if way is ROLLOUT and figures.bare is None:
                            print(f"bench: one agent of {count}, beside a bare playbook", flush=True)
                            figures.bare = bare.measure(agents)
                    for way in (ROLLOUT, KUBECTL, LIST):
                        if count <= 10 or way is ROLLOUT:
                            counted = folder / f"{count}-{way.name.replace(', ', '-')}"
                            counted.mkdir()
                            count_requests(way, agents, figures, counted)
                finally:
                    fleet.remove(names)
    return figures


if __name__ == "__main__":
    sys.exit(main())
