# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of promises names tests that there are."""

from __future__ import annotations

import re

from tests.sandbox.paths import CHECKOUT


def test_each_test_that_the_page_of_promises_names_is_there() -> None:
    named = set(re.findall(r"`(test_\w+)`", (CHECKOUT / "docs" / "promises.md").read_text()))
    files = (CHECKOUT / "tests").rglob("test_*.py")
    defined = {name for file in files for name in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)}
    assert len(named) > 40
    assert named - defined == set()
