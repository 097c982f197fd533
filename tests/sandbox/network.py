"""The bridge of the sandbox, the way out for its pods, and what had to be changed on the machine for that."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from contextlib import suppress
from pathlib import Path

from .addresses import ADDRESS, BRIDGE, PODS
from .errors import SandboxError
from .paths import HOST, RUN

_COMMENT = RUN.name
_SYSCTLS = Path("/proc/sys")
_FORWARDING = "net/ipv4/ip_forward"
#: What the kubelet sets to values of its own taste, and nobody sets back.
_KUBELET_SETS = (
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)
#: Docker and many firewalls forward nothing by default: two rules let our pods out and the answers in.
_RULES = (
    ("nat", "POSTROUTING", ("-s", PODS, "!", "-d", PODS, "-j", "MASQUERADE")),
    ("filter", "FORWARD", ("-i", BRIDGE, "-j", "ACCEPT")),
    ("filter", "FORWARD", ("-o", BRIDGE, "-j", "ACCEPT")),
)


def run(*words: str, check: bool = True) -> str:
    """Runs a program of the system and returns what it prints; SandboxError with its own words when it fails."""
    answer = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if check and answer.returncode:
        raise SandboxError(f"{shlex.join(words)}: {(answer.stderr or answer.stdout).strip()}")
    return answer.stdout


def up() -> None:
    """The bridge with its address, forwarding switched on, our three rules; what the kernel's settings were."""
    was = {name: (_SYSCTLS / name).read_text().strip() for name in (_FORWARDING, *_KUBELET_SETS)}
    # Written down, whole, before anything is changed, so that a "down" after a kill in between knows what was.
    unfinished = HOST.with_suffix(".new")
    unfinished.write_text(json.dumps(was))
    unfinished.rename(HOST)
    if was[_FORWARDING] != "1":
        (_SYSCTLS / _FORWARDING).write_text("1")
    run("ip", "link", "add", BRIDGE, "type", "bridge")
    run("ip", "address", "add", f"{ADDRESS}/{PODS.partition('/')[2]}", "dev", BRIDGE)
    run("ip", "link", "set", BRIDGE, "up")
    for table, chain, rule in _RULES:
        run("iptables", "-w", "-t", table, "-I", chain, *rule, "-m", "comment", "--comment", _COMMENT)


def ports() -> list[str]:
    """The devices attached to the bridge: the pods' ends."""
    folder = Path("/sys/class/net", BRIDGE, "brif")
    return sorted(os.listdir(folder)) if folder.is_dir() else []


def rules() -> list[tuple[str, list[str]]]:
    """Our rules as they stand: (table, words after -A)."""
    found = []
    for table in ("nat", "filter"):
        for line in run("iptables", "-w", "-t", table, "-S", check=False).splitlines():
            words = shlex.split(line)
            if words[:1] == ["-A"] and _COMMENT in words:
                found.append((table, words[1:]))
    return found


def down() -> None:
    """Removes all of it, whatever part of it is there."""
    for table, words in rules():
        run("iptables", "-w", "-t", table, "-D", *words)
    for device in ports():
        run("ip", "link", "delete", device, check=False)  # it may vanish with its pod's namespace at this moment
    if Path("/sys/class/net", BRIDGE).exists():
        run("ip", "link", "delete", BRIDGE)
    with suppress(FileNotFoundError):
        for name, value in json.loads(HOST.read_text()).items():
            if value != (_SYSCTLS / name).read_text().strip():
                (_SYSCTLS / name).write_text(value)
        HOST.unlink()
