"""Boots the gateway of an archive, as a pod would, and asserts what it answers: base/smoke, run inside the image."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path

from image_pipeline import archive
from image_pipeline.tools import CHECKOUT, Failed, ToolFailed, as_root, run, summary

SMOKE = CHECKOUT / "base" / "smoke"
_ENVIRONMENT = {"BUILDAH_ISOLATION": "chroot"}


def smoke(path: Path, timeout: float) -> None:
    """Failed when the gateway is not well within `timeout` seconds. What was made for it is gone afterwards."""
    image = archive.read(path)
    imported = _buildah("pull", "--quiet", f"oci-archive:{path}").split()[-1]
    try:
        container = _buildah("from", "--pull-never", imported).split()[-1]
        try:
            command = [*image.entrypoint, "/smoke", f"--port={_free_port()}", f"--timeout={timeout:.0f}"]
            mount = f"--volume={SMOKE}:/smoke:ro"
            run(*as_root("buildah", "run", mount, container, "--", *command), env=_ENVIRONMENT, shown=True)
        except ToolFailed:
            raise Failed(
                "the image's gateway is not well, so nothing is pushed",
                "Its last words are above; base/smoke says what is asserted.",
            ) from None
        finally:
            with suppress(ToolFailed):  # it must not hide what went wrong before
                _buildah("rm", container)
    finally:
        with suppress(ToolFailed):
            _buildah("rmi", "--force", imported)
    summary("Smoke test: the gateway starts, takes its token, refuses another, and stops.")


def _buildah(*words: str | Path) -> str:
    return run(*as_root("buildah", *words), env=_ENVIRONMENT)


def _free_port() -> int:
    """The container shares this machine's network, where the usual port may be taken."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
