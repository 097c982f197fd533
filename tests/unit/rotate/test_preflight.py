# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must be so before a rotation writes anything; and that the shipped policy allows what one does, no more."""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._agent.live import Live
from ansible_collections.digitalsys.agents.plugins.module_utils._agent.manifests import Stamps
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._eso.refresh import require_refreshing, require_syncing
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kinds import DEPLOYMENT
from ansible_collections.digitalsys.agents.plugins.module_utils._options.agent import home
from ansible_collections.digitalsys.agents.plugins.module_utils._rotate.preflight import (
    capabilities,
    gone,
    require_base_survives,
    require_capabilities,
    require_journal,
    require_settled,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.kv import Metadata
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.policies import policy_text
from tests.unit.builders import agent, condition, live_of, params

Object = dict[str, Any]
HOME = home(params())
AGENT = agent()
STAMPS = Stamps(secret_version="7")
POLICY = Path(__file__).resolve().parents[3] / "docs" / "permissions" / "operator.hcl"


def granted(text: str) -> dict[str, set[str]]:
    """Path of a policy -> its capabilities."""
    found = re.findall(r'^path "([^"]+)" \{\n  capabilities = \[([^\]]*)\]\n\}', text, re.MULTILINE)
    return {path: set(re.findall(r'"([a-z]+)"', listed)) for path, listed in found}


class Token:
    """A token of Vault with a policy, as sys/capabilities-self tells it."""

    def __init__(self, text: str) -> None:
        self.policy = granted(text)

    def capabilities(self, *paths: str) -> dict[str, set[str]]:
        return {path: self._on(path) for path in paths}

    def _on(self, path: str) -> set[str]:
        ends = [rule for rule in self.policy if rule.endswith("*") and path.startswith(rule[:-1])]
        exact = {path} & self.policy.keys()
        best = next(iter(exact), None) or max(ends, key=len, default=None)
        return self.policy[best] if best else {"deny"}


def token(text: str) -> Any:
    return Token(text)


def test_the_operators_policy_is_enough() -> None:
    require_capabilities(HOME, token(POLICY.read_text()))


def test_what_a_policy_lacks_is_named_with_its_path() -> None:
    lacking = POLICY.read_text().replace('"read", "patch"', '"read"')
    with pytest.raises(AgentError, match="patch on kv/data/agents/roberval; patch on kv/metadata/agents/rob") as caught:
        require_capabilities(HOME, token(lacking))
    assert "operator.hcl" in caught.value.hint


def test_the_agents_own_policy_reaches_neither_journal_nor_inbox() -> None:
    own = token(policy_text(HOME.vault_mount, HOME.vault_path))
    others = [path for path in capabilities(HOME) if "agents-rotation" in path or "agents-inbox" in path]
    assert len(others) == 6
    assert own.capabilities(*others) == {path: {"deny"} for path in others}


def test_the_entry_of_an_agent_is_only_ever_patched() -> None:
    """A whole write would undo what somebody else wrote meanwhile."""
    assert capabilities(HOME)["kv/data/agents/roberval"] == ("read", "patch")
    assert granted(POLICY.read_text())["kv/data/agents/*"] == {"read", "patch"}


def test_a_path_of_its_own_is_what_is_asked_about() -> None:
    elsewhere = replace(HOME, vault_mount="team/kv", vault_path="bots/rob")
    assert "team/kv/data/bots/rob" in capabilities(elsewhere)
    assert "team/kv/data/agents-rotation/roberval" in capabilities(elsewhere)


class Place:
    """A path of Vault, for its metadata alone."""

    def __init__(self, found: Metadata) -> None:
        self.found = found

    def __str__(self) -> str:
        return "kv/agents-rotation/roberval"

    def metadata(self) -> Metadata:
        return self.found


def test_where_there_is_no_place_for_a_journal_provision_makes_one() -> None:
    there: Any = Place(Metadata(exists=True, cas_required=True))
    assert require_journal(HOME, there) == there.found
    nowhere: Any = Place(Metadata())
    with pytest.raises(AgentError, match="no place for the journal") as caught:
        require_journal(HOME, nowhere)
    assert "playbooks/provision.yml -e agent=roberval" in caught.value.hint


class Mount:
    """A KV engine with a configuration of its own."""

    def __init__(self, max_versions: int) -> None:
        self.max_versions = max_versions

    def request(self, method: str, path: str) -> Object:
        assert (method, path) == ("GET", "kv/config")
        return {"data": {"max_versions": self.max_versions, "cas_required": False}}


def mount(max_versions: int) -> Any:
    return Mount(max_versions)


@pytest.mark.parametrize(("of_path", "of_mount"), [(0, 0), (4, 0), (10, 0), (0, 4), (2, 4), (4, 2)])
def test_the_base_survives_where_vault_keeps_some_versions(of_path: int, of_mount: int) -> None:
    require_base_survives(HOME, Metadata(last=6, max_versions=of_path, exists=True), mount(of_mount))


@pytest.mark.parametrize(("of_path", "of_mount", "kept"), [(1, 0, 1), (3, 0, 3), (0, 3, 3), (1, 2, 2)])
def test_a_base_that_the_promotion_would_destroy_is_none(of_path: int, of_mount: int, kept: int) -> None:
    with pytest.raises(AgentError, match=f"Vault keeps {kept} versions") as caught:
        require_base_survives(HOME, Metadata(last=6, max_versions=of_path, exists=True), mount(of_mount))
    assert "-max-versions=10 agents/roberval" in caught.value.hint


class Cluster:
    """Objects by kind and name."""

    def __init__(self, *objects: Object) -> None:
        self.objects = {(one["kind"], one["metadata"]["name"]): one for one in objects}

    def get(self, kind: Any, _namespace: str, name: str) -> Object | None:
        return self.objects.get((kind.name, name))


def synced(kind: str, name: str, spec: Object | None = None, status: str = "True") -> Object:
    ready = {**condition("Ready", status, message="invalid secret id"), "lastTransitionTime": "2026-11-25T07:37:15Z"}
    return {"kind": kind, "metadata": {"name": name}, "spec": spec or {}, "status": {"conditions": [ready]}}


STORE = synced("SecretStore", "roberval-vault")
EXTERNAL = synced("ExternalSecret", "roberval-env-secret", {"refreshInterval": "1m", "refreshPolicy": "Periodic"})


def cluster(*objects: Object) -> Any:
    return Cluster(*objects)


def test_a_secret_that_is_synced_is_fine() -> None:
    require_syncing(HOME, cluster(STORE, EXTERNAL))


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"refreshInterval": "1m", "refreshPolicy": "CreatedOnce"}, "refreshPolicy CreatedOnce"),
        *[({"refreshInterval": zero}, "refreshInterval 0") for zero in ("0", "0s", "0m0s", "0h0m0s", 0)],
    ],
)
def test_a_secret_that_is_never_refreshed_would_be_waited_for_in_vain(spec: Object, words: str) -> None:
    with pytest.raises(AgentError, match=words) as caught:
        require_refreshing(HOME, cluster(STORE, synced("ExternalSecret", "roberval-env-secret", spec)))
    assert caught.value.kind is ErrorKind.SECRET
    assert "Nothing was changed" in caught.value.hint


