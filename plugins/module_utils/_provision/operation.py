# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Vault's side of one agent: KV entry, policy, AppRole, and the SecretID in the Secret that ESO logs in with.

Made so that it can be killed anywhere and run again: what is there and works is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from ansible_collections.digitalsys.agents.plugins.module_utils._agent.live import look
from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Context, Object, Params, Result
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._eso.access import (
    Access,
    access_secret,
    metadata_of,
    read_access,
    secret_id_state,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._guards.ownership import (
    require_no_strangers,
    strangers,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._guards.permissions import (
    ACCESS_NEEDS,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._journal import rotation as journals
from ansible_collections.digitalsys.agents.plugins.module_utils._kube import names
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.apply import fence_of
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.errors import Conflict
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kinds import NAMESPACE, SECRET
from ansible_collections.digitalsys.agents.plugins.module_utils._options.agent import (
    Home,
    check_mount,
    home,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._options.duration import OF_GO, seconds_of
from ansible_collections.digitalsys.agents.plugins.module_utils._options.key_policy import (
    generate,
    generated_keys,
    of_options,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._rotate_access.operation import renew
from ansible_collections.digitalsys.agents.plugins.module_utils._session.session import Session, session
from ansible_collections.digitalsys.agents.plugins.module_utils._vault import names as vault_names
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.client import (
    FromElsewhere,
    LockedOut,
    Vault,
    locked_out,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.home import (
    is_marked,
    mark,
    require_home,
    require_own,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.kv import Entry, Kept, no_values, require_kv2
from ansible_collections.digitalsys.agents.plugins.module_utils._vault.policies import is_policy_of_ours, policy_text

#: Options with a duration, as Vault reads it.
_TTLS = ("secret_id_ttl", "token_ttl")


def role_settings(agent: str, params: Params) -> Object:
    return {
        "token_policies": [vault_names.policy(agent)],
        **{option: seconds_of(params[option], option, OF_GO, zero=True) for option in _TTLS},
        "secret_id_num_uses": 0,
        "bind_secret_id": True,
    }


def _checked(params: Params) -> Home:
    check_mount(params["approle_mount"], "approle_mount")
    for option in _TTLS:
        seconds_of(params[option], option, OF_GO, zero=True)
    of_options(params["key_policy"])
    return home(params)


class _Access:
    """The steps, which are gone through twice: first to see what is to be done, then under the lock, to do it. In check
    mode the first time is told."""

    def __init__(self, run: Session[Home], vault: Vault) -> None:
        self.run = run
        self.vault = vault
        self.agent = run.agent.name
        self.namespace = run.agent.namespace
        self.path = run.agent.vault_path
        self.mount = run.agent.vault_mount
        self.approle = run.params["approle_mount"]
        self.is_seen_only = True
        self.is_complete = True
        self.generated: list[str] = []

    def change(self, code: str, words: str, write: Callable[[], None]) -> None:
        """Seen, told in check mode, or done."""
        self.is_complete = False
        if self.run.context.check_mode:
            self._foretell(code, words)
        elif not self.is_seen_only:
            write()
            self.run.did(code, words)

    def _foretell(self, code: str, words: str) -> None:
        self.run.changes.append(words)
        self.run.step(code, f"{words} (would)")

    def namespace_exists(self) -> bool:
        if self.run.kube.get(NAMESPACE, "", self.namespace) is not None:
            return True
        if self.run.context.check_mode:
            self._foretell("namespace", f"namespace {self.namespace} made")
        return False

    def make_namespace(self) -> None:
        """Before any lock: a Lease needs it."""
        meta = {"name": self.namespace, "labels": names.fleet_labels()}
        try:
            self.run.kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
            self.run.did("namespace", f"namespace {self.namespace} made")
        except Conflict as error:
            if not error.is_there_already:
                raise

    def require_no_strangers(self, there: bool) -> None:
        """Whatever is somebody else's, in Vault and in the cluster, is named at once and before any write."""
        found = strangers(look(self.run.kube, self.namespace, self.agent)) if there else []
        name = names.approle_secret(self.agent)
        secret = self.run.kube.get_metadata(SECRET, self.namespace, name) if there else None
        if secret is not None and not names.is_ours(secret):
            found.append(f"{SECRET.name} {name}")
        policy = vault_names.policy(self.agent)
        role = vault_names.role(self.agent)
        if not is_policy_of_ours(self.vault.policy(policy)):
            found.append(f"Vault's policy {policy}")
        settings = self.vault.role(self.approle, role)
        if settings is not None and settings.get("token_policies") != [policy]:
            found.append(f"Vault's AppRole {role}")
        require_no_strangers(self.agent, found)

    def values(self) -> list[str]:
        """Generated keys that are missing are made, and nothing else in the entry is touched; the names of those that
        only a person can supply."""
        require_kv2(self.vault, self.mount)
        entry = Entry(self.vault, self.mount, self.path)
        found = entry.read()
        values, version, told, *_rest = found or Kept({}, 0, {})
        is_there = found is not None
        if is_there:
            require_own(entry, told, self.own, self.agent)
        else:
            metadata = entry.metadata()
            is_there, told = metadata.exists, metadata.told or {}
            require_home(entry, told, self.own, self.agent)
            if metadata.last:
                raise no_values(entry, metadata, self.agent)
        policies = of_options(self.run.params["key_policy"])
        new = [key for key in generated_keys(policies) if not values.get(key)]
        self.generated = new
        if new:

            def write() -> None:
                # Under check-and-set: whoever wrote meanwhile is not overwritten, the run is simply repeated.
                made = {key: generate(policies[key]) for key in new}
                if version:
                    entry.patch(made, expected_version=version)
                else:
                    entry.write(made, expected_version=0)

            self.change("values", f"Vault's {self.mount}/{self.path}: {', '.join(new)} generated", write)
        # Where nothing is there is nothing to mark: whoever puts the first key there has the next run do it.
        if not is_marked(told) and (is_there or new):
            self.change("home", f"Vault's {entry} marked as this agent's", partial(entry.tell, self.own))
        return [key for key in self.run.params["required_keys"] if not values.get(key) and key not in new]

    @property
    def own(self) -> dict[str, str]:
        return mark(self.run.cluster_uid, self.namespace, self.agent)

    def journal(self) -> None:
        """Where rotations keep what they are about to do: short, and only ever written under check-and-set."""
        where = journals.entry(self.vault, self.mount, self.agent)
        found = where.metadata()
        told = dict(found.told or {})
        as_wanted = found.max_versions == journals.MAX_VERSIONS and found.cas_required
        if not as_wanted or journals.DIGEST_KEY not in told:
            told.setdefault(journals.DIGEST_KEY, journals.new_digest_key())
            write = partial(where.settle, max_versions=journals.MAX_VERSIONS, cas_required=True, told=told)
            self.change("journal", f"journal of rotations at {where} made", write)

    def policy(self) -> None:
        name = vault_names.policy(self.agent)
        wanted = policy_text(self.mount, self.path)
        if self.vault.policy(name) != wanted:
            self.change("policy", f"policy {name} written", partial(self.vault.write_policy, name, wanted))

    def role(self) -> None:
        name = vault_names.role(self.agent)
        wanted = role_settings(self.agent, self.run.params)
        found = self.vault.role(self.approle, name) or {}
        if {key: found.get(key) for key in wanted} != wanted:
            self.change("role", f"AppRole {name} written", partial(self.vault.write_role, self.approle, name, wanted))

    def secret_id(self, there: bool) -> None:
        """A SecretID that still logs in is kept. A new one is written at once, together with its accessor."""
        name = names.approle_secret(self.agent)
        role = vault_names.role(self.agent)
        live = self.run.kube.get(SECRET, self.namespace, name) if there else None
        self.run.saw(*([fence_of(live)] if live else []))
        access = read_access(live or {"metadata": {}}, self.run.context)
        role_id = self.vault.role_id(self.approle, role) if self.vault.role(self.approle, role) else ""
        same_role = role_id and access.role_id == role_id
        if same_role and access.secret_id and self._logs_in(role, access):
            return
        write = partial(self._new_secret_id, role, role_id, access, live)
        self.change("secret_id", f"a new SecretID for {role} in Secret {name}", write)

    def _new_secret_id(self, role: str, role_id: str, access: Access, live: Object | None) -> None:
        secret_id, accessor = self.vault.new_secret_id(self.approle, role, metadata_of(self.run.cluster_uid))
        role_id = role_id or self.vault.role_id(self.approle, role)
        # What a renewal that is open has noted stays: it will go on with this SecretID.
        access = replace(access, role_id=role_id, secret_id=secret_id, accessor=accessor)
        self.run.writer.apply(access_secret(self.agent, self.namespace, access), live)

    def _logs_in(self, role: str, access: Access) -> bool:
        """Or would: where asking uses it up, or cannot be done from here, Vault is asked what it knows of it."""
        state = secret_id_state(self.vault, self.approle, role, value=access.secret_id)
        if state and state.uses_left:
            return not state.has_ended(self.vault.now())
        try:
            return self.vault.logs_in(self.approle, access.role_id, access.secret_id)
        except FromElsewhere:
            self.run.warnings.append(
                f"{self.agent}: the SecretID may not log in from this machine's address, so it was kept as it is"
            )
            return True
        except LockedOut as error:
            # One more would be refused as well: the renewal lifts that, and proves what it makes.
            raise AgentError(
                ErrorKind.VAULT,
                f"{self.agent}: {locked_out(role)}: whether its SecretID works cannot be told",
                f"ansible-playbook playbooks/rotate_access.yml -e agent={self.agent} lifts that and makes a new one; "
                "or run this again, 15 minutes after the last failed login.",
                error.details,
            ) from None


def provide_or_renew(params: Params, context: Context) -> Result:
    """The operation that the option secret_id names."""
    return renew(params, context) if params["secret_id"] == "renew" else provide(params, context)


def provide(params: Params, context: Context) -> Result:
    """Result: cluster_uid, missing_keys (for a person to supply), foretold_keys (that would be made), changes (words).
    No value in any of them."""
    agent = _checked(params)
    # The one operation that runs while the inventory pins no cluster: it prints the uid to pin.
    with session(agent, params, context, take_ownership=True, pinned=False) as run:
        access = _Access(run, run.log_in())
        there = access.namespace_exists()
        if there:
            run.require(ACCESS_NEEDS, "provisioner")
            run.require_not_frozen()
        missing = _steps(access, there)
        if not context.check_mode and not access.is_complete:
            if not there:
                access.make_namespace()
                # It has no Role yet: that is for the cluster's owner to bind.
                run.require(ACCESS_NEEDS, "provisioner")
            access.is_seen_only = False
            with run.locked("lock", SECRET):
                missing = _steps(access, True)
        elif not context.check_mode and run.is_held():
            run.free_dead_lock("lock", SECRET)
        if missing:
            run.warnings.append(
                f"{agent.name}: a person must supply {', '.join(missing)}: vault kv patch "
                f"-mount={agent.vault_mount} {agent.vault_path} {missing[0]}=-"
            )
        if not params["cluster_uid"]:
            uid = run.cluster_uid
            run.warnings.append(f"this cluster has uid {uid}: set agent_cluster_uid: {uid} in group_vars/agents.yml")
        foretold = access.generated if context.check_mode else []
        return run.result(cluster_uid=run.cluster_uid, missing_keys=missing, foretold_keys=foretold)


def _steps(access: _Access, there: bool) -> list[str]:
    access.require_no_strangers(there)
    missing = access.values()
    access.journal()
    access.policy()
    access.role()
    access.secret_id(there)
    return missing
