# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of a run: which cluster is meant, and what may be done there."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  cluster_uid:
    description:
      - The uid of the namespace C(kube-system) of the cluster that is meant.
      - Compared before anything else. A kubeconfig that points to another cluster is refused, because a second agent of
        the same name would fight with the first one over its Discord token.
      - Not set, the module stops and prints the uid of the cluster that answers, for you to set it in the inventory.
    type: str
  allow_insecure:
    description: Allow a connection to the API server that does not verify the server's certificate.
    type: bool
    default: false
"""

    OWNERSHIP = r"""
options:
  take_ownership:
    description:
      - Take over fields of our own objects that another field manager owns. Without it such a field stops the run,
        which names the field and the manager.
      - What somebody changed with kubectl is put back without it, and shown.
      - An object that was not made by this collection is never taken over, whatever this says.
    type: bool
    default: false
"""
