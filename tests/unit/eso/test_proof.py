# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Secret holds what Vault has, and what cannot be proved is not claimed."""

from __future__ import annotations

import base64

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Context
from ansible_collections.digitalsys.agents.plugins.module_utils._eso.proof import decoded, missing_keys, unequal_keys


@pytest.mark.parametrize(
    ("wanted", "there", "keys"),
    [
        ({}, {}, []),
        ({"A": "1"}, {"A": "1"}, []),
        ({"A": "1", "B": "2"}, {"A": "1"}, ["B"]),
        ({"A": "1"}, {"A": "1", "B": "2"}, ["B"]),
        ({"A": "1"}, {"A": "2"}, ["A"]),
        ({"A": "1"}, {"A": "1 "}, ["A"]),
        ({"A": "1"}, {"a": "1"}, ["A", "a"]),
        ({"A": ""}, {}, ["A"]),
        ({"A": ""}, {"A": ""}, []),
        ({"A": "ação"}, {"A": "ação"}, []),
        ({"A": "ação"}, {"A": "acao"}, ["A"]),
        ({"B": "1", "A": "1"}, {}, ["A", "B"]),
    ],
)
def test_a_key_that_is_missing_other_or_unwanted_is_unequal(
    wanted: dict[str, str], there: dict[str, str], keys: list[str]
) -> None:
    assert unequal_keys(wanted, there) == keys


@pytest.mark.parametrize(
    ("required", "there", "missing"),
    [
        ([], {}, []),
        (["A"], {"A": "1"}, []),
        (["A"], {}, ["A"]),
        (["A"], {"A": ""}, ["A"]),
        (["B", "A"], {"C": "1"}, ["B", "A"]),
    ],
)
def test_a_required_key_without_a_value_is_missing(
    required: list[str], there: dict[str, str], missing: list[str]
) -> None:
    assert missing_keys(required, there) == missing


def test_what_is_read_is_kept_out_of_all_that_leaves_from_then_on() -> None:
    context = Context({}, "/nowhere")
    secret = {"data": {"A": base64.b64encode(b"hunter2").decode(), "B": base64.b64encode(b"\xff\xfe").decode()}}
    assert decoded(secret, context)["A"] == "hunter2"
    assert "hunter2" in context.secrets


@pytest.mark.parametrize("secret", [None, {}, {"data": None}])
def test_a_secret_that_is_not_there_has_no_values(secret: dict[str, None] | None) -> None:
    assert decoded(secret, Context({}, "/nowhere")) == {}
