# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Quantities: refused where Kubernetes would guess, equal where they mean the same."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._options.quantity import amount, canonical

BAD: list[Any] = [
    "10gi",
    "1e3",
    "1E3",
    "-1Gi",
    "+1Gi",
    "10 Gi",
    " 10Gi",
    "10Gi ",
    "10Gi\n",
    "0",
    "0Gi",
    "0.0",
    "0m",
    "25GiB",
    "25GB",
    "",
    "Gi",
    "1,5Gi",
    "1.5.5Gi",
    ".5Gi",
    "1.Gi",
    "0x10",
    "1_000",
    "ten",
    "inf",
    "NaN",
    "1K",
    "1ki",
    "1KI",
    "10Gi; rm",
    "１０Gi",
    "٣Gi",
    "1.2345",
    "9" * 40,
    "9223372036854775808",
    "8Ei",
    "1" * 5000 + "Gi",
    None,
    10,
    1.5,
    True,
    ["10Gi"],
]


@pytest.mark.parametrize("text", BAD, ids=lambda text: repr(text)[:30])
@pytest.mark.parametrize("judge", [amount, canonical])
def test_what_kubernetes_would_guess_at_is_refused(judge: Any, text: Any) -> None:
    with pytest.raises(AgentError) as caught:
        judge(text, "volume_size")
    assert caught.value.kind is ErrorKind.INVALID
    assert caught.value.message.startswith("volume_size: ")
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("10Gi", 10 * 2**30),
        ("10G", 10**10),
        ("1Ki", 1024),
        ("1k", 1000),
        ("2", 2),
        ("500m", Decimal("0.5")),
        ("0.5", Decimal("0.5")),
        ("1.5Gi", 3 * 2**29),
        ("7Ei", 7 * 2**60),
        ("1Pi", 2**50),
        ("1Ti", 2**40),
        ("512Mi", 2**29),
    ],
)
def test_a_quantity_is_the_number_it_stands_for(text: str, number: Any) -> None:
    assert amount(text) == number


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("1024Mi", "1Gi"),
        ("1Gi", "1Gi"),
        ("1048576Ki", "1Gi"),
        ("2048Gi", "2Ti"),
        ("1000Mi", "1000Mi"),
        ("0.5Gi", "512Mi"),
        ("1.5Gi", "1536Mi"),
        ("1.5Ki", "1536"),
        ("0.1Gi", "107374182400m"),
        ("0.5", "500m"),
        ("1000m", "1"),
        ("1500m", "1500m"),
        ("2.0", "2"),
        ("2.50", "2500m"),
        ("1000", "1k"),
        ("1024", "1024"),
        ("1000k", "1M"),
        ("100", "100"),
        ("010Gi", "10Gi"),
        ("1000G", "1T"),
        ("250m", "250m"),
    ],
)
def test_the_spelling_is_the_one_that_the_api_server_keeps(text: str, kept: str) -> None:
    assert canonical(text) == kept


@pytest.mark.parametrize("text", ["10Gi", "25Gi", "512Mi", "500m", "2", "1k", "107374182400m", "1536"])
def test_a_canonical_quantity_stays_as_it_is(text: str) -> None:
    assert canonical(canonical(text)) == canonical(text) == text


@pytest.mark.parametrize(
    ("one", "other"), [("1024Mi", "1Gi"), ("0.5", "500m"), ("1", "1000m"), ("1000Ki", "1024k"), ("10.0Gi", "10Gi")]
)
def test_equal_amounts_are_equal_however_they_are_written(one: str, other: str) -> None:
    assert amount(one) == amount(other)
