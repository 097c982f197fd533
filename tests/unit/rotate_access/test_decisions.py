# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The renewal of a SecretID: what is done next, what is destroyed, what counts as a sync of ESO."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Context
from ansible_collections.digitalsys.agents.plugins.module_utils._eso.access import (
    Access,
    SecretId,
    access_secret,
    metadata_of,
    read_access,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._eso.sync import is_synced
from ansible_collections.digitalsys.agents.plugins.module_utils._guards.permissions import (
    RENEWAL_NEEDS,
    missing_permissions,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._kube import names
from ansible_collections.digitalsys.agents.plugins.module_utils._rotate_access.decisions import (
    Step,
    next_step,
    to_destroy,
    vault_needs,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._rotate_access.operation import _Renewal
from ansible_collections.digitalsys.agents.plugins.modules import agent_access
from tests.unit import builders

PERMISSIONS = Path(__file__).resolve().parents[3] / "docs" / "permissions"
KEPT = Access("role", "value", accessor="old")
OPEN = Access("role", "value", accessor="new", previous="old", renewal="job-1")
DONE = Access("role", "value", accessor="new", renewed="job-1")
OURS = SecretId("", "", metadata_of("uid-1"))
#: As 0.1.0 made them.
OF_SOME_CLUSTER = SecretId("", "", {"managed-by": "digitalsys.agents"})
ANOTHERS = SecretId("", "", metadata_of("uid-2"))
A_PERSONS = SecretId("", "", {"made-by": "alice"})


@pytest.mark.parametrize(
    ("access", "in_use", "works", "wanted_id", "step"),
    [
        (KEPT, "old", False, "", Step.MAKE),
        (KEPT, "old", False, "job-1", Step.MAKE),
        (Access("", ""), "", False, "", Step.MAKE),
        # An open one goes on, under whatever id, and makes no third SecretID; unless what it made does not work.
        (OPEN, "new", True, "", Step.PROVE),
        (OPEN, "new", True, "job-1", Step.PROVE),
        (OPEN, "new", True, "job-2", Step.PROVE),
        (OPEN, "new", False, "job-1", Step.MAKE),
        # A person put the old one back: proving that would end in nothing renewed.
        (OPEN, "old", True, "job-1", Step.MAKE),
        # Nobody knew the one from before.
        (replace(OPEN, previous=""), "new", True, "", Step.PROVE),
        # Finished: the same id does nothing again, any other does.
        (DONE, "new", False, "job-1", Step.NOTHING),
        (DONE, "new", False, "job-2", Step.MAKE),
        (DONE, "new", False, "", Step.MAKE),
    ],
)
def test_what_is_done_next(access: Access, in_use: str, works: bool, wanted_id: str, step: Step) -> None:
    assert next_step(access, in_use, works=works, wanted_id=wanted_id) is step


@pytest.mark.parametrize(
    ("known", "doomed"),
    [
        ({"new": OURS, "old": OURS}, ["old"]),
        # From before SecretIDs carried our metadata, or a person's: it is the one that was replaced.
        ({"new": OURS, "old": A_PERSONS}, ["old"]),
        # Left by killed runs.
        ({"new": OURS, "old": OURS, "lost": OURS}, ["lost", "old"]),
        # A person's beside it stays.
        ({"new": OURS, "old": OURS, "person": A_PERSONS, "bare": SecretId("", "", {})}, ["old"]),
        # Trials E10: a second cluster's were destroyed.
        ({"new": OURS, "old": OURS, "elsewhere": ANOTHERS, "former": OF_SOME_CLUSTER}, ["old"]),
        ({"new": OURS, "old": OF_SOME_CLUSTER}, ["old"]),
        # It has ended by itself.
        ({"new": OURS, "old": None}, []),
        ({"new": OURS}, []),
        ({"new": OURS, "other": None}, []),
    ],
)
def test_what_is_destroyed(known: dict[str, SecretId | None], doomed: list[str]) -> None:
    assert to_destroy(known, "new", "old", "uid-1") == doomed


@pytest.mark.parametrize("state", [OURS, A_PERSONS])
def test_what_is_in_use_is_never_destroyed(state: SecretId) -> None:
    assert to_destroy({"new": state}, "new", "new", "uid-1") == []
    assert to_destroy({"new": state}, "new", "", "uid-1") == []


@pytest.mark.parametrize(
    ("expires", "now", "ended"),
    [
        ("", 4e9, False),
        ("2026-11-25T07:37:15Z", 1795592234, False),
        ("2026-11-25T07:37:15Z", 1795592235, True),
        ("2026-11-25T04:37:15-03:00", 1795592234, False),
        ("2026-11-25T04:37:15-03:00", 1795592236, True),
    ],
)
def test_when_a_secret_id_has_ended(expires: str, now: float, ended: bool) -> None:
    assert SecretId("", expires, {}).has_ended(now) is ended


@pytest.mark.parametrize("access", [KEPT, OPEN, DONE, replace(OPEN, previous="")])
def test_the_secret_says_again_what_was_written_into_it(access: Access) -> None:
    context = Context({}, "/nowhere")
    written = access_secret("roberval", "bots", access)
    assert read_access(written, context) == access
    assert context.secrets == {"role", "value"}
    assert "" not in written["metadata"]["annotations"].values()


def test_a_finished_renewal_is_told_from_an_open_one_by_what_it_names() -> None:
    """An apply is sent where something named is otherwise; that something is no longer named is not seen."""
    before, after = (
        access_secret("roberval", "bots", one)["metadata"]["annotations"]
        for one in (OPEN, replace(DONE, accessor="new"))
    )
    assert after.items() - before.items()
    assert not {names.PREVIOUS_ACCESSOR, names.RENEWAL} & after.keys()


def test_a_secret_id_is_not_shown_with_what_holds_it() -> None:
    assert "value" not in repr(OPEN)


def external(version: str, ready: str = "True") -> dict[str, Any]:
    return {"status": {"syncedResourceVersion": version, "conditions": [{"type": "Ready", "status": ready}]}}


@pytest.mark.parametrize(
    ("live", "synced"),
    [
        (external("1-b"), True),
        (external("1-a"), False),
        (external("1-b", "False"), False),
        (external(""), False),
        ({}, False),
        ({"status": {"syncedResourceVersion": "1-b"}}, False),
    ],
)
def test_a_sync_counts_when_it_is_of_what_was_asked_for_and_went_well(live: dict[str, Any], synced: bool) -> None:
    assert is_synced(live, "1-a") is synced


def test_the_operators_role_and_policy_are_enough() -> None:
    role = yaml.safe_load((PERMISSIONS / "operator.yaml").read_text())["items"][0]
    assert missing_permissions({"resourceRules": role["rules"]}, RENEWAL_NEEDS) == []
    policy = (PERMISSIONS / "operator.hcl").read_text()
    for path, capabilities in vault_needs("approle", "+").items():
        shown = ", ".join(f'"{one}"' for one in capabilities)
        assert f'path "{path}" {{\n  capabilities = [{shown}]\n}}' in policy


def test_the_result_of_a_renewal_is_documented() -> None:
    it: Any = SimpleNamespace(run=builders.session(in_words=True), access=DONE, expires="")
    told = yaml.safe_load(agent_access.RETURN)
    of_renew = {name for name, entry in told.items() if "secret_id=keep" not in entry["returned"]}
    assert set(_Renewal.result(it)) - {"changed", "warnings"} == of_renew - {"error"}
