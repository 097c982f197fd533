"""TLS on both sides of the proxy."""

from __future__ import annotations

import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ..paths import write_secret
from ..pki import Authority, issue


def load_authority(certificate: Path, key: Path) -> Authority:
    """From PEM files, as the sandbox keeps its own. ValueError when the key is not one of an elliptic curve."""
    secret = serialization.load_pem_private_key(key.read_bytes(), password=None)
    if not isinstance(secret, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{key}: not a key of an elliptic curve")
    return Authority(secret, x509.load_pem_x509_certificate(certificate.read_bytes()))


def serving(authority: Authority, folder: Path) -> ssl.SSLContext:
    """With a new certificate for 127.0.0.1 and localhost; certificate and key go into `folder`, readable by us only."""
    both = folder / "proxy.pem"
    write_secret(both, "".join(issue(authority, "fault proxy", names=("127.0.0.1", "localhost"))))
    return serving_from(both)


def serving_from(certificate: Path, key: Path | None = None) -> ssl.SSLContext:
    """With a certificate that exists (PEM; the key may be in the same file)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["http/1.1"])  # the proxy speaks no HTTP/2
    return context


def trusting(ca: str) -> ssl.SSLContext:
    """Towards a server whose certificate this authority (PEM) has signed."""
    context = ssl.create_default_context(cadata=ca)
    context.set_alpn_protocols(["http/1.1"])
    return context
