"""containerd's side: the pause image, and taking away the containers of a sandbox that ended."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from . import config, parts, process
from .errors import SandboxError
from .paths import CACHE, CONTAINERD, CONTAINERD_SOCKET, HERE, IMAGE_STORE, RUN

_PAUSE_SOURCE = HERE / "pause.c"


def ctr(*words: str) -> str:
    """Runs containerd's own client in the namespace of Kubernetes."""
    command = ["ctr", "--address", str(CONTAINERD_SOCKET), "--namespace", "k8s.io", *words]
    answer = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if answer.returncode:
        raise SandboxError(f"ctr {' '.join(words)}: {answer.stderr.strip()}")
    return answer.stdout


def _add(archive: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    archive.addfile(entry, io.BytesIO(content))


def pause_archive(program: bytes) -> bytes:
    """An image in Docker's archive format whose only file is this program."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        _add(archive, "pause", program, 0o755)
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    machine = platform.machine()
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
    image = json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "config": {"Entrypoint": ["/pause"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        }
    ).encode()
    config_name = f"{hashlib.sha256(image).hexdigest()}.json"
    manifest = [{"Config": config_name, "RepoTags": [config.PAUSE_IMAGE], "Layers": ["layer.tar"]}]
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as archive:
        _add(archive, "manifest.json", json.dumps(manifest).encode())
        _add(archive, config_name, image)
        _add(archive, "layer.tar", layer.getvalue())
    return whole.getvalue()


def build_pause() -> Path:
    """The pause image's archive in the cache, compiled if this source was never compiled before."""
    key = hashlib.sha256(_PAUSE_SOURCE.read_bytes()).hexdigest()[:16]
    target = CACHE / f"pause-{key}.tar"
    if not target.exists():
        with tempfile.TemporaryDirectory() as folder:
            program = Path(folder, "pause")
            subprocess.run(["gcc", "-Os", "-static", "-s", "-o", program, _PAUSE_SOURCE], check=True)
            unfinished = Path(folder, "image.tar")
            unfinished.write_bytes(pause_archive(program.read_bytes()))
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(unfinished, target)
    return target


def import_pause() -> None:
    """Makes the pause image known to containerd, pinned, so that no clean-up takes it away."""
    archive = build_pause()
    if config.PAUSE_IMAGE not in ctr("images", "ls", "-q").split():
        ctr("images", "import", str(archive))
        ctr("images", "label", config.PAUSE_IMAGE, "io.cri-containerd.pinned=pinned", "io.cri-containerd.image=managed")


def remove_containers() -> None:
    """Takes all containers out of the image store. Their processes and mounts must be gone.

    A containerd of its own without the Kubernetes plugin does it: it works after a crash as well as after an orderly
    stop, and starts nothing.
    """
    if not (IMAGE_STORE / "io.containerd.metadata.v1.bolt").is_dir():
        return
    CONTAINERD.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(IMAGE_STORE / "io.containerd.runtime.v2.task", ignore_errors=True)
    shutil.rmtree(IMAGE_STORE / "io.containerd.grpc.v1.cri", ignore_errors=True)
    shutil.rmtree(CONTAINERD / "state", ignore_errors=True)
    CONTAINERD_SOCKET.unlink(missing_ok=True)
    settings = RUN / "containerd-cleaning.toml"
    settings.write_text(config.containerd(with_cri=False))
    name = "containerd-cleaning"
    cleaner = process.start(name, ["containerd", "--config", str(settings)])
    try:
        process.wait_until("containerd for cleaning up", parts.containerd_answers, 30, (name,))
        if containers := ctr("containers", "ls", "-q").split():
            ctr("containers", "rm", *containers)
    finally:
        process.stop(cleaner)
