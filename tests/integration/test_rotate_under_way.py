"""What External Secrets has under way while a rotation is taken back: outlasted, so that the old values stay."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.integration.disturbing import agrees, killed_after_its_promotion, running
from tests.integration.fleet import Fleet, get, kubectl, until
from tests.integration.home import NAMESPACE
from tests.integration.rotating import secret
from tests.integration.writes import servers
from tests.sandbox.proxy import Match, delay, hold_answer, proxied

AGENT = "giro-atraso"
fleet = running(AGENT)


def _sync_now(stamp: str) -> None:
    kubectl("annotate", "externalsecret", f"{AGENT}-env-secret", "-n", NAMESPACE, "--overwrite", f"force-sync={stamp}")


def _refreshed() -> Any:
    return (get("externalsecret", f"{AGENT}-env-secret") or {}).get("status", {}).get("refreshTime")


def test_a_sync_under_way_cannot_bring_back_what_an_abort_has_taken_back(fleet: Fleet, tmp_path: Path) -> None:
    (tmp_path / "eso").mkdir()
    (tmp_path / "run").mkdir()
    with proxied(tmp_path / "eso") as of_eso, proxied(tmp_path / "run") as of_run:
        fleet.variables["agent_vault_server"] = of_eso.environment["VAULT_ADDR"]
        fleet.rollout(AGENT).ok()
        old = fleet.values(AGENT)
        killed_after_its_promotion(fleet, tmp_path / "killed")
        reads = Match(path=f"/v1/kv/data/agents/{AGENT}$")
        late = of_eso.proxy.add(hold_answer(reads))
        # The next sync puts right what this one brings: not so fast that nobody sees it.
        of_eso.proxy.add(delay(3, replace(reads, times=None)))
        _sync_now("under-way")
        late.wait_fired()
        assert secret(AGENT) == old
        before = _refreshed()
        ended = threading.Event()

        def let_go() -> None:
            """When the abort asks for a sync of its own; where it does not, after its end."""
            while not ended.wait(0.1):
                if any("fieldManager=digitalsys.agents.sync" in write.target for write in of_run.proxy.writes()):
                    ended.wait(2)
                    break
            late.release()

        letting_go = threading.Thread(target=let_go)
        letting_go.start()
        try:
            run = fleet.rotate(AGENT, "-e", "abort=true", env=servers(of_run))
        finally:
            ended.set()
            letting_go.join()
        run.ok()
        seen = [secret(AGENT)]

        def written() -> bool:
            seen.append(secret(AGENT))
            return bool(_refreshed() != before)

        until(written, "External Secrets has written what it held", 60)
        assert all(values == old for values in seen)
        agrees(fleet, "rolled_back")
        assert fleet.values(AGENT) == old
