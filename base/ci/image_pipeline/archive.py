"""An OCI archive: one image as a tar file, as buildah writes it and skopeo pushes it."""

from __future__ import annotations

import hashlib
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from image_pipeline.tools import Failed

REVISION = "org.opencontainers.image.revision"
CREATED = "org.opencontainers.image.created"
SOURCE = "org.opencontainers.image.source"
BASE_NAME = "org.opencontainers.image.base.name"
BASE_DIGEST = "org.opencontainers.image.base.digest"
#: The release of openclaw in the image, for whoever asks the registry instead of starting the image.
OPENCLAW_VERSION = "io.digitalsys.openclaw.version"
#: On images that stand on the sandbox's stand-in for Node's image: they are for trying things out.
STAND_IN = "io.digitalsys.stand-in"


@dataclass(frozen=True)
class Layer:
    """`size` in bytes, compressed, as it is pulled; `made_by` is the build's step."""

    digest: str
    size: int
    made_by: str


@dataclass(frozen=True)
class Image:
    """`digest` is the manifest's, which is what a registry will call the image. `config` is the whole config blob."""

    digest: str
    layers: tuple[Layer, ...]
    config: dict[str, Any]

    @property
    def labels(self) -> dict[str, str]:
        return self.config.get("config", {}).get("Labels") or {}

    @property
    def entrypoint(self) -> list[str]:
        return self.config.get("config", {}).get("Entrypoint") or []

    @property
    def size(self) -> int:
        return sum(layer.size for layer in self.layers)


def read(path: Path) -> Image:
    """The one image of an archive; Failed where it is none, or is damaged."""
    try:
        with tarfile.open(path) as tar:
            (entry,) = json.loads(_member(tar, "index.json"))["manifests"]
            raw = _blob(tar, entry["digest"])
            manifest = json.loads(raw)
            config = json.loads(_blob(tar, manifest["config"]["digest"]))
    except FileNotFoundError:
        raise Failed(f"{path} is not there", "Build it first: base/ci/build, or make image") from None
    except (OSError, tarfile.TarError, KeyError, TypeError, ValueError) as error:
        raise Failed(f"{path} is no OCI archive of one image ({error})", "Build it anew: base/ci/build") from error
    steps = [entry.get("created_by", "") for entry in config.get("history", []) if not entry.get("empty_layer")]
    blobs = manifest["layers"]
    # Whoever made the base may have left out its history: ours is at the end.
    steps = ([""] * len(blobs) + steps)[-len(blobs) :] if blobs else []
    layers = tuple(Layer(blob["digest"], blob["size"], step) for blob, step in zip(blobs, steps, strict=True))
    return Image(entry["digest"], layers, config)


def _member(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    if file is None:
        raise KeyError(name)
    return file.read()


def _blob(tar: tarfile.TarFile, digest: str) -> bytes:
    raw = _member(tar, f"blobs/{digest.replace(':', '/')}")
    if digest_of(raw) != digest:
        raise ValueError(f"the content of {digest} is another")
    return raw


def digest_of(raw: bytes) -> str:
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def content(config: dict[str, Any]) -> dict[str, Any]:
    """What makes two builds the same for those who run them: layers (unpacked) and settings, without the commit and
    the times. History is left out: it repeats the labels, and does nothing.
    """
    settings = dict(config.get("config", {}))
    labels = settings.pop("Labels", None) or {}
    return {
        "layers": config.get("rootfs", {}).get("diff_ids", []),
        "platform": [config.get(name) for name in ("os", "architecture", "variant")],
        "settings": settings,
        "labels": {name: value for name, value in labels.items() if name not in (REVISION, CREATED)},
    }
