# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of a rotation: what its steps work with, what they have to tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._journal import rotation as journals
from ansible_collections.digitalsys.agents.plugins.module_utils._journal.rotation import Journal
from ansible_collections.digitalsys.agents.plugins.module_utils._kube import names
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kinds import POD, Kind
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.live import Live, look
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.pods import gateway_status
from ansible_collections.digitalsys.agents.plugins.module_utils._options.key_policy import KeyPolicy
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.bring_up import Run
from ansible_collections.digitalsys.agents.plugins.module_utils._rotate.decisions import Standing, standing
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.client import CasConflict, Vault
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.kv import Entry


@dataclass
class Rotation:
    """One run of a rotation. run: what it shares with a rollout. adopted: it was begun by another run, which may still
    be about to write. changes: words for what was done, in order."""

    run: Run
    vault: Vault
    policies: Mapping[str, KeyPolicy]
    journal_entry: Entry
    live_entry: Entry
    inbox_entry: Entry
    adopted: bool = False
    abort: bool = False
    release: str = ""
    secret_version: str = ""
    changes: list[str] = field(default_factory=list)
    #: Of a failure of the new values: cause and evidence, as a rollout's.
    evidence: dict[str, Any] = field(default_factory=dict)
    #: As it was written last.
    written: Journal | None = None

    @property
    def agent(self) -> str:
        return self.run.agent.name

    def note(self, name: str, words: str) -> None:
        self.run.step(name, words)
        self.changes.append(words)

    def look(self, *kinds: Kind) -> Live:
        return look(self.run.kube, self.run.agent.namespace, self.agent, *kinds)

    def write(self, journal: Journal) -> Journal:
        self.run.writer.may_write()
        self.written = journals.write(self.journal_entry, journal)
        return self.written

    def close(self, journal: Journal, phase: str) -> Journal:
        self.run.writer.may_write()
        self.written = journals.close(self.journal_entry, journal, phase)
        return self.written

    def left_open(self) -> str:
        """For whoever meets an error that is not the rotation's own: what has become of it."""
        journal = self.written
        if journal is None or journal.closed:
            return ""
        name = f"Rotation {journal.rotation_id} of {', '.join(journal.keys)}"
        return f"{name} is open ({journal.phase}): run the same command again, or take it back with -e abort=true."

    def patch(self, changes: Mapping[str, str | None], expected_version: int) -> int | None:
        """The live values' new version; None where somebody else wrote first, who is to be looked at."""
        self.run.writer.may_write()
        try:
            return self.live_entry.patch(changes, expected_version=expected_version)
        except CasConflict:
            return None

    def sweep(self, closed: Journal) -> None:
        self.run.writer.may_write()
        journals.sweep(self.journal_entry, closed)

    def containers(self) -> str:
        """Which containers of it there are now: others than before were begun since, and read the Secret anew."""
        pods = self.run.kube.list_objects(POD, self.run.agent.namespace, labels=names.pod_selector(self.agent))[0]
        return " ".join(
            sorted(f"{pod['metadata']['uid']} {gateway_status(pod).get('containerID', '')}" for pod in pods)
        )

    def base(self, journal: Journal) -> dict[str, str] | None:
        found = self.live_entry.read(journal.base_version)
        return found[0] if found else None

    def standing(self, journal: Journal) -> tuple[Standing, int]:
        """Where the rotated keys stand, and the version in which they do."""
        found = self.live_entry.read()
        return standing(journal, found[0] if found else None, self.base(journal)), found[1] if found else 0


def failed(it: Rotation, lines: list[str], hint: str = "") -> AgentError:
    again = hint or f"Mend it, then rotate again: ansible-playbook playbooks/rotate.yml -e agent={it.agent}"
    first, *rest = [line for line in lines if line]
    return AgentError(ErrorKind.ROTATION, "\n".join([f"{it.agent}: {first}", *rest]), again, dict(it.evidence))
