# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a status tells of secrets: what counts as behind, pending, ending; its cells and notes; where it looks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._eso.access import SecretId
from ansible_collections.digitalsys.agents.plugins.module_utils._status.secrets import (
    Noting,
    in_pod,
    in_secret,
    lasting,
    place_of,
    unknown,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._status.table import table
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.client import Refused
from ansible_collections.digitalsys.agents.plugins.modules import agent_info
from tests.unit.status.test_operation import shown

PERMISSIONS = Path(__file__).resolve().parents[3] / "docs" / "permissions"
NOW = 1795592235.0  # 2026-11-25T07:37:15Z
DAY = 86400
HEAD = "agent     health   image                vault  in secret  in pod  rotation  secretid  lock"


def facts(**told: Any) -> dict[str, Any]:
    """Of an agent with nothing to be said about."""
    good = {
        "vault_version": 4,
        "missing_keys": [],
        "in_secret": "equal",
        "in_pod": "current",
        "rotation": {},
        "secret_id": "valid",
        "secret_id_expires": "",
        "journal_exposed": False,
    }
    return {**unknown(), **good, **told}


def with_secrets(**told: Any) -> dict[str, Any]:
    return shown(secrets=facts(**told))


@pytest.mark.parametrize(
    ("there", "word", "unequal"),
    [
        ({"A": "1", "B": "2"}, "equal", []),
        ({"A": "1", "B": "3"}, "behind", ["B"]),
        ({"A": "1"}, "behind", ["B"]),
        ({"A": "1", "B": "2", "C": "3"}, "behind", ["C"]),
        ({}, "behind", ["A", "B"]),
    ],
)
def test_a_secret_is_behind_in_the_keys_that_are_not_as_vault_has_them(
    there: dict[str, str], word: str, unequal: list[str]
) -> None:
    assert in_secret({"A": "1", "B": "2"}, there) == {"in_secret": word, "unequal_keys": unequal}


def test_a_secret_that_is_not_there_is_missing() -> None:
    assert in_secret({"A": "1"}, None) == {"in_secret": "missing"}


@pytest.mark.parametrize(
    ("same", "secret", "word"),
    [
        (True, "equal", "current"),
        (True, "behind", "current"),
        (True, "unknown", "current"),
        (False, "equal", "pending restart"),
        (False, "behind", "behind"),
        (False, "missing", "behind"),
        (False, "unknown", "behind"),
    ],
)
def test_a_restart_is_pending_when_the_secret_has_what_the_pod_has_not(same: bool, secret: str, word: str) -> None:
    assert in_pod(same, secret) == word


@pytest.mark.parametrize(
    ("expires", "login", "word", "left"),
    [
        ("", "valid", "valid", None),
        ("", "unknown", "valid", None),
        ("", "refused", "refused", None),
        ("2026-12-02T07:37:16Z", "valid", "valid", 7 * DAY + 1),
        ("2026-12-02T07:37:15Z", "valid", "ends soon", 7 * DAY),
        ("2026-11-25T07:37:55Z", "valid", "ends soon", 40),
        ("2026-11-25T04:37:55-03:00", "valid", "ends soon", 40),
        # Vault lets one that has ended log in for a while.
        ("2026-11-25T07:37:15Z", "valid", "ended", 0),
        ("2026-11-24T07:37:15Z", "refused", "ended", 0),
        ("2026-12-24T07:37:15Z", "refused", "refused", 29 * DAY),
        ("2026-12-24T07:37:15Z", "locked out", "locked out", 29 * DAY),
        ("2026-11-24T07:37:15Z", "locked out", "ended", 0),
    ],
)
def test_how_long_a_secret_id_lasts(expires: str, login: str, word: str, left: int | None) -> None:
    found = lasting(SecretId("", expires, {}), login, NOW)
    assert (found["secret_id"], found["secret_id_expires"]) == (word, expires)
    assert found.get("secret_id_seconds_left") == left


@pytest.mark.parametrize("login", ["valid", "refused", "locked out", "unknown"])
def test_of_a_secret_id_that_vault_says_nothing_of_the_end_is_not_known(login: str) -> None:
    assert lasting(None, login, NOW) == {"secret_id": login}


@pytest.mark.parametrize(
    ("told", "cells"),
    [
        ({}, "v4     equal      v4      -         valid     -"),
        # What was taken back has another number and the same content.
        ({"vault_version": 6}, "v6     equal      v4 = v6  -         valid     -"),
        ({"vault_version": 5, "in_pod": "pending restart"}, "v5     equal      v4 pending  -         valid     -"),
        (
            {"vault_version": 5, "in_secret": "behind", "in_pod": "behind"},
            "v5     behind     v4 behind  -         valid     -",
        ),
        ({"vault_version": 0, "in_secret": "unknown", "in_pod": "unknown"}, "-      ?          v4 ?    -"),
        (
            {"rotation": {"phase": "rolling_back", "age_seconds": 7200}},
            "v4     equal      v4      rolling back 2 h  valid",
        ),
        ({"secret_id_expires": "x", "secret_id_seconds_left": 30 * DAY}, "-         valid 30 d  -"),
        (
            {"secret_id": "ends soon", "secret_id_expires": "x", "secret_id_seconds_left": 3 * DAY},
            "-         ends in 3 d  -",
        ),
        ({"secret_id": "ended", "secret_id_expires": "x"}, "-         ended     -"),
        ({"secret_id": "refused"}, "-         refused   -"),
        ({"secret_id": "missing"}, "-         missing   -"),
        ({"secret_id_expires": None}, "-         valid ?   -"),
        (unknown(), "?      ?          v4 ?    ?         ?         -"),
    ],
)
def test_a_cell_says_what_is_and_a_question_mark_what_is_not_known(told: dict[str, Any], cells: str) -> None:
    (line,) = table([with_secrets(**told)], secrets=True)[1:]
    assert cells in line


def test_the_table_fits_a_screen_and_each_note_has_a_line_beneath_it() -> None:
    worst = {
        "in_pod": "pending restart",
        "vault_version": 1812,
        "rotation": {"phase": "rolling_back", "age_seconds": 7100},
        "secret_id": "ends soon",
        "secret_id_expires": "x",
        "secret_id_seconds_left": 3 * DAY,
        "notes": ["one", "two"],
    }
    agents = [with_secrets(), {**with_secrets(**worst), "agent": "clementina"}]
    lines = table(agents, secrets=True)
    assert lines[3:] == ["clementina: one", "clementina: two"]
    assert max(len(line) for line in lines) <= 118  # shown behind two spaces
    assert table([with_secrets()], secrets=True)[0] == HEAD


def test_an_external_secret_that_is_not_ready_is_marked() -> None:
    (line,) = table([{**with_secrets(), "secret_ready": False}], secrets=True)[1:]
    assert "  equal !  " in line


def test_without_secrets_the_table_is_what_it_was() -> None:
    assert table([with_secrets(notes=["one"])]) == table([shown()])


def test_a_place_is_the_default_one_where_nothing_is_said() -> None:
    place = place_of("roberval", "bots", {"vault_path": None})
    assert (place.vault_mount, place.vault_path, place.approle_mount) == ("kv", "agents/roberval", "approle")
    assert place.required_keys == ["GITHUB_TOKEN", "LINEAR_API_KEY", "OPENCLAW_GATEWAY_TOKEN"]
    assert place.approle_role_id == ""


def test_a_place_is_where_the_inventory_says() -> None:
    given = {"vault_mount": "team/kv", "vault_path": "bots/x", "approle_mount": "bots", "required_keys": ["A"]}
    place = place_of("roberval", "bots", given)
    assert {name: getattr(place, name) for name in given} == given


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ("kv", "no mapping"),
        ([], "no mapping"),
        ({"vault_path": "../clovis"}, "vault_path"),
        ({"vault_mount": "/kv"}, "vault_mount"),
        ({"approle_mount": "a b"}, "approle_mount"),
        ({"required_keys": ["lower"]}, "required_keys"),
        ({"required_keys": {"A": 1}}, "required_keys"),
        ({"image": "x"}, "image"),
    ],
)
def test_a_place_that_cannot_be_is_refused_by_the_agents_name(given: Any, word: str) -> None:
    with pytest.raises(AgentError, match=f"^places: roberval: .*{word}") as caught:
        place_of("roberval", "bots", given)
    assert caught.value.kind is ErrorKind.INVALID


