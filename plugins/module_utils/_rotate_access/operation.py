# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The renewal of the SecretID that ESO logs in by: a second one is made and stored, proved by a login of our own and by
a sync of ESO, and only then the old one destroyed. Killed anywhere, the same words go on.
"""

from __future__ import annotations

import secrets

from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Context, Object, Params, Result
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._eso.access import (
    Access,
    access_secret,
    metadata_of,
    read_access,
    secret_id_state,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._eso.refresh import require_refreshing
from ansible_collections.digitalsys.agents.plugins.module_utils._eso.sync import sync_anew
from ansible_collections.digitalsys.agents.plugins.module_utils._guards.ownership import require_no_strangers
from ansible_collections.digitalsys.agents.plugins.module_utils._guards.permissions import (
    RENEWAL_NEEDS,
    require_vault_permissions,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._kube import names
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.apply import fence_of
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kinds import EXTERNAL_SECRET, SECRET, SECRET_STORE
from ansible_collections.digitalsys.agents.plugins.module_utils._options.agent import Home, check_mount, home
from ansible_collections.digitalsys.agents.plugins.module_utils._options.names import check_run_id
from ansible_collections.digitalsys.agents.plugins.module_utils._rotate_access.decisions import (
    Step,
    next_step,
    to_destroy,
    vault_needs,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._session.session import Session, session
from ansible_collections.digitalsys.agents.plugins.module_utils._vault import names as vault_names
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.client import (
    FromElsewhere,
    LockedOut,
    Refused,
    Vault,
    locked_out,
)

#: All that it may patch: the Secret, and what a sync of ESO is asked for by.
_FENCED = (SECRET, SECRET_STORE, EXTERNAL_SECRET)


class _Renewal:
    """look() before each decision; what was done is told as it is done."""

    def __init__(self, run: Session[Home], vault: Vault) -> None:
        self.run = run
        self.agent = run.agent
        self.vault = vault
        self.mount = run.params["approle_mount"]
        self.role = vault_names.role(run.agent.name)
        self.wanted_id = run.params["rotation_id"] or ""
        self.expires = ""

    def look(self) -> Step:
        name = names.approle_secret(self.agent.name)
        self.role_id = self._role_id()
        self.live = self._require(name, self.run.kube.get(SECRET, self.agent.namespace, name))
        self.access = read_access(self.live, self.run.context)
        state = secret_id_state(self.vault, self.mount, self.role, value=self.access.secret_id)
        # Nobody asks whether the old one still works: one that does not is what a renewal is for above all.
        made = state if self.access.renewal else None
        works = made is not None and not made.has_ended(self.vault.now()) and self.may_log_in()
        # What the annotation says counts only where Vault does not know the SecretID itself any more.
        self.in_use, self.expires = (state.accessor, state.expires) if state else (self.access.accessor, "")
        return next_step(self.access, self.in_use, works=works, wanted_id=self.wanted_id)

    def _role_id(self) -> str:
        try:
            return self.vault.role_id(self.mount, self.role)
        except Refused as error:
            if error.status != 404:
                raise
            again = f"ansible-playbook playbooks/provision.yml -e agent={self.agent.name}"
            words = f"{self.agent.name}: Vault has no AppRole {self.role} at auth/{self.mount}"
            raise AgentError(ErrorKind.VAULT, words, f"Make it: {again}", error.details) from None

    def _require(self, name: str, live: Object | None) -> Object:
        again = f"ansible-playbook playbooks/provision.yml -e agent={self.agent.name}"
        if live is None:
            raise AgentError(ErrorKind.NOT_FOUND, f"Secret {name} is not there", f"Make it: {again}")
        if not names.is_ours(live):
            require_no_strangers(self.agent.name, [f"{SECRET.name} {name}"])
        self.run.saw(fence_of(live))
        return live

    def logs_in(self) -> bool:
        """From here; where only other addresses may, ESO's own sync is all that can prove it."""
        if self.access.role_id != self.role_id:
            return False
        try:
            return self.vault.logs_in(self.mount, self.role_id, self.access.secret_id)
        except FromElsewhere:
            return True

    def may_log_in(self) -> bool:
        try:
            return self.logs_in()
        except LockedOut:
            return True  # that is for the proof to find out, which may write

    def store(self, access: Access) -> None:
        """Both accessors in the write that replaces the SecretID: a kill leaves the trace of the old one."""
        self.live = self.run.writer.apply(access_secret(self.agent.name, self.agent.namespace, access), self.live)
        self.access = access

    def make(self) -> None:
        """The first write. A lost answer, or a kill before the next one, leaves a SecretID that nobody knows: the end
        of this renewal, or of the next one, destroys it by its metadata."""
        before = self.access
        value, accessor = self.vault.new_secret_id(self.mount, self.role, metadata_of(self.run.cluster_uid))
        self.run.did("make", f"a second SecretID of {self.role} is made")
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
        self.run.did("make", f"Secret {names.approle_secret(self.agent.name)} has it, and names the one before it")

    def lift_lockout(self) -> None:
        try:
            self.vault.lift_lockout(self.mount, self.role_id)
        except Refused as error:
            if error.status != 403:
                raise
            raise AgentError(
                ErrorKind.VAULT,
                f"{self.agent.name}: {locked_out(self.role)}, and this token may not lift that "
                "(update on sys/locked-users/auth_approle_*)",
                "No SecretID was destroyed. Have the policy mended (docs/permissions/operator.hcl), or wait: Vault "
                "lets it in again 15 minutes after the last failed login, where nobody set another time. Then run the "
                "same command again: it goes on.",
                error.details,
            ) from None
        self.run.did("lockout", f"the lockout of {self.role} in Vault is lifted: too many logins had failed")

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
        sync_anew(self.agent, self.run.kube, self.run.writer, self.run.params["sync_timeout"])
        self.run.did("prove", "the new SecretID is proved, by a login and by a sync of the External Secrets Operator")

    def destroy(self) -> None:
        accessors = {*self.vault.accessors(self.mount, self.role), self.access.previous, self.in_use} - {""}
        known = {one: secret_id_state(self.vault, self.mount, self.role, one) for one in accessors}
        doomed = to_destroy(known, self.in_use, self.access.previous, self.run.cluster_uid)
        for accessor in doomed:
            self.vault.destroy_secret_id(self.mount, self.role, accessor)
        current = known.get(self.in_use)
        self.expires = current.expires if current else ""
        words = f"destroyed: {len(doomed)} SecretIDs from before" if doomed else "those before it have ended already"
        self.run.did("destroy", words)

    def finish(self) -> None:
        done = self.wanted_id or self.access.renewal
        self.store(Access(self.role_id, self.access.secret_id, self.in_use, renewed=done))
        self.run.did("finish", f"renewal {done} is finished")

    def go(self, step: Step) -> None:
        if step is Step.NOTHING:
            return
        if step is Step.PROVE:
            self.run.step("prove", f"going on with renewal {self.access.renewal}")
        if step is Step.MAKE:
            self.make()
        self.prove()
        self.destroy()
        self.finish()

    def foretell(self, step: Step) -> None:
        words = f"would go on with renewal {self.access.renewal}" if step is Step.PROVE else f"would {step.value}"
        self.run.did("plan", words)

    def result(self) -> Result:
        return self.run.result(
            cluster_uid=self.run.cluster_uid,
            rotation_id=self.access.renewed or self.access.renewal,
            expires=self.expires,
        )


