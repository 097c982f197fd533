"""OCI archives of one small layer, written by hand: what a push sees of an image, without a build."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

from image_pipeline import archive

REVISION = "0123456789abcdef0123456789abcdef01234567"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def write(path: Path, labels: dict[str, str] | None = None, content: bytes = b"a file\n", created: str = "") -> str:
    """Writes an archive; its digest. `labels` are added to those of a build of REVISION."""
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w") as tar:
        _add(tar, "etc/content", content)
    layer = gzip.compress(inner.getvalue(), mtime=0)
    config: dict[str, Any] = {
        "created": created or "2026-01-01T00:00:00Z",
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": ["/usr/bin/tini", "--"], "Labels": {archive.REVISION: REVISION, **(labels or {})}},
        "rootfs": {"type": "layers", "diff_ids": [archive.digest_of(inner.getvalue())]},
        "history": [{"created_by": "COPY content /etc/content"}, {"created_by": "CMD", "empty_layer": True}],
    }
    blobs = {archive.digest_of(raw): raw for raw in (layer, json.dumps(config).encode())}
    of_layer, of_config = blobs
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": _entry("application/vnd.oci.image.config.v1+json", of_config, blobs[of_config]),
        "layers": [_entry("application/vnd.oci.image.layer.v1.tar+gzip", of_layer, layer)],
    }
    raw = json.dumps(manifest).encode()
    digest = archive.digest_of(raw)
    blobs[digest] = raw
    index = {"schemaVersion": 2, "manifests": [_entry(_MANIFEST, digest, raw)]}
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        _add(tar, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
        _add(tar, "index.json", json.dumps(index).encode())
        for name, blob in blobs.items():
            _add(tar, f"blobs/{name.replace(':', '/')}", blob)
    return digest


def _entry(kind: str, digest: str, raw: bytes) -> dict[str, Any]:
    return {"mediaType": kind, "digest": digest, "size": len(raw)}


def _add(tar: tarfile.TarFile, name: str, raw: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(raw)
    tar.addfile(member, io.BytesIO(raw))
