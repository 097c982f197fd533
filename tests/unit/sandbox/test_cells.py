"""The cells of the tests' workers: nothing of one is another's or the sandbox's."""

from __future__ import annotations

import re

import pytest

from tests.sandbox import addresses, cells, parts, vault
from tests.sandbox.cells import Cell


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> None:
    names = dict.fromkeys(("vault", "external-secrets", "kube-apiserver"), "/bin/true")
    monkeypatch.setattr(parts, "programs_of_the_sandbox", lambda: names)


def _ports(part: parts.Part) -> set[str]:
    return {
        found for word in part.command for found in re.findall(r"(?:secure-port=|live-addr=127\.0\.0\.1:)(\d+)", word)
    }


@pytest.mark.usefixtures("programs")
def test_no_two_cells_share_a_name_a_port_or_a_folder() -> None:
    twelve = [Cell(number) for number in range(12)]
    made = [
        part for cell in twelve for part in (*cell.own_parts().values(), cell.operator_in("x"), cell.api_server()[0])
    ]
    assert len({part.name for part in made}) == len(made)
    ports = [port for part in made for port in _ports(part)]
    ports += [str(port) for cell in twelve for port in (cell.vault.port, cell.vault.port + 1)]
    assert len(set(ports)) == len(ports)
    taken = {value for name, value in vars(addresses).items() if name.endswith("_PORT") and name != "FIRST_CELL_PORT"}
    assert not {int(port) for port in ports} & taken
    folders = [folder for cell in twelve for folder in (cell.vault.storage, cell.vault.secrets, cell.vault.config)]
    assert len(set(folders)) == len(folders)
    assert vault.FLEETS.storage not in folders


@pytest.mark.parametrize(("value", "cell"), [("", None), ("0", Cell(0)), ("3", Cell(3))])
def test_a_process_is_at_home_where_its_environment_says(
    monkeypatch: pytest.MonkeyPatch, value: str, cell: Cell | None
) -> None:
    monkeypatch.setenv(cells.VARIABLE, value)
    assert cells.current() == cell
