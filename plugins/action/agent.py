# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module agent in ansible's own process."""

from __future__ import annotations

from ansible_collections.digitalsys.agents.plugins.module_utils._kube import library
from ansible_collections.digitalsys.agents.plugins.module_utils._options.argspec import AGENT_MODULE
from ansible_collections.digitalsys.agents.plugins.module_utils._rollout.objects import manage
from ansible_collections.digitalsys.agents.plugins.plugin_utils._in_process import OperationAction


class ActionModule(OperationAction):
    operation = staticmethod(manage)
    spec = AGENT_MODULE
    inherited = (library,)
