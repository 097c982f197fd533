"""Keys and certificates of one sandbox, made anew with each start."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .addresses import ADDRESS, FIRST_SERVICE, NODE
from .paths import PKI, write_secret

_LIFE = datetime.timedelta(days=365)


@dataclass(frozen=True)
class Authority:
    """A certificate authority: what signs, and what is handed to everybody."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate


def _pem_key(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _name(common_name: str, organization: str | None) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organization:
        parts.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(parts)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))  # clocks an hour apart
        .not_valid_after(now + _LIFE)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def authority(common_name: str = "agents-sandbox") -> Authority:
    """A new authority, valid for a year."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(common_name, None)
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    certificate = (
        _builder(name, name, key)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    return Authority(key, certificate)


def issue(
    signer: Authority, common_name: str, organization: str | None = None, names: Sequence[str] = ()
) -> tuple[str, str]:
    """Certificate and key, both PEM, good for server and client; `names` are host names and IP addresses."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        _builder(_name(common_name, organization), signer.certificate.subject, key)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key()), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([_alternative(n) for n in names]), critical=False)
    return pem(builder.sign(signer.key, hashes.SHA256())), _pem_key(key)


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def write_all() -> None:
    """Everything the cluster needs, into PKI: ca, apiserver, admin and kubelet as .crt and .key, and sa.key."""
    signer = authority()
    write_secret(PKI / "ca.crt", pem(signer.certificate))
    write_secret(PKI / "ca.key", _pem_key(signer.key))
    in_cluster = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
    wanted: dict[str, tuple[str, str | None, Sequence[str]]] = {
        "apiserver": ("kube-apiserver", None, ("127.0.0.1", FIRST_SERVICE, ADDRESS, *in_cluster)),
        "admin": ("admin", "system:masters", ()),
        "kubelet": (f"system:node:{NODE}", "system:nodes", (NODE, ADDRESS)),
    }
    for file_name, (common_name, organization, names) in wanted.items():
        certificate, key = issue(signer, common_name, organization, names)
        write_secret(PKI / f"{file_name}.crt", certificate)
        write_secret(PKI / f"{file_name}.key", key)
    write_secret(PKI / "sa.key", _pem_key(rsa.generate_private_key(public_exponent=65537, key_size=2048)))