def renew(params: Params, context: Context) -> Result:
    """The whole operation for one agent, as the operator. AgentError for every failure, with the changes before it."""
    agent = home(params)
    check_mount(params["approle_mount"], "approle_mount")
    check_run_id(params["rotation_id"], "rotation_id")
    # The Secret is ours by its label; whoever wrote the SecretID in it, that is what is to be replaced.
    with session(agent, params, context, take_ownership=True) as run:
        it = _Renewal(run, run.log_in())
        run.require(RENEWAL_NEEDS)
        require_vault_permissions(it.vault, vault_needs(it.mount, it.role), "the renewal of a SecretID")
        step = it.look()
        # The last write of a killed run may be all but the release of its lock: that is still to be done.
        if step is Step.NOTHING:
            if not context.check_mode and run.is_held():
                run.free_dead_lock("lock", *_FENCED)
            context.progress(f"{agent.name}: renewal {it.wanted_id} is finished already")
            return it.result()
        # An open renewal must be able to end.
        if not it.access.renewal:
            run.require_not_frozen()
        require_refreshing(agent, run.kube)
        if context.check_mode:
            it.foretell(step)
            return it.result()
        with run.locked("lock", *_FENCED):
            # What was seen is from before the lock: look again.
            it.go(it.look())
        return it.result()
