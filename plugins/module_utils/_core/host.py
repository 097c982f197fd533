# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How an operation is hosted: its errors turned into a failed task, nothing secret let out, its folder removed.

Two hosts share this: an ordinary module (run_module), and an action plugin in ansible's own process.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import (
    Context,
    Operation,
    Params,
    Result,
    Spec,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._core.scrub import Scrubber, environment_secrets

REPORT_TO = "https://github.com/digitalsys/agents/issues"


@contextlib.contextmanager
def private_folder() -> Iterator[str]:
    """Mode 0700, for the key files that the kubernetes library insists on writing; gone afterwards."""
    folder = tempfile.mkdtemp(prefix="agents-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def perform(
    operation: Operation,
    params: Params,
    environ: Mapping[str, str],
    *,
    check_mode: bool,
    diff: bool,
    no_log_values: set[str],
    show: Callable[[str], None] | None = None,
) -> Result:
    """The operation's result, scrubbed; failures as {failed, msg, error}. Raises nothing."""
    secrets = {*no_log_values, *environment_secrets(environ)}

    def progress(line: str) -> None:
        if show:
            show(Scrubber(secrets).text(line))

    with private_folder() as folder:
        context = Context(environ, folder, check_mode, diff, progress, secrets)
        try:
            result = operation(params, context)
        except AgentError as error:
            result = {
                "failed": True,
                "changed": _wrote(error) and not check_mode,
                "msg": error.text(),
                "error": error.as_data(),
            }
        except Exception as error:  # an unhandled one would be printed by ansible as it is, values included
            where = [
                f"{'/'.join(frame.filename.split('/')[-2:])}:{frame.lineno} {frame.name}"
                for frame in traceback.extract_tb(error.__traceback__)
            ]
            result = {
                "failed": True,
                "msg": f"internal error: {type(error).__name__} in {where[-1] if where else 'unknown place'}\n"
                f"Please report it with the field error.where: {REPORT_TO}",
                "error": {
                    "kind": ErrorKind.INTERNAL.value,
                    "hint": REPORT_TO,
                    "where": where,
                    "type": type(error).__name__,
                },
            }
    scrubbed: Result = Scrubber(secrets).data(result)
    return scrubbed


def _wrote(error: AgentError) -> bool:
    """Whether a failed operation changed something on its way: it says so itself."""
    return bool(error.details.get("changes"))


def run_module(operation: Operation, spec: Spec) -> None:
    """What main() of every module is."""
    import os

    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    result = perform(
        operation,
        module.params,
        os.environ,
        check_mode=module.check_mode,
        diff=module._diff,
        no_log_values=set(module.no_log_values),
    )
    for line in result.pop("warnings", []):
        module.warn(line)
    if result.pop("failed", False):
        module.fail_json(**result)
    module.exit_json(**result)
