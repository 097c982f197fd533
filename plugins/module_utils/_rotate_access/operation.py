# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The renewal of the SecretID that ESO logs in by: a second one is made and stored, proved by a login of our own and by
a sync of ESO, and only then the old one destroyed. Killed anywhere, the same words go on.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Context, Object, Params, Result
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._eso.access import (
    METADATA,
    Access,
    access_secret,
    read_access,
    secret_id_state,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._eso.refresh import require_refreshing
from ansible_collections.digitalsys.agents.plugins.module_utils._eso.sync import sync_anew
from ansible_collections.digitalsys.agents.plugins.module_utils._guards.cluster import require_cluster
from ansible_collections.digitalsys.agents.plugins.module_utils._guards.freeze import require_not_frozen
from ansible_collections.digitalsys.agents.plugins.module_utils._guards.permissions import (
    RENEWAL_NEEDS,
    require_permissions,
    require_vault_permissions,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._kube import names
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.apply import Writer
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.client import Kube
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kinds import SECRET
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.live import stranger
from ansible_collections.digitalsys.agents.plugins.module_utils._lock.holder import holder, holders
from ansible_collections.digitalsys.agents.plugins.module_utils._lock.lease import Lock
from ansible_collections.digitalsys.agents.plugins.module_utils._options.agent import Home, check_mount, home
from ansible_collections.digitalsys.agents.plugins.module_utils._options.names import check_run_id
from ansible_collections.digitalsys.agents.plugins.module_utils._rotate_access.decisions import (
    Step,
    next_step,
    to_destroy,
    vault_needs,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._vault import names as vault_names
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.client import LockedOut, Refused, Vault


class _Renewal:
    """One run. look() before each decision; what was done is told as it is done."""

    def __init__(self, params: Params, context: Context, kube: Kube, vault: Vault) -> None:
        self.agent: Home = home(params)
        self.params = params
        self.context = context
        self.kube = kube
        self.vault = vault
        self.mount = params["approle_mount"]
        self.role = vault_names.role(self.agent.name)
        self.wanted_id = params["rotation_id"] or ""
        # The Secret is ours by its label; whoever wrote the SecretID in it, that is what is to be replaced.
        self.writer = Writer(kube, take_ownership=True, progress=context.progress)
        self.changes: list[str] = []
        self.expires = ""

    def did(self, words: str) -> None:
        self.changes.append(words)
        self.context.progress(f"{self.agent.name}: {words}")

    def look(self) -> Step:
        name = names.approle_secret(self.agent.name)
        self.role_id = self.vault.role_id(self.mount, self.role)
        self.live = self._require(name, self.kube.get(SECRET, self.agent.namespace, name))
        self.access = read_access(self.live, self.context)
        state = secret_id_state(self.vault, self.mount, self.role, value=self.access.secret_id)
        # Nobody asks whether the old one still works: one that does not is what a renewal is for above all.
        made = state if self.access.renewal else None
        works = made is not None and not made.has_ended(self.vault.now()) and self.may_log_in()
        # What the annotation says counts only where Vault does not know the SecretID itself any more.
        self.in_use, self.expires = (state.accessor, state.expires) if state else (self.access.accessor, "")
        return next_step(self.access, self.in_use, works=works, wanted_id=self.wanted_id)

    def _require(self, name: str, live: Object | None) -> Object:
        again = f"ansible-playbook playbooks/provision.yml -e agent={self.agent.name}"
        if live is None:
            raise AgentError(ErrorKind.NOT_FOUND, f"Secret {name} is not there", f"Make it: {again}")
        if not names.is_ours(live):
            raise stranger(SECRET.name, name)
        return live

    def logs_in(self) -> bool:
        same_role = self.access.role_id == self.role_id
        return same_role and self.vault.logs_in(self.mount, self.role_id, self.access.secret_id)

    def may_log_in(self) -> bool:
        try:
            return self.logs_in()
        except LockedOut:
            return True  # that is for the proof to find out, which may write

    def store(self, access: Access) -> None:
        """Both accessors in the write that replaces the SecretID: a kill leaves the trace of the old one."""
        self.live = self.writer.apply(access_secret(self.agent.name, self.agent.namespace, access), self.live)
        self.access = access

    def make(self) -> None:
        """The first write. A lost answer, or a kill before the next one, leaves a SecretID that nobody knows: the end
        of this renewal, or of the next one, destroys it by its metadata."""
        before = self.access
        self.writer.may_write()
        value, accessor = self.vault.new_secret_id(self.mount, self.role, METADATA)
        self.did(f"a second SecretID of {self.role} is made")
        self.store(
            Access(
                self.role_id,
                value,
                accessor,
                before.previous if before.renewal else self.in_use,
                before.renewal or self.wanted_id or secrets.token_hex(6),
            )
        )
        self.in_use = accessor
        self.did(f"Secret {names.approle_secret(self.agent.name)} has it, and names the one before it")

    def lift_lockout(self) -> None:
        self.writer.may_write()
        try:
            self.vault.lift_lockout(self.mount, self.role_id)
        except Refused as error:
            if error.status != 403:
                raise
            raise AgentError(
                ErrorKind.VAULT,
                f"{self.agent.name}: Vault has locked {self.role} out, since too many logins had failed, and this "
                "token may not lift that (update on sys/locked-users/auth_approle_*)",
                "No SecretID was destroyed. Have the policy mended (docs/permissions/operator.hcl), or wait: Vault "
                "lets it in again 15 minutes after the last failed login, where nobody set another time. Then run the "
                "same command again: it goes on.",
                error.details,
            ) from None
        self.did(f"the lockout of {self.role} in Vault is lifted: too many logins had failed")

    def prove(self) -> None:
        try:
            works = self.logs_in()
        except LockedOut:
            # ESO has tried on with one that had ended.
            self.lift_lockout()
            works = self.logs_in()
        if not works:
            raise AgentError(
                ErrorKind.VAULT,
                f"{self.agent.name}: the new SecretID of {self.role} does not log in",
                "No SecretID was destroyed. Run the same command again: it makes another one.",
            )
        sync_anew(self.agent, self.kube, self.writer, self.params["sync_timeout"])
        self.did("the new SecretID is proved, by a login and by a sync of the External Secrets Operator")

    def destroy(self) -> None:
        accessors = {*self.vault.accessors(self.mount, self.role), self.access.previous, self.in_use} - {""}
        known = {one: secret_id_state(self.vault, self.mount, self.role, one) for one in accessors}
        doomed = to_destroy(known, self.in_use, self.access.previous)
        for accessor in doomed:
            self.writer.may_write()
            self.vault.destroy_secret_id(self.mount, self.role, accessor)
        current = known.get(self.in_use)
        self.expires = current.expires if current else ""
        self.did(f"destroyed: {len(doomed)} SecretIDs from before" if doomed else "those before it have ended already")

    def finish(self) -> None:
        done = self.wanted_id or self.access.renewal
        self.store(Access(self.role_id, self.access.secret_id, self.in_use, renewed=done))
        self.did(f"renewal {done} is finished")

    def run(self, step: Step, lock: Lock) -> None:
        if lock.taken_over_from:
            # A run that is thought dead and may still write must meet our mark first.
            self.live = self.writer.raise_fence(self.live) or self.live
        if step is Step.NOTHING:
            return
        if step is Step.PROVE:
            self.context.progress(f"{self.agent.name}: going on with renewal {self.access.renewal}")
        if step is Step.MAKE:
            self.make()
        self.prove()
        self.destroy()
        self.finish()

    @contextmanager
    def told(self) -> Iterator[None]:
        """A failure says what was done before it."""
        try:
            yield
        except AgentError as error:
            error.details.setdefault("changes", self.changes)
            raise

    def foretell(self, step: Step) -> None:
        self.did(f"would go on with renewal {self.access.renewal}" if step is Step.PROVE else "would " + step.value)

    def result(self, uid: str) -> Result:
        return {
            "changed": bool(self.changes),
            "agent": self.agent.name,
            "cluster_uid": uid,
            "rotation_id": self.access.renewed or self.access.renewal,
            "expires": self.expires,
            "changes": self.changes,
        }


def renew(params: Params, context: Context) -> Result:
    """The whole operation for one agent, as the operator. AgentError for every failure, with the changes before it."""
    agent = home(params)
    check_mount(params["approle_mount"], "approle_mount")
    check_run_id(params["rotation_id"], "rotation_id")
    kube = Kube(params, context)
    try:
        uid = require_cluster(kube, params["cluster_uid"])
        it = _Renewal(params, context, kube, Vault(params, context))
        require_permissions(kube, agent.namespace, RENEWAL_NEEDS)
        require_vault_permissions(it.vault, vault_needs(it.mount, it.role), "the renewal of a SecretID")
        step = it.look()
        # The last write of a killed run may be all but the release of its lock: that is still to be done.
        if step is Step.NOTHING and (
            context.check_mode or names.lease(agent.name) not in holders(kube, agent.namespace)
        ):
            context.progress(f"{agent.name}: renewal {it.wanted_id} is finished already")
            return it.result(uid)
        if step is not Step.NOTHING:
            # An open renewal must be able to end; and a plan is wanted during a freeze above all.
            if not context.check_mode and not it.access.renewal:
                require_not_frozen(kube, agent.namespace, params["override_freeze"])
            require_refreshing(agent, kube)
        if context.check_mode:
            it.foretell(step)
            return it.result(uid)
        with Lock(
            kube, agent.namespace, agent.name, holder(params, context), context, force=params["force_unlock"]
        ) as lock:
            it.writer.may_write = lock.require
            it.writer.fence = lock.fence
            with it.told():
                # What was seen is from before the lock: look again.
                it.run(it.look(), lock)
        return it.result(uid)
    finally:
        kube.close()
