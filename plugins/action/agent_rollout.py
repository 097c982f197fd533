# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module agent_rollout in ansible's own process."""

from __future__ import annotations

from ansible_collections.digitalsys.agents.plugins.module_utils._options.argspec import ROLLOUT_MODULE
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.operation import rollout
from ansible_collections.digitalsys.agents.plugins.plugin_utils._in_process import OperationAction


class ActionModule(OperationAction):
    operation = staticmethod(rollout)
    spec = ROLLOUT_MODULE
    published = ("changed", "image", "secret_version", "release")
