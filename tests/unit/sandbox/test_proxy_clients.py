"""The kubeconfig and the environment that lead through the proxy."""

from __future__ import annotations

import http.client
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.sandbox.pki import Authority, authority, pem
from tests.sandbox.proxy import proxied
from tests.sandbox.proxy.clients import Access, read_access, write_kubeconfig
from tests.sandbox.proxy.tls import load_authority, serving, trusting

from .proxy_upstream import ask, upstream


def cluster_files(folder: Path, signer: Authority, port: int) -> Path:
    path = folder / "kubeconfig"
    write_kubeconfig(path, Access("", "", {"token": "the-token"}, "bots"), port, pem(signer.certificate))
    return path


def test_api_and_vault_through_one_proxy(tmp_path: Path) -> None:
    cluster, signer = authority(), authority()
    with upstream(serving(cluster, tmp_path)) as api, upstream() as vault:
        given = {
            "KUBECONFIG": str(cluster_files(tmp_path, cluster, api.server_address[1])),
            "VAULT_ADDR": f"http://127.0.0.1:{vault.server_address[1]}",
            "OTHER": "kept",
        }
        with proxied(tmp_path, given, signer) as through:
            access = read_access(Path(through.environment["KUBECONFIG"]))
            assert (access.user, access.namespace, access.ca) == (
                {"token": "the-token"},
                "bots",
                pem(signer.certificate),
            )
            assert through.environment["OTHER"] == "kept"
            assert through.ca.read_text() == access.ca
            assert through.kubeconfig.stat().st_mode & 0o077 == 0
            port = through.proxy.port("api")
            assert access.server == f"https://127.0.0.1:{port}"
            client = http.client.HTTPSConnection("127.0.0.1", port, timeout=60, context=trusting(access.ca))
            client.request("GET", "/version")
            assert client.getresponse().read() == b"hello"
            client.close()
            assert ask(int(through.environment["VAULT_ADDR"].rpartition(":")[2]), "GET", "/v1/sys/health")[0] == 200
            seen = [(request.front, request.path) for request in through.proxy.requests()]
        assert seen == [("api", "/version"), ("vault", "/v1/sys/health")]
        assert len(api.received) == len(vault.received) == 1


def test_a_client_certificate_cannot_go_through(tmp_path: Path) -> None:
    path = cluster_files(tmp_path, authority(), 1)
    config = yaml.safe_load(path.read_text())
    config["users"][0]["user"] = {"client-certificate-data": "x", "client-key-data": "y"}
    path.write_text(yaml.safe_dump(config))
    with pytest.raises(ValueError, match="no bearer token"):
        read_access(path)


def test_the_signer_is_read_from_files_too(tmp_path: Path) -> None:
    made = authority()
    key = made.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "ca.crt").write_text(pem(made.certificate))
    (tmp_path / "ca.key").write_bytes(key)
    assert load_authority(tmp_path / "ca.crt", tmp_path / "ca.key").certificate == made.certificate
    serving(load_authority(tmp_path / "ca.crt", tmp_path / "ca.key"), tmp_path)
    assert (tmp_path / "proxy.pem").stat().st_mode & 0o077 == 0