@pytest.mark.parametrize(
    ("objects", "words"),
    [
        ((STORE,), "ExternalSecret roberval-env-secret is not there"),
        ((EXTERNAL,), "SecretStore roberval-vault is not there"),
        (
            (synced("SecretStore", "roberval-vault", status="False"), EXTERNAL),
            "SecretStore roberval-vault is not ready since 2026-11-25T07:37:15Z: invalid secret id",
        ),
        (
            (STORE, synced("ExternalSecret", "roberval-env-secret", EXTERNAL["spec"], "Unknown")),
            "ExternalSecret roberval-env-secret is not ready since 2026-11-25T07:37:15Z: invalid secret id",
        ),
        (
            ({**STORE, "status": {}}, EXTERNAL),
            "SecretStore roberval-vault is not ready since the beginning: no word why",
        ),
    ],
    ids=["no ExternalSecret", "no store", "store", "ExternalSecret", "new store"],
)
def test_what_does_not_sync_is_named_with_its_own_words(objects: tuple[Object, ...], words: str) -> None:
    with pytest.raises(AgentError, match=re.escape(words)):
        require_syncing(HOME, cluster(*objects))


def test_a_renewal_of_the_access_minds_only_whether_there_is_a_refresh() -> None:
    """An access that has ended is what it mends."""
    ended = synced("SecretStore", "roberval-vault", status="False")
    assert require_refreshing(HOME, cluster(ended, EXTERNAL)) == (ended, EXTERNAL)


def changed(live: Live, change: Any) -> Live:
    objects = copy.deepcopy(live.objects)
    change(objects)
    return Live(live.agent, objects)


def test_an_agent_that_runs_a_proved_release_may_be_rotated() -> None:
    require_settled(HOME, live_of(AGENT, STAMPS))


def test_a_secret_version_that_was_stamped_since_makes_no_difference() -> None:
    releases = live_of(AGENT, STAMPS).objects["ConfigMap"]
    live = live_of(AGENT, replace(STAMPS, secret_version="9"))
    require_settled(HOME, Live(AGENT.name, {**live.objects, "ConfigMap": releases}))


def _other_image(objects: Object) -> None:
    objects[DEPLOYMENT.name]["spec"]["template"]["spec"]["containers"][0]["image"] = "openclaw@sha256:" + "0" * 64


def _crashing(objects: Object) -> None:
    objects[DEPLOYMENT.name]["status"] |= {"readyReplicas": 0, "availableReplicas": 0}


def _coming(objects: Object) -> None:
    objects[DEPLOYMENT.name]["metadata"]["generation"] = 5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda objects: objects.pop(DEPLOYMENT.name), "was never rolled out"),
        (lambda objects: objects.pop("ConfigMap"), "was never rolled out"),
        (_other_image, "is not the release r1"),
        (_crashing, "no pod of it is available"),
        (_coming, "no pod of it is available"),
    ],
    ids=["no Deployment", "no release", "another image", "crashing", "half a rollout"],
)
def test_an_agent_that_does_not_is_rolled_out_first(change: Any, words: str) -> None:
    with pytest.raises(AgentError, match=words) as caught:
        require_settled(HOME, changed(live_of(AGENT, STAMPS), change))
    assert caught.value.kind is ErrorKind.ROLLOUT
    assert "ansible-playbook rollout.yml -e agent=roberval" in caught.value.hint


def test_keys_that_have_gone_meanwhile_are_told_one_by_one() -> None:
    first, second = gone(HOME, ["A", "B"])
    assert "A has gone from kv/agents/roberval" in first
    assert "vault kv patch -mount=kv agents/roberval B=-" in second
    assert gone(HOME, []) == []
