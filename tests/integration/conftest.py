"""Fixtures of the integration tests: the sandbox they run on, fleets of their own, the fault proxy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.fleet import NAMESPACE, Fleet
from tests.integration.home import at_home
from tests.integration.load import Processors, turn
from tests.integration.podwatch import PodWatch
from tests.sandbox import kwok
from tests.sandbox.existing import Existing, from_environment, require_marker
from tests.sandbox.proxy.clients import Through, proxied

#: The longest files, which begin first: the end of a run is as long as what begins last. What a full run says of its
#: slowest tests tells whether this is still so.
LONGEST_FIRST = (
    "test_kills",
    "test_rotate_kills",
    "test_awx",
    "test_base_image",
    "test_rotate_vault",
    "test_faults",
    "test_rotate_access_faults",
    "test_rotate_edits",
    "test_rotate_faults",
    "test_fleet",
    "test_rotate_refused",
    "test_real_image",
    "test_lock",
    "test_failures",
    "test_probes",
    "test_status_secrets",
    "test_rotate_secrets",
    "test_rotate_lock",
    "test_forked",
    "test_bad_input",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {name: number for number, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """The fixtures of a test's module are made and taken away in its turn too."""
    with turn():
        return (yield)


_processors = Processors()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.write_line(_processors.words())


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Existing]:
    """Refuses a cluster that does not say of itself that it is for tests. Then this process's home is made."""
    require_marker(from_environment())
    with at_home():
        yield from_environment()


@pytest.fixture(scope="session")
def watched(sandbox: Existing) -> Iterator[PodWatch]:
    """Of all pods of this process's tests, from the first to the last."""
    with PodWatch() as watch:
        yield watch


@pytest.fixture(autouse=True)
def never_two_gateways(request: pytest.FixtureRequest) -> Iterator[None]:
    """Looked for all the time, whatever else a test is about."""
    if "sandbox" not in request.fixturenames:
        yield
        return
    watch: PodWatch = request.getfixturevalue("watched")
    before = len(watch.together)
    yield
    assert not watch.together[before:], "two gateways on one volume"


@pytest.fixture
def needs(sandbox: Existing) -> Callable[..., None]:
    """needs('kubelet', 'admin'): skips, naming it, what a backend cannot do."""

    def check(*capabilities: str) -> None:
        missing = set(capabilities) - sandbox.capabilities
        if missing:
            pytest.skip(f"this backend lacks: {', '.join(sorted(missing))}")

    return check


@pytest.fixture
def fake_nodes(needs: Callable[..., None]) -> None:
    """Makes sure of nodes for the agents whose host variables are `fleet.KWOK`."""
    needs("kwok", "admin")
    kwok.add_nodes(2)


@pytest.fixture
def make_fleet(sandbox: Existing, tmp_path: Path) -> Iterator[Callable[..., Fleet]]:
    """make_fleet('alfa', 'beta', variables={...}): agents of this test, provided for, removed afterwards."""
    made: list[Fleet] = []

    def make(*names: str, provide: bool = True, namespace: str = NAMESPACE, **rest: Any) -> Fleet:
        fleet = Fleet(tmp_path / f"fleet{len(made)}", list(names), namespace=namespace, **rest)
        fleet.folder.mkdir()
        made.append(fleet)
        if provide:
            fleet.provide()
        return fleet

    yield make
    for fleet in made:
        fleet.remove()


@pytest.fixture
def proxy(sandbox: Existing, tmp_path: Path) -> Iterator[Through]:
    """The fault proxy in front of API server and Vault; give `proxy.environment` to what shall go through it."""
    folder = tmp_path / "proxy"
    folder.mkdir()
    with proxied(folder) as through:
        yield through