def refuse(error: AgentError) -> None:
    raise error


@pytest.mark.parametrize(
    ("error", "note"),
    [
        (
            Refused("Vault does not allow 'read' on kv/data/x", "", 403),
            "Vault does not allow 'read' on kv/data/x",
        ),
        (AgentError(ErrorKind.INVALID, "the journal was edited by hand"), "the journal was edited by hand"),
        (AgentError(ErrorKind.FORBIDDEN, "not allowed: GET secrets/x: …"), "this identity may not get its Secrets"),
    ],
)
def test_a_refusal_is_a_note_and_no_failure(error: AgentError, note: str) -> None:
    notes: list[str] = []
    with Noting(notes):
        refuse(error)
    assert notes == [note]


@pytest.mark.parametrize(
    "error",
    [
        AgentError(ErrorKind.VAULT, "Vault was sealed meanwhile"),
        AgentError(ErrorKind.UNAVAILABLE, "the API server did not answer", details={"status_code": 503}),
        AgentError(
            ErrorKind.UNAUTHORIZED, "the API server does not accept the credential", details={"status_code": 401}
        ),
    ],
)
def test_a_server_that_is_out_of_reach_is_a_failure(error: AgentError) -> None:
    notes: list[str] = []
    with pytest.raises(AgentError), Noting(notes):
        refuse(error)
    assert notes == []


def test_the_facts_are_documented() -> None:
    told = yaml.safe_load(agent_info.RETURN)["agents"]["contains"]["secrets"]
    assert set(told["contains"]) == set(unknown())
    assert set(told["sample"]) == set(unknown())


def test_the_operators_policy_is_enough() -> None:
    policy = (PERMISSIONS / "operator.hcl").read_text()
    role = yaml.safe_load((PERMISSIONS / "operator.yaml").read_text())["items"][0]
    for path, capability in (
        ("kv/data/agents/*", "read"),
        ("kv/metadata/agents/*", "read"),
        ("kv/data/agents-rotation/*", "read"),
        ("auth/approle/role/+/secret-id/lookup", "update"),
    ):
        rule = policy.partition(f'path "{path}" {{')[2].partition("}")[0]
        assert f'"{capability}"' in rule, path
    assert any("secrets" in rule["resources"] and "get" in rule["verbs"] for rule in role["rules"])
