"""A rotation that something happens to: done in its middle, or killed there; and how all must stand afterwards."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.integration.fleet import Fleet, Run, gateway, pods
from tests.integration.rotating import TOKEN, journal, secret, values_left
from tests.integration.writes import SHORT_LOCK, holder, servers
from tests.sandbox.existing import Existing
from tests.sandbox.kill import AfterWrite, run_and_kill
from tests.sandbox.paths import CHECKOUT
from tests.sandbox.proxy import Match, Through, hold, proxied

KEYS = ("-e", f"keys={TOKEN}")
#: Moments: what a rotation is about to write.
JOURNAL = Match(path="/v1/kv/data/agents-rotation/", writes_only=True)
PROMOTION = Match(methods={"PATCH"}, path="/v1/kv/data/agents/")
SYNC = Match(methods={"PATCH"}, path="/externalsecrets/")
#: The apply: what makes all that is ours one entry of managedFields comes before it, and restarts nothing.
RESTART = Match(methods={"PATCH"}, path=r"/deployments/.*\bforce=")
AUDIT = Match(methods={"PATCH"}, path="/v1/kv/metadata/agents/")


def running(agent: str) -> Any:
    """A module's fixture: one agent that runs well. Every test of the module leaves it so."""

    @pytest.fixture(scope="module")
    def fleet(sandbox: Existing, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
        if lacking := {"kubelet", "processes", "vault-admin"} - sandbox.capabilities:
            pytest.skip(f"this backend lacks: {', '.join(sorted(lacking))}")
        made = Fleet(tmp_path_factory.mktemp("rotate"), [agent], {"agent_secret_refresh": "1h"}, environ=SHORT_LOCK)
        try:
            made.provide()
            made.rollout(agent).ok()
            yield made
        finally:
            made.remove()

    return fleet


def meanwhile(
    fleet: Fleet,
    proxy: Through,
    where: Match,
    do: Callable[[], None],
    *words: str,
    env: Mapping[str, str] | None = None,
) -> Run:
    """A rotation of the token, or with other words, that stands before a request while this is done."""
    (agent,) = fleet.names
    standing, wrong = proxy.proxy.add(hold(where)), list[BaseException]()

    def act() -> None:
        try:
            standing.wait_fired(timeout=60)
            do()
        except BaseException as error:
            wrong.append(error)
        finally:
            standing.release()

    thread = threading.Thread(target=act)
    thread.start()
    run = fleet.rotate(agent, *(words or KEYS), env={**proxy.environment, **(env or {})})
    thread.join()
    assert not wrong, f"{wrong[0]}\n{run.output}"
    return run


def killed(fleet: Fleet, folder: Path, place: AfterWrite, *words: str) -> None:
    """A rotation of the token that got a SIGKILL there."""
    (agent,) = fleet.names
    folder.mkdir(parents=True, exist_ok=True)
    with proxied(folder) as through:
        command = fleet.command("playbooks/rotate.yml", "-e", f"agent={agent}", *KEYS, *words)
        end = run_and_kill(command, fleet.environment(**servers(through)), CHECKOUT, place, through.proxy)
    assert end.killed, end.output


def killed_after_its_journal(fleet: Fleet, folder: Path, *words: str) -> None:
    """Prepared and not promoted."""
    killed(fleet, folder, AfterWrite(1, path=JOURNAL.path), *words)
    assert journal(fleet.names[0])["phase"] == "prepared"


def killed_after_its_promotion(fleet: Fleet, folder: Path, *words: str) -> None:
    """Promoted, which it could not note any more."""
    killed(fleet, folder, AfterWrite(1, path=PROMOTION.path), *words)


def agrees(fleet: Fleet, phase: str = "finished") -> None:
    """Vault, the Secret and the one pod have the same; nothing is open, no new value is left elsewhere."""
    (agent,) = fleet.names
    values = fleet.values(agent)
    assert secret(agent) == values
    assert len(pods(agent)) == 1
    assert gateway(agent, values[TOKEN]) == 200
    assert not holder(agent)
    assert journal(agent)["phase"] == phase
    assert not values_left(agent)
