"""The sandbox's own manners. It is taken down and killed here, so these tests run only when asked for:

AGENTS_TEST_SANDBOX_LIFECYCLE=1 pytest tests/integration/test_sandbox_lifecycle.py
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox import (
    cgroups,
    cluster,
    containers,
    control,
    environment,
    kwok,
    leftovers,
    network,
    parts,
    process,
    vault,
)
from tests.sandbox.addresses import BRIDGE, NAMESPACE
from tests.sandbox.config import PAUSE_IMAGE
from tests.sandbox.paths import CACHE, CHECKOUT, HOSTPATH_LINK, OWNER, RUN, VOLUMES

pytestmark = pytest.mark.skipif(
    "AGENTS_TEST_SANDBOX_LIFECYCLE" not in os.environ,
    reason="takes the sandbox down; AGENTS_TEST_SANDBOX_LIFECYCLE=1 runs it",
)

_COMMAND = [sys.executable, "-m", "tests.sandbox"]
_SETTINGS = (
    "net/ipv4/ip_forward", "net/ipv4/conf/all/forwarding", "net/ipv4/conf/default/forwarding", "vm/overcommit_memory",
    "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes",
)  # fmt: skip
#: Where the sandbox's programs are known to write, besides its own folders.
_FOLDERS = (
    "/etc/cni", "/opt", "/run", "/run/containerd", "/run/containerd/s", "/run/netns", "/tmp/hostpath_pv",
    "/usr/libexec", "/var/lib", "/var/lib/cni", "/var/lib/cni/results", "/var/lib/kubelet", "/var/log/containers",
    "/var/log/pods", "/var/run/kubernetes",
)  # fmt: skip


def _sandbox(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    answer = subprocess.run([*_COMMAND, *words], cwd=CHECKOUT, capture_output=True, text=True)
    assert not check or answer.returncode == 0, answer.stdout + answer.stderr
    return answer


def _up() -> None:
    _sandbox("up", "--without-images")


def _processes() -> list[str]:
    """Command lines that speak of the run folder; what is marked or in a pod is looked for besides."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            line = Path("/proc", pid, "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(RUN) in line and int(pid) != os.getpid():
            found.append(line)
    return found


def _machine() -> dict[str, object]:
    """What a sandbox could leave behind on the machine."""
    mounts = [line.split(" ")[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return {
        "processes": (_processes(), process.marked(), sorted(cgroups.processes())),
        # Images may be built beside this test; their storage is not the sandbox's.
        "mounts": sorted(mount for mount in mounts if not mount.startswith(str(CACHE / "images"))),
        "devices": sorted(os.listdir("/sys/class/net")),
        "rules": [network.run("iptables", "-w", "-t", table, "-S") for table in ("nat", "filter")],
        "routes": network.run("ip", "route"),
        "settings": {name: Path("/proc/sys", name).read_text() for name in _SETTINGS},
        "groups": sorted(str(mount / name) for mount in cgroups.hierarchies() for name in os.listdir(mount)),
        "folders": {path: sorted(os.listdir(path)) for path in _FOLDERS if Path(path).is_dir()},
        "volumes": (HOSTPATH_LINK.is_symlink(), HOSTPATH_LINK.exists(), VOLUMES.exists()),
    }


@pytest.fixture(scope="module")
def clean() -> Iterator[dict[str, object]]:
    """The machine without a sandbox. Afterwards one is up again, as it may have been before."""
    _sandbox("down")
    yield _machine()
    _up()


def _run_a_pod() -> None:
    """One pod on the real node with a volume, and one on a fake node: everything that leaves traces."""
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    real = {
        "containers": [
            {"name": "pause", "image": PAUSE_IMAGE, "imagePullPolicy": "Never",
             "volumeMounts": [{"name": "state", "mountPath": "/state"}, {"name": "memory", "mountPath": "/memory"}]}
        ],
        "volumes": [{"name": "state", "persistentVolumeClaim": {"claimName": "lifecycle"}},
                    {"name": "memory", "emptyDir": {"medium": "Memory"}}],
    }  # fmt: skip
    fake = {
        "containers": [{"name": "pause", "image": PAUSE_IMAGE}],
        "nodeSelector": kwok.NODE_SELECTOR,
        "tolerations": [kwok.TOLERATION],
    }
    kwok.add_nodes(1)
    meta = {"namespace": NAMESPACE}
    cluster.apply(
        [
            {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "lifecycle", **meta},
             "spec": {"storageClassName": "do-block-storage", **claim}},
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "real", **meta}, "spec": real},
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "fake", **meta}, "spec": fake},
        ]
    )  # fmt: skip
    for name in ("real", "fake"):
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}"
        process.wait_until(name, lambda path=path: cluster.condition(cluster.get(path), "Ready"), 60)  # type: ignore[misc]


def test_down_leaves_nothing(clean: dict[str, object]) -> None:
    _up()
    _run_a_pod()
    assert _machine() != clean
    _sandbox("down")
    assert _machine() == clean
    assert not RUN.exists()


def test_what_was_left_in_the_image_store_is_gone_on_the_next_start(clean: dict[str, object]) -> None:
    _up()
    assert containers.ctr("containers", "ls", "-q").split() == []
    assert PAUSE_IMAGE in containers.ctr("images", "ls", "-q").split()


def test_up_twice_is_quick_and_changes_nothing(clean: dict[str, object]) -> None:
    _up()
    before, started = process.recorded(), time.monotonic()
    assert "is up already" in _sandbox("up", "--without-images").stdout
    assert time.monotonic() - started < 3
    assert process.recorded() == before


