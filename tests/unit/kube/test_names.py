# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How everything of an agent is called, and what is ours."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._kube import names
from ansible_collections.digitalsys.agents.plugins.module_utils._vault import names as vault_names


@pytest.mark.parametrize(
    "derived",
    [
        names.claim,
        names.secret_store,
        names.approle_secret,
        names.external_secret,
        names.env_secret,
        names.releases,
        names.lease,
    ],
)
def test_every_derived_name_of_the_longest_agent_is_still_a_dns_label_with_room_for_a_pods_hash(derived: Any) -> None:
    longest = "x" * 52
    assert derived(longest) != derived("x" * 51)
    assert len(derived(longest)) <= 253
    assert len(f"{longest}-5d4c6b7f98") <= 63  # a label value, which the ReplicaSet's name becomes for its pods


def test_the_names_are_those_of_the_fleet_as_it_is_today() -> None:
    assert (names.claim("r"), names.secret_store("r"), names.approle_secret("r")) == (
        "r-state",
        "r-vault",
        "r-vault-approle",
    )
    assert (names.external_secret("r"), names.env_secret("r")) == ("r-env-secret", "r-env")
    assert (vault_names.policy("r"), vault_names.role("r")) == ("agents-r", "r-role")
    assert (names.lease("r"), names.releases("r")) == ("fleet-r", "r-releases")


@pytest.mark.parametrize(
    ("labels", "ours"),
    [
        ({"app.kubernetes.io/managed-by": "digitalsys.agents"}, True),
        ({"app.kubernetes.io/managed-by": "Helm"}, False),
        ({"app.kubernetes.io/name": "openclaw"}, False),
        ({}, False),
        (None, False),
    ],
)
def test_only_our_label_makes_an_object_ours(labels: Any, ours: bool) -> None:
    assert names.is_ours({"metadata": {"labels": labels}}) is ours


def test_an_object_without_any_labels_is_not_ours() -> None:
    assert not names.is_ours({"metadata": {"name": "roberval"}})
