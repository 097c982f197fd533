# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs an operation inside ansible's own process: a module task costs a quarter of a second before it does anything.

The parent imports the action plugin before it forks its workers, so all imports are paid once. What that brings with
it is handled here: a worker outlives SIGKILL of its process group unless it asks not to; the task's `environment`
does not reach the process; arguments arrive as tagged types; an exception would be printed with what it carries.
"""

from __future__ import annotations

import ctypes
import json
import multiprocessing
import os
import signal
from types import ModuleType
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Operation, Spec
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._core.host import perform

display = Display()
_PR_SET_PDEATHSIG = 1
_LOCAL = ("local", "ansible.builtin.local", "ansible.legacy.local")
try:
    _libc: Any = ctypes.CDLL(None, use_errno=True)
except OSError:
    _libc = None


def die_with_parent() -> None:
    """Nothing may be written after the job was killed: a worker lives in a session of its own, where the kill of the
    process group does not reach it."""
    parent = multiprocessing.parent_process()
    if parent is not None and _libc is not None and hasattr(_libc, "prctl"):
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent.pid:  # it died before we asked
            os.kill(os.getpid(), signal.SIGKILL)


def plain(value: Any) -> Any:
    """Without ansible's tags: a YAML date, for one, is not serialisable otherwise."""
    return json.loads(json.dumps(value, default=str))


class OperationAction(ActionBase):
    """Subclasses say which operation, with which options."""

    operation: Operation
    spec: Spec
    #: Imported before the workers are forked, who would each do it: what some kubeconfigs need, and not all.
    inherited: tuple[ModuleType, ...] = ()
    #: What a workflow's next job is told of each agent: set_stats without a task per host.
    published: tuple[str, ...] | None = None

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        if (self._connection.transport or "") not in _LOCAL:
            return {**result, **self._execute_module(task_vars=task_vars)}
        if boolean(os.environ.get("ANSIBLE_DEBUG", "no"), strict=False):
            raise AnsibleActionFail("refusing to run with ANSIBLE_DEBUG: it prints values that must stay secret")
        die_with_parent()
        arguments = {name: value for name, value in plain(self._task.args).items() if not name.startswith("_ansible_")}
        checked = ArgumentSpecValidator(self.spec).validate(arguments)
        if checked.error_messages:
            return {
                **result,
                "failed": True,
                "msg": "; ".join(checked.error_messages),
                "error": {"kind": ErrorKind.INVALID.value},
            }
        show = None if self._task.no_log else (lambda line: display.display(f"  {line}"))
        result.update(
            perform(
                self.operation,
                checked.validated_parameters,
                self._environ(),
                check_mode=bool(self._task.check_mode),
                diff=bool(self._task.diff),
                no_log_values=set(checked._no_log_values),
                show=show,
            )
        )
        if result.get("failed"):
            result["msg"] += self._not_reached(task_vars or {})
        elif self.published is not None:
            told = {name: result[name] for name in self.published}
            data = {"fleet_result": {result["agent"]: told} if told else {}}
            result["ansible_stats"] = {"data": data, "per_host": False, "aggregate": True}
        return result

    @staticmethod
    def _not_reached(task_vars: dict[str, Any]) -> str:
        """The agents of later waves: they are not in ansible's recap, so the failure names them."""
        hosts = list(task_vars.get("ansible_play_hosts_all") or [])
        batch = set(task_vars.get("ansible_play_batch") or [])
        last = max((index for index, name in enumerate(hosts) if name in batch), default=len(hosts))
        return f"\nNot reached: {', '.join(hosts[last + 1 :])}" if hosts[last + 1 :] else ""

    def _environ(self) -> dict[str, str]:
        """The process's environment under the task's own, which ansible would only give to a module."""
        environ = dict(os.environ)
        for part in self._task.environment or []:
            templated = self._templar.template(part) if part else {}
            if isinstance(templated, dict):
                environ.update({str(name): str(value) for name, value in plain(templated).items() if value is not None})
        return environ
