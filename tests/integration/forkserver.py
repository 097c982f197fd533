"""ansible-playbook with everything imported, which forks for each run. Started by forked.py, by its path: no module of
the tests may be here, since the real program has none.

Words: the path of the real program, then the number of a socket. Each message on that comes with two descriptors: a
socket of the run, and what it prints into. On the run's socket comes one line of JSON (argv, env); back go a line with
the process group's number, and one with the wait status once it has ended. When the first socket is closed, all ends.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

#: Packages of which a run may load each module.
_PACKAGES = (
    "ansible_collections.digitalsys.agents.plugins.action",
    "ansible_collections.digitalsys.agents.plugins.filter",
    "ansible.plugins.inventory",
)
#: What else a run imports once it has begun, seen in `sys.modules` of one.
_LATE = (
    "ansible.modules",
    "ansible.parsing.yaml.dumper",
    "ansible.playbook.handler_task_include",
    "ansible.plugins.cache.memory",
    "ansible.plugins.strategy.linear",
    "ansible.plugins.vars.host_group_vars",
    "ansible.utils.encrypt",
    "ansible.utils.hashing",
    "ansible.utils.unicode",
    "multiprocessing.popen_fork",
    "multiprocessing.shared_memory",
    "multiprocessing.synchronize",
)


class Run(NamedTuple):
    """What came for one run. `told` is the run's socket."""

    told: socket.socket
    output: int


def load(program: str) -> None:
    """All imports of a run, as the real program would make them; no state of a run."""
    sys.argv = [program]
    sys.path[0] = str(Path(program).parent)
    importlib.import_module("ansible.cli.playbook")
    from ansible.plugins import loader

    loader.init_plugin_loader()
    # As PlaybookExecutor and TaskQueueManager do; most of that is reading the plugins' documentation. Not for other
    # kinds: the loader of vars plugins, for one, would believe that they are at work.
    for kind in ("become", "callback", "connection", "shell"):
        list(getattr(loader, f"{kind}_loader").all(class_only=True))
    for package in _PACKAGES:
        folders = importlib.import_module(package).__path__
        for module in pkgutil.iter_modules(folders, f"{package}."):
            importlib.import_module(module.name)
    for name in _LATE:
        importlib.import_module(name)


def become(run: Run) -> None:
    """In the fork: it is the real program from here on. What was read or made too early is read or made anew."""
    os.setsid()
    run.told.sendall(f"{os.getpid()}\n".encode())
    with run.told.makefile("rb") as lines:
        wanted: dict[str, Any] = json.loads(lines.readline())
    run.told.close()
    for number in (1, 2):
        os.dup2(run.output, number)
    os.close(run.output)
    os.environ.clear()
    os.environ.update(wanted["env"])
    sys.argv = wanted["argv"]

    import atexit
    import tempfile

    from ansible import constants
    from ansible.config import manager
    from ansible.utils.collection_loader._collection_finder import _AnsibleCollectionFinder
    from kubernetes.config import kube_config

    tempfile.tempdir = None
    kube_config.KUBE_CONFIG_DEFAULT_LOCATION = os.environ.get("KUBECONFIG", "~/.kube/config")
    # Its own folder for temporary files: the first that ended would take the inherited one away under the others.
    atexit.unregister(manager.cleanup_tmp_file)
    own = constants.config.get_config_value("DEFAULT_LOCAL_TMP", variables=vars(constants))
    constants.set_constant("DEFAULT_LOCAL_TMP", own)
    # The program sets it up anew, with its own words; the modules that it has loaded stay.
    _AnsibleCollectionFinder._remove()


def serve(control: socket.socket) -> Run | None:
    """Returns a run in each fork; None at the end, in the server itself."""
    running: dict[int, tuple[int, socket.socket]] = {}  # pidfd: (pid, the run's socket)
    poll = select.poll()
    poll.register(control, select.POLLIN)
    while True:
        for number, _event in poll.poll():
            if number != control.fileno():
                pid, told = running.pop(number)
                poll.unregister(number)
                os.close(number)
                _, status = os.waitpid(pid, 0)
                with suppress(OSError):  # nobody waits for it any more
                    told.sendall(f"{status}\n".encode())
                told.close()
                continue
            message, descriptors, _flags, _address = socket.recv_fds(control, 1, 2)
            if not message:
                for pid, _told in running.values():
                    with suppress(ProcessLookupError):  # before it has a group
                        os.killpg(pid, signal.SIGKILL)
                return None
            run = Run(socket.socket(fileno=descriptors[0]), descriptors[1])
            pid = os.fork()
            if not pid:
                control.close()
                for handle, (_pid, told) in running.items():
                    os.close(handle)
                    told.close()
                return run
            os.close(run.output)
            handle = os.pidfd_open(pid)
            running[handle] = pid, run.told
            poll.register(handle, select.POLLIN)


def main() -> None:
    program, number = sys.argv[1:]
    load(program)
    assert threading.active_count() == 1, "only a process of one thread can fork"
    gc.collect()
    gc.freeze()
    control = socket.socket(fileno=int(number))
    control.sendall(b"!")
    run = serve(control)
    if run is None:
        return
    become(run)
    from ansible.cli.playbook import main as playbook

    sys.exit(playbook())


if __name__ == "__main__":
    main()
