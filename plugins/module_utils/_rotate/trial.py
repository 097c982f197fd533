# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A new value tried out at the service it is for, before anything is written."""

from __future__ import annotations

import contextlib

from ansible_collections.digitalsys.agents.plugins.module_utils._core.timeouts import TRIAL_REQUEST
from ansible_collections.digitalsys.agents.plugins.module_utils._options.key_policy import Trial

with contextlib.suppress(ImportError):  # Vault says so
    import requests


def refusal(key: str, value: str, trial: Trial) -> str:
    """Words for what its service answers, '' where that is what the policy says."""
    session = requests.Session()
    session.trust_env = False
    try:
        answer = session.request(
            trial.method, trial.url, headers={trial.header: trial.prefix + value}, timeout=TRIAL_REQUEST,
            allow_redirects=False, stream=True,
        )  # fmt: skip
        found = f"HTTP {answer.status_code} instead of {trial.status}" if answer.status_code != trial.status else ""
    except (requests.RequestException, ValueError) as error:
        found = type(error).__name__
    finally:
        session.close()
    host = trial.url.split("/")[2]
    return found and f"the new value of {key} did not pass its test at {host}: {found}"
