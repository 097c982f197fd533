# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every waiting time and budget of an operation, in seconds, each with its reason.

Not here: what an operator may set (its default stands with the option, in _options/argspec.py), and the periods of an
agent's probes, which are part of what an agent is (_agent/probes.py).
"""

from __future__ import annotations

# One request: until it is connected, and until more of an answer comes. A server that is there connects at once; ten
# seconds are more than an API server or a Vault ever needed for one answer that came at all.
KUBE_REQUEST = (2, 10)
#: Vault stands beside the operator or behind a short tunnel.
VAULT_REQUEST = (1, 10)
REGISTRY_REQUEST = (2, 10)
#: A service of somebody else's, anywhere in the world.
TRIAL_REQUEST = (5, 15)
#: The first tool that a fresh gateway is asked for loads half of it: 22 s were seen on a busy node.
GATEWAY_REQUEST = 40.0
#: A program in a container, and the way to it.
EXEC = 30

# All attempts of one request together.
#: Longer than a control plane is away while it is replaced.
KUBE_RETRIES = 60.0
#: Sealed is told at once; this is for a Vault that changes its leader.
VAULT_RETRIES = 20.0
REGISTRY_RETRIES = 20.0
#: A look at one gateway out of many, that nothing depends on.
GATEWAY_LOOK = 3.0
#: A gateway that is busy, or closes its port-forward, after it has become ready.
GATEWAY_RETRIES = 90.0
#: What is left for that of the timeout of a rollout, at the least.
GATEWAY_LEAST = 10.0
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 16.0
#: For so long after a connection broke, an API server may be one that has just started: it answers before it has loaded
#: the roles and service accounts, and refuses what it will allow a moment later. Longer than the longest pause between
#: two attempts, in which it may have come up.
SETTLING = 25.0

# A watch.
#: The server ends it then, and it is begun again: a connection that died unseen is noticed.
WATCH = 60
#: How much later than that the server may end it.
WATCH_SLACK = 5
#: Before a watch that ended in an error, or as soon as it had begun, is listed anew.
WATCH_AGAIN = 0.5

# The lock of an agent.
#: What its Lease says: whoever finds it unmoved for so long takes it over.
LOCK = 15
#: The least that a test may ask for instead (_lock/lease.py).
LOCK_LEAST = 5
#: The most that another's is waited for, whatever it says: a release to come may say twice as much, a hand may say
#: years.
LOCK_LONGEST = 30
#: How long a write waits for its lock to be renewed, and how long a Lease is asked for that cannot be made: as long as
#: the request itself would be tried.
LOCK_PATIENCE = KUBE_RETRIES
#: Between two looks at a Lease that somebody else holds.
LOCK_LOOK = 0.5
#: Releasing it is a courtesy: the next run needs no more than LOCK seconds without it.
LOCK_RELEASE = 10.0

# Waiting for a rollout.
#: A person, and AWX's idle timeout, see life at least so often.
REPORT = 60
#: How long to sleep at the most when nothing happens: some verdicts come with time alone.
TICK = 1.0
#: A volume moves to another node: detaching it from one that is lost takes Kubernetes six minutes.
MOUNT = 360
#: Beyond its grace: the kubelet kills at its end, and then unmounts and reports.
TERMINATION_SLACK = 60
#: Without a sign of life: Kubernetes itself says "not Ready" only after 40 s, and from 1.32 on after 50 s.
NODE_SILENT = 40
#: Of a Deployment that was deleted the cluster's own clean-up takes ReplicaSet and pod one after the other, within a
#: second on an idle control plane.
ORPHAN = 60
#: A ReplicaSet that could not make its pod tries again at once; quota and admission stay.
REPLICA_FAILURE = 2
#: When the Deployment's controller itself says that there is no progress. Ours come first; this is for other tools.
PROGRESS_DEADLINE = 1200

# Waiting for External Secrets.
#: It tries again what failed after ever longer pauses, so it is asked again that often.
SYNC_AGAIN = 3.0
#: Between two looks where no event comes.
SYNC_LOOK = 5.0
#: What it has under way is done by then: a read of Vault, and a write of a Secret.
SYNC_UNDER_WAY = 30.0
#: A SecretID that ends within this is worth a note: from then on ESO cannot log in.
SECRET_ID_ENDS_SOON = 7 * 86400