@pytest.mark.parametrize("attempt", range(6))
def test_up_recovers_from_a_kill(clean: dict[str, object], attempt: int) -> None:
    seed = random.randrange(10**6)
    moment = random.Random(seed).uniform(0.2, 7.0)
    print(f"attempt {attempt}: seed {seed}, killed after {moment:.2f} s")
    _sandbox("down")
    victim = subprocess.Popen(
        [*_COMMAND, "up", "--without-images"], cwd=CHECKOUT, start_new_session=True, stdout=subprocess.DEVNULL
    )
    try:
        victim.wait(moment)
    except subprocess.TimeoutExpired:
        os.killpg(victim.pid, signal.SIGKILL)
    victim.wait()
    _up()
    assert _sandbox("status").returncode == 0
    _sandbox("down")
    assert _machine() == clean


def test_a_dead_kubelet_and_containerd_do_not_hinder_down(clean: dict[str, object]) -> None:
    """As after a crash: their pods run on with nobody to ask for their end."""
    _up()
    _run_a_pod()
    for name in ("kubelet", "containerd"):
        found = process.find(name)
        assert found is not None
        os.kill(found.pid, signal.SIGKILL)
    assert cgroups.processes()
    process.wait_until("dead", lambda: not control.part_runs("containerd"), 5)
    answer = _sandbox("status", check=False)
    assert answer.returncode == 1
    assert "dead" in answer.stdout
    _sandbox("down")
    assert _machine() == clean


def test_a_reboot_is_survived(clean: dict[str, object]) -> None:
    """It ends every process and empties /run, but the image store still knows of the containers."""
    _up()
    _run_a_pod()
    assert containers.ctr("containers", "ls", "-q").split()
    process.kill(process.marked())
    cgroups.remove()
    network.down()
    for path in leftovers.shim_sockets():
        path.unlink(missing_ok=True)  # a pod's containers share one
    leftovers.unmount(RUN)
    shutil.rmtree(RUN)
    _up()
    assert containers.ctr("containers", "ls", "-q").split() == []
    _sandbox("down")
    assert _machine() == clean


def test_a_second_sandbox_is_refused_by_name(clean: dict[str, object], tmp_path: Path) -> None:
    _up()
    mine = OWNER.read_text()
    before = process.recorded()
    try:
        OWNER.write_text(json.dumps({**json.loads(mine), "checkout": str(tmp_path)}))
        for word in ("up", "down"):
            answer = _sandbox(word, check=False)
            assert answer.returncode == 1
            assert str(tmp_path) in answer.stderr
            assert len(answer.stderr.splitlines()) == 1
    finally:
        OWNER.write_text(mine)
    assert process.recorded() == before
    assert all(process.alive(part) for part in before)


def test_a_part_that_dies_during_up_is_named_with_its_log(clean: dict[str, object]) -> None:
    _sandbox("down")
    with subprocess.Popen(
        [sys.executable, "-c", "import socket, time\ns = socket.create_server(('127.0.0.1', 15000))\ntime.sleep(60)"]
    ) as squatter:
        try:
            process.wait_until("port taken", lambda: bool(network.run("ss", "-Hltn", "sport = :15000").strip()), 10)
            answer = _sandbox("up", "--without-images", check=False)
        finally:
            squatter.kill()
    assert answer.returncode == 1
    assert "registry" in answer.stderr
    assert "address already in use" in answer.stderr


def test_parts_can_be_stopped_started_and_sealed(clean: dict[str, object]) -> None:
    _up()
    values = environment.read()
    for name in parts.all_parts():
        control.stop_part(name)
        assert not control.part_runs(name)
        control.start_part(name)
    assert not vault.sealed()
    control.seal_vault()
    assert vault.sealed()
    control.unseal_vault()
    assert vault.client(token=values["VAULT_TOKEN"]).secrets.kv.v2.read_secret_version(
        "agents/roberval", mount_point="kv", raise_on_deleted_version=True
    )["data"]["data"]["GITHUB_TOKEN"]
    assert environment.read() == values
    assert BRIDGE in os.listdir("/sys/class/net")


def test_an_image_told_to_crash_does_so_on_fake_nodes_and_others_do_not(clean: dict[str, object]) -> None:
    _up()
    kwok.add_nodes(1)
    bad, good = (f"sha256:{letter * 64}" for letter in "ab")
    control.crash_digests([bad])
    for name, digest in (("bad", bad), ("good", good)):
        spec = {
            "containers": [{"name": "gateway", "image": f"127.0.0.1:15000/some/image@{digest}"}],
            "nodeSelector": kwok.NODE_SELECTOR,
            "tolerations": [kwok.TOLERATION],
        }
        meta = {"name": name, "namespace": NAMESPACE}
        cluster.apply([{"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}])

    def status(name: str) -> dict[str, Any]:
        found = cluster.get(f"/api/v1/namespaces/{NAMESPACE}/pods/{name}")
        assert found is not None
        return found["status"]

    process.wait_until("good ready", lambda: cluster.condition({"status": status("good")}, "Ready"), 30)
    process.wait_until("bad crashed", lambda: "containerStatuses" in status("bad"), 30)
    waiting = status("bad")["containerStatuses"][0]["state"]["waiting"]
    assert waiting["reason"] == "CrashLoopBackOff"
    assert not cluster.condition({"status": status("bad")}, "Ready")
