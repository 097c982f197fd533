# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of a rotation: what its steps work with, what they have to tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._journal import rotation as journals
from ansible_collections.digitalsys.agents.plugins.module_utils._journal.rotation import Journal
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kinds import CONFIG_MAP, DEPLOYMENT
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.pods import claims_of, gateway_status
from ansible_collections.digitalsys.agents.plugins.module_utils._options.agent import Home
from ansible_collections.digitalsys.agents.plugins.module_utils._options.key_policy import KeyPolicy
from ansible_collections.digitalsys.agents.plugins.module_utils._rotate.decisions import Standing, standing
from ansible_collections.digitalsys.agents.plugins.module_utils._session.session import Session
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.client import CasConflict, Vault
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.kv import Entry


class Stands(NamedTuple):
    """Where the rotated keys stand, and the version in which they do."""

    where: Standing
    version: int


@dataclass
class Rotation:
    """One run of a rotation. run: what it shares with a rollout. adopted: it was begun by another run, which may still
    be about to write."""

    run: Session[Home]
    vault: Vault
    policies: Mapping[str, KeyPolicy]
    journal_entry: Entry
    live_entry: Entry
    inbox_entry: Entry
    adopted: bool = False
    abort: bool = False
    release: str = ""
    secret_version: str = ""
    #: Of a failure of the new values: cause and evidence, as a rollout's.
    evidence: dict[str, Any] = field(default_factory=dict)
    #: As it was written last.
    written: Journal | None = None

    @property
    def agent(self) -> str:
        return self.run.agent.name

    def write(self, journal: Journal) -> Journal:
        self.written = journals.write(self.journal_entry, journal)
        return self.written

    def close(self, journal: Journal, phase: str) -> Journal:
        self.written = journals.close(self.journal_entry, journal, phase)
        return self.written

    def told_of(self, error: AgentError) -> AgentError:
        """An error that is not the rotation's own, with what went before it and what has become of the rotation."""
        journal = self.written
        if journal is None or journal.closed or error.kind is ErrorKind.ROTATION:
            return error
        if journal.failure and journal.failure not in error.message:
            # It came on the way back: why that was taken is told first.
            error.message = f"{self.agent}: {journal.failure}\nGoing back is not finished: {error.message}"
        name = f"Rotation {journal.rotation_id} of {', '.join(journal.keys)}"
        words = f"{name} is open ({journal.phase}): run the same command again, or take it back with -e abort=true."
        error.hint = f"{error.hint}\n{words}" if error.hint else words
        return error

    def patch(self, changes: Mapping[str, str | None], expected_version: int) -> int | None:
        """The live values' new version; None where somebody else wrote first, who is to be looked at."""
        try:
            return self.live_entry.patch(changes, expected_version=expected_version)
        except CasConflict:
            return None

    def sweep(self, closed: Journal) -> None:
        journals.sweep(self.journal_entry, closed)

    def containers(self) -> str:
        """Which containers of it there are now: others than before were begun since, and read the Secret anew."""
        if not self.run.claim:
            self.run.look(DEPLOYMENT, CONFIG_MAP)
        ours = [pod for pod in self.run.pods() if self.run.claim in claims_of(pod["spec"])]
        return " ".join(
            sorted(f"{pod['metadata']['uid']} {gateway_status(pod).get('containerID', '')}" for pod in ours)
        )

    def base(self, journal: Journal) -> dict[str, str] | None:
        found = self.live_entry.read(journal.base_version)
        return found.values if found else None

    def standing(self, journal: Journal) -> Stands:
        found = self.live_entry.read()
        where = standing(journal, found.values if found else None, self.base(journal))
        return Stands(where, found.version if found else 0)


def failed(it: Rotation, lines: list[str], hint: str = "") -> AgentError:
    again = hint or f"Mend it, then rotate again: ansible-playbook playbooks/rotate.yml -e agent={it.agent}"
    first, *rest = [line for line in lines if line]
    return AgentError(ErrorKind.ROTATION, "\n".join([f"{it.agent}: {first}", *rest]), again, dict(it.evidence))
