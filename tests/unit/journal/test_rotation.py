# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal of rotations: what is read is what was written, and whoever comes second finds out."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._journal.rotation import (
    ABORTED,
    CLOSED,
    FINISHED,
    PREPARED,
    PROMOTED,
    ROLLING_BACK,
    Journal,
    close,
    leftovers,
    new_id,
    read,
    sweep,
    write,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.client import CasConflict
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.kv import Document, Metadata

JOURNAL = Journal(
    rotation_id="r-1",
    keys=("GATEWAY", "LINEAR"),
    base_version=6,
    started_at=1764057600.25,
    holder="alice@ops1 #0f3a",
    fence=2,
    stamp="6",
    new={"GATEWAY": "g-{{ 6 * 7 }}", "LINEAR": "l-\u00fc\n"},
    inbox_version=3,
)


class Kept:
    """A path of a KV engine in memory. before_write: somebody who is faster. lost: the answer to a write that is kept
    does not arrive, so the client sends it again."""

    mount, path = "kv", "agents-rotation/roberval"

    def __init__(self, lost: bool = False) -> None:
        self.versions: dict[int, dict[str, Any] | None] = {}
        self.secrets: set[str] = set()
        self.before_write: Callable[[], object] | None = None
        self.lost = lost
        self.vault: Any = self

    def __str__(self) -> str:
        return f"{self.mount}/{self.path}"

    def keep_secret(self, *values: str) -> None:
        self.secrets.update(values)

    def document(self) -> Document | None:
        last = max(self.versions, default=0)
        found = self.versions.get(last)
        return Document(copy.deepcopy(found), last, {}) if found is not None else None

    def put(self, document: dict[str, Any]) -> int:
        last = max(self.versions, default=0) + 1
        self.versions[last] = json.loads(json.dumps(document))
        return last

    def write(self, document: dict[str, Any], *, expected_version: int) -> int:
        faster, self.before_write = self.before_write, None
        if faster:
            faster()
        for _sent in range(2 if self.lost else 1):
            if expected_version != max(self.versions, default=0):
                raise CasConflict("check-and-set", "", 400)
            version = self.put(document)
        return version

    def metadata(self) -> Metadata:
        return Metadata(remaining=tuple(number for number, found in self.versions.items() if found is not None))

    def destroy(self, versions: Iterable[int]) -> None:
        for number in versions:
            self.versions[number] = None

    def left(self) -> str:
        return json.dumps(self.versions)


def kept(**options: Any) -> Any:
    """An Entry, as far as the journal uses one."""
    return Kept(**options)


def test_what_is_read_is_what_was_written() -> None:
    where = kept()
    written = write(where, JOURNAL)
    assert written == replace(JOURNAL, version=1)
    assert read(where) == written


def test_what_is_read_is_secret_from_then_on() -> None:
    where = kept()
    write(where, JOURNAL)
    read(where)
    assert set(JOURNAL.new.values()) <= where.secrets


def test_where_no_rotation_ever_began_there_is_none() -> None:
    assert read(kept()) is None


def test_its_own_version_is_no_part_of_what_is_kept() -> None:
    where = kept()
    write(where, JOURNAL)
    assert "version" not in where.versions[1]


def test_a_write_whose_answer_was_lost_is_taken_for_done() -> None:
    where = kept(lost=True)
    written = write(where, JOURNAL)
    assert written.version == 1
    assert len(where.versions) == 1
    assert write(where, replace(written, phase=PROMOTED)).version == 2


def test_of_two_runs_that_write_the_second_finds_out() -> None:
    where = kept()
    mine = write(where, JOURNAL)
    where.before_write = lambda: write(where, replace(mine, holder="bob@ops2 #77aa", fence=3))
    with pytest.raises(AgentError, match="another run has taken over the rotation r-1") as caught:
        write(where, replace(mine, phase=PROMOTED))
    assert caught.value.kind is ErrorKind.LOCK_LOST
    assert read(where) == replace(mine, holder="bob@ops2 #77aa", fence=3, version=2)


