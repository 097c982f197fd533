# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a pod's volume calls itself, as the kubelet tells it."""

from __future__ import annotations

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._kube.pods import identity_of
from tests.unit.builders import pod

IDENTITY = "b9b8350b-f9bf-4c41-9928-502dc3b27efd"


@pytest.mark.parametrize(
    ("words", "identity"),
    [
        ("", ""),
        (IDENTITY, IDENTITY),
        (f"a word of the runtime's: {IDENTITY}", IDENTITY),
        (f"expected {IDENTITY}, found none", ""),
    ],
)
def test_a_word_of_the_runtimes_own_hides_no_identity(words: str, identity: str) -> None:
    assert identity_of(pod(init={"terminated": {"exitCode": 0, "message": words}})) == identity
