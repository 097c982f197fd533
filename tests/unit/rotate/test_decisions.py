# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rotation does next, whatever it finds: the table of its decisions, row by row."""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Context
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._journal.rotation import (
    FINISHED,
    PREPARED,
    PROMOTED,
    ROLLING_BACK,
    Journal,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._options.argspec import ROTATION_MODULE
from ansible_collections.digitalsys.agents.plugins.module_utils._rotate.decisions import (
    Standing,
    Step,
    check_told,
    due_keys,
    edited_keys,
    is_asked_again,
    kept_keys,
    next_step,
    old_values,
    require_same,
    standing,
    tidings,
    vanished,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._rotate.operation import _asked, rotate
from ansible_collections.digitalsys.agents.plugins.module_utils._rotate.steps import STEPS

JOURNAL = Journal("r-1", ("GATEWAY", "LINEAR"), 6, 0.0, "me #1", 0, new={"GATEWAY": "g-new", "LINEAR": "l-new"})
OLD = {"GATEWAY": "g-old", "LINEAR": "l-old", "OTHER": "kept"}
NEW = {**OLD, **JOURNAL.new}

#: phase, where the rotated keys stand -> what is done; and what is done instead when it is to be taken back.
TABLE = [
    (PREPARED, Standing.OLD, Step.PROMOTE, Step.ABORT),
    # The promotion's answer was lost, or its run killed right after it: the truth is what stands there.
    (PREPARED, Standing.NEW, Step.ADOPT, Step.RESTORE),
    # A person wrote to a rotated key: nothing of theirs is overwritten.
    (PREPARED, Standing.OTHER, Step.ABORT, Step.ABORT),
    # Somebody else put the old values back: no success, but what an abort wants, once it is proved.
    (PROMOTED, Standing.OLD, Step.YIELD, Step.RESTORE),
    (PROMOTED, Standing.NEW, Step.PROVE, Step.RESTORE),
    (PROMOTED, Standing.OTHER, Step.YIELD, Step.YIELD),
    # Going back never turns forward again.
    (ROLLING_BACK, Standing.OLD, Step.PROVE_OLD, Step.PROVE_OLD),
    (ROLLING_BACK, Standing.NEW, Step.RESTORE, Step.RESTORE),
    (ROLLING_BACK, Standing.OTHER, Step.YIELD, Step.YIELD),
]


@pytest.mark.parametrize(("phase", "where", "step", "aborting"), TABLE)
def test_the_next_step_follows_from_the_phase_and_from_what_stands_there(
    phase: str, where: Standing, step: Step, aborting: Step
) -> None:
    assert next_step(phase, where) is step
    assert next_step(phase, where, abort=True) is aborting


@pytest.mark.parametrize("phase", [PREPARED, PROMOTED, ROLLING_BACK])
@pytest.mark.parametrize("abort", [False, True])
def test_a_deleted_path_is_for_a_person_to_look_at(phase: str, abort: bool) -> None:
    assert next_step(phase, Standing.GONE, abort=abort) is Step.STOP


def test_every_step_has_its_effect() -> None:
    assert set(STEPS) == set(Step)


@pytest.mark.parametrize(
    ("live", "base", "found"),
    [
        (OLD, OLD, Standing.OLD),
        (NEW, OLD, Standing.NEW),
        ({**NEW, "OTHER": "edited", "MORE": "x"}, OLD, Standing.NEW),
        ({**OLD, "OTHER": "edited"}, OLD, Standing.OLD),
        ({**OLD, "LINEAR": "by hand"}, OLD, Standing.OTHER),
        ({**NEW, "LINEAR": "by hand"}, OLD, Standing.OTHER),
        # Half of it is somebody's work too: a promotion is one write.
        ({**OLD, "LINEAR": "l-new"}, OLD, Standing.OTHER),
        ({"OTHER": "kept"}, OLD, Standing.OTHER),
        (None, OLD, Standing.GONE),
        # Vault has destroyed the base: only the new values can be told.
        (NEW, None, Standing.NEW),
        (OLD, None, Standing.OTHER),
        # A key that was not there before, and is not there again.
        ({"GATEWAY": "g-old"}, {"GATEWAY": "g-old"}, Standing.OLD),
    ],
)
def test_where_the_rotated_keys_stand(
    live: dict[str, str] | None, base: dict[str, str] | None, found: Standing
) -> None:
    assert standing(JOURNAL, live, base) is found


def test_a_key_that_was_not_there_is_removed_again() -> None:
    assert old_values(JOURNAL, {"GATEWAY": "g-old", "OTHER": "kept"}) == {"GATEWAY": "g-old", "LINEAR": None}


def test_keys_that_somebody_has_left_out_are_noticed_but_never_the_rotated_ones() -> None:
    assert vanished(JOURNAL, {"GATEWAY": "g-new"}, OLD) == ["OTHER"]
    assert vanished(JOURNAL, {**NEW, "MORE": "x"}, OLD) == []


@pytest.mark.parametrize(
    ("live", "base", "kept", "edited"),
    [
        ({**NEW, "LINEAR": "by hand"}, OLD, ["GATEWAY"], ["LINEAR"]),
        ({**NEW, "LINEAR": "by hand", "GATEWAY": "by hand"}, OLD, [], ["GATEWAY", "LINEAR"]),
        # One went back already, or was put back: nobody's edit beside the other.
        ({**OLD, "LINEAR": "by hand"}, OLD, [], ["LINEAR"]),
        (OLD, OLD, [], ["GATEWAY", "LINEAR"]),
        ({"GATEWAY": "g-new"}, OLD, ["GATEWAY"], ["LINEAR"]),
        ({**NEW, "LINEAR": "l-old"}, None, ["GATEWAY"], ["LINEAR"]),
    ],
)
def test_of_keys_that_a_person_edited_the_others_are_known(
    live: dict[str, str], base: dict[str, str] | None, kept: list[str], edited: list[str]
) -> None:
    assert kept_keys(JOURNAL, live) == kept
    assert edited_keys(JOURNAL, live, base) == edited


CLOSED_JOURNAL = replace(JOURNAL, phase=FINISHED, new={})


@pytest.mark.parametrize("keys", [[], ["LINEAR", "GATEWAY"]])
def test_a_job_that_is_tried_again_is_known_by_its_rotations_name(keys: list[str]) -> None:
    assert is_asked_again(CLOSED_JOURNAL, "r-1", keys)
    assert not is_asked_again(CLOSED_JOURNAL, "r-2", keys)
    assert not is_asked_again(CLOSED_JOURNAL, "", keys)


def test_a_name_that_was_another_rotations_is_refused() -> None:
    with pytest.raises(AgentError, match="rotation_id r-1 was that of GATEWAY, LINEAR") as caught:
        is_asked_again(CLOSED_JOURNAL, "r-1", ["LINEAR"])
    assert caught.value.kind is ErrorKind.INVALID
    assert not is_asked_again(CLOSED_JOURNAL, "r-2", ["LINEAR"])


def test_what_is_told_of_a_rotation_has_no_value_and_fits_into_vaults_metadata() -> None:
    many = tuple(f"KEY_{number:03}" for number in range(61))
    journal = replace(JOURNAL, keys=many, new=dict.fromkeys(many, "a-value"))
    told = tidings(journal, 1764057600)
    assert "a-value" not in str(told)
    assert told["rotated_at.KEY_060"] == "1764057600"
    assert all(len(key) <= 128 and len(value) <= 512 for key, value in told.items())
    check_told(many, {"rotation_id": "r-0", "rotated_at.KEY_000": "1"})


@pytest.mark.parametrize(
    ("keys", "told", "words"),
    [
        (["K" * 117], {}, ""),
        (["K" * 118], {}, "longer than 117"),
        ([f"KEY_{number}" for number in range(62)], {}, "64 entries"),
        (["A"], {f"owner{number}": "ops" for number in range(61)}, "64 entries"),
        (["A"], {f"owner{number}": "ops" for number in range(60)}, ""),
    ],
)
def test_a_rotation_of_which_vault_could_not_keep_the_time_is_refused(
    keys: list[str], told: dict[str, str], words: str
) -> None:
    if not words:
        check_told(keys, told)
        return
    with pytest.raises(AgentError, match=words) as caught:
        check_told(keys, told)
    assert caught.value.kind is ErrorKind.INVALID


def test_due_is_what_is_older_than_its_greatest_age_or_of_unknown_age() -> None:
    told = {
        "rotated_at.YOUNG": "950",
        "rotated_at.OLD": "900",
        "rotated_at.BROKEN": "yesterday",
        "rotated_at.FREE": "1",
    }
    ages = {"YOUNG": 60, "OLD": 60, "BROKEN": 60, "UNKNOWN": 60}
    assert due_keys(ages, told, 1000.0) == ["BROKEN", "OLD", "UNKNOWN"]


@pytest.mark.parametrize("keys", [[], ["LINEAR", "GATEWAY"], ["GATEWAY", "LINEAR", "LINEAR"]])
def test_an_open_rotation_is_gone_on_with(keys: list[str]) -> None:
    require_same(JOURNAL, keys)


@pytest.mark.parametrize("keys", [["GATEWAY"], ["GATEWAY", "LINEAR", "X"], ["X", "Y"]])
def test_a_second_one_is_never_begun_beside_it(keys: list[str]) -> None:
    with pytest.raises(AgentError, match="rotation r-1 of GATEWAY, LINEAR is open") as caught:
        require_same(replace(JOURNAL, phase=PROMOTED), keys)
    assert caught.value.kind is ErrorKind.ROTATION_OPEN
    assert "-e abort=true" in caught.value.hint
    assert "g-new" not in str(vars(caught.value))


def test_a_new_value_that_is_given_again_is_the_one_it_was_begun_with() -> None:
    begun = replace(JOURNAL, keys=("LINEAR",), new={"LINEAR": "l-new"})
    require_same(begun, ["LINEAR"], "l-new")
    with pytest.raises(AgentError, match="this new value of LINEAR cannot be rotated to") as caught:
        require_same(begun, ["LINEAR"], "l-other")
    assert caught.value.kind is ErrorKind.ROTATION_OPEN
    assert "l-new" not in str(vars(caught.value))
    assert "l-other" not in str(vars(caught.value))


def params(**options: Any) -> dict[str, Any]:
    """Of agent roberval: the module's defaults, and what is given here."""
    defaults = {name: copy.deepcopy(option.get("default")) for name, option in ROTATION_MODULE.items()}
    return {**defaults, "name": "roberval", **options}


def test_a_list_of_keys_is_taken_as_people_write_it() -> None:
    assert _asked(params(keys=["B", " A", "B "])).keys == ["A", "B"]
    assert _asked(params()).keys == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"keys": ["lower"]}, "keys: 'lower' is not allowed"),
        ({"keys": ["A", ""]}, "keys: '' is not allowed"),
        ({"keys": ["../A"]}, "keys: '../A' is not allowed"),
        ({"new_value": "given-value"}, "new_value is for one key"),
        ({"new_value": "given-value", "keys": ["A", "B"]}, "new_value is for one key"),
        ({"new_value": "given-value ", "keys": ["A"]}, "the new value of A is not allowed"),
        ({"new_value": "given-value", "abort": True}, "new_value is for one key"),
        ({"abort": True, "keys": ["A"]}, "abort and keys are both given"),
        ({"rotation_id": "job 5"}, "rotation_id: 'job 5' is not allowed"),
        ({"rotation_id": "5\n"}, "rotation_id: '5"),
        ({"key_policy": {"A": {"generated": 1}}}, "key_policy.A"),
        ({"name": "Roberval"}, "Roberval"),
    ],
    ids=str,
)
def test_what_cannot_be_asked_for_is_refused_before_any_request(options: dict[str, Any], words: str) -> None:
    with pytest.raises(AgentError, match=re.escape(words)) as caught:
        rotate(params(**options), Context({}, "/nowhere"))
    assert caught.value.kind is ErrorKind.INVALID
    assert "given-value" not in str(vars(caught.value))


def test_a_journal_shows_no_value() -> None:
    assert "g-new" not in repr(JOURNAL)