@pytest.mark.parametrize("phase", CLOSED)
def test_once_closed_no_version_has_a_value(phase: str) -> None:
    where = kept()
    journal = write(where, JOURNAL)
    journal = write(where, replace(journal, phase=PROMOTED))
    closed = close(where, journal, phase)
    assert closed.closed
    assert read(where) == closed
    assert not [value for value in JOURNAL.new.values() if json.dumps(value)[1:-1] in where.left()]


def test_what_is_swept_behind_a_closed_one_is_never_the_next_ones() -> None:
    where = kept()
    closed = close(where, write(where, JOURNAL), FINISHED)
    following = write(where, replace(JOURNAL, rotation_id="r-2", version=closed.version))
    # A run that was stopped right after it had closed its own.
    sweep(where, closed)
    assert read(where) == following


def test_values_that_a_killed_run_left_behind_its_end_are_seen() -> None:
    where = kept()
    assert not leftovers(where.metadata(), None)
    journal = write(where, JOURNAL)
    assert not leftovers(where.metadata(), journal)
    closed = write(where, replace(journal, phase=FINISHED, new={}))
    assert leftovers(where.metadata(), closed)
    sweep(where, closed)
    assert not leftovers(where.metadata(), closed)


@pytest.mark.parametrize("phase", [PREPARED, PROMOTED, ROLLING_BACK])
def test_any_other_phase_is_open(phase: str) -> None:
    assert not replace(JOURNAL, phase=phase).closed


def test_a_second_rotation_follows_a_closed_one_under_check_and_set() -> None:
    where = kept()
    first = close(where, write(where, JOURNAL), FINISHED)
    second = write(where, replace(JOURNAL, rotation_id="r-2", version=first.version))
    with pytest.raises(AgentError, match="taken over"):
        write(where, replace(JOURNAL, rotation_id="r-3", version=first.version))
    assert read(where) == second


def edited(**changes: Any) -> Any:
    where = kept()
    write(where, JOURNAL)
    document = where.versions[1]
    where.put({name: value for name, value in {**document, **changes}.items() if value != "left out"})
    return where


@pytest.mark.parametrize(
    "changes",
    [
        {"rotation_id": "left out"},
        {"keys": "left out"},
        {"keys": None},
        {"keys": []},
        {"keys": [], "new": {}},
        {"keys": "GATEWAY"},
        {"keys": ["GATEWAY"]},
        {"new": ["g-new"]},
        {"new": None},
        {"new": {"GATEWAY": "g-new"}},
        {"new": {"GATEWAY": "g-new", "LINEAR": 7}},
        {"phase": "done"},
        {"note": "looked at by bob"},
    ],
    ids=str,
)
def test_one_that_was_edited_by_hand_is_for_a_person_to_look_at(changes: dict[str, Any]) -> None:
    where = edited(**changes)
    with pytest.raises(AgentError, match="kv/agents-rotation/roberval was edited by hand") as caught:
        read(where)
    assert caught.value.kind is ErrorKind.INVALID
    assert caught.value.hint
    assert "g-" not in str(vars(caught.value))


@pytest.mark.parametrize("schema", [2, "1", "left out"])
def test_one_of_another_version_of_this_collection_is_left_alone(schema: Any) -> None:
    where = edited(schema=schema)
    with pytest.raises(AgentError, match="another version of this collection") as caught:
        read(where)
    assert "-mount=kv agents-rotation/roberval" in caught.value.hint
    assert len(where.versions) == 2


def test_a_closed_one_needs_no_values() -> None:
    where = kept()
    aborted = close(where, write(where, JOURNAL), ABORTED)
    assert aborted.new == {}
    assert read(where) == aborted


def test_names_are_new_each_time_and_short_enough_for_a_run_id() -> None:
    one, other = new_id(), new_id()
    assert one != other
    assert len(one) == 12
