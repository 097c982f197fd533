# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plain kubeconfig means to us what it means to the kubernetes library; any other is the library's to read."""

from __future__ import annotations

import base64
import copy
from pathlib import Path
from typing import Any

import pytest
import urllib3
import yaml

from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError
from ansible_collections.digitalsys.agents.plugins.module_utils._kube import library
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.config import _plain, access
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kubeconfig import settings_of

FILES = ("ssl_ca_cert", "cert_file", "key_file")


def inline(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


CLUSTER = {"server": "https://api.example.com:6443/", "certificate-authority-data": inline("the authority")}
CERTIFICATE = {"client-certificate-data": inline("certificate"), "client-key-data": inline("key")}
TOKEN = {"token": "t0ken"}


def kubeconfig(folder: Path, cluster: Any = None, user: Any = None, **whole: Any) -> Path:
    """With a second context beside the current one."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "fleet",
        "clusters": [
            {"name": "one", "cluster": CLUSTER if cluster is None else cluster},
            {"name": "two", "cluster": {"server": "https://other.example.com"}},
        ],
        "users": [{"name": "me", "user": TOKEN if user is None else user}, {"name": "other", "user": CERTIFICATE}],
        "contexts": [
            {"name": "fleet", "context": {"cluster": "one", "user": "me", "namespace": "bots"}},
            {"name": "else", "context": {"cluster": "two", "user": "other"}},
        ],
        **whole,
    }
    (folder / "named.pem").write_text("from a file")
    path = folder / "config"
    path.write_text(yaml.safe_dump(content))
    return path


def _read(path: str | None) -> bytes | None:
    return Path(path).read_bytes() if path else None


PLAIN: list[tuple[dict[str, Any], dict[str, Any], str | None]] = [
    (CLUSTER, TOKEN, None),
    (CLUSTER, CERTIFICATE, None),
    (CLUSTER, {**CERTIFICATE, **TOKEN}, None),
    (CLUSTER, {}, None),
    (CLUSTER, TOKEN, "else"),
    (CLUSTER, TOKEN, "fleet"),
    ({"server": "https://api.example.com"}, TOKEN, None),
    ({**CLUSTER, "insecure-skip-tls-verify": True}, TOKEN, None),
    ({**CLUSTER, "insecure-skip-tls-verify": False}, TOKEN, None),
    ({**CLUSTER, "tls-server-name": "inside.example.com"}, TOKEN, None),
    ({"server": "https://api.example.com", "certificate-authority": "named.pem"}, TOKEN, None),
    ({**CLUSTER, "certificate-authority": "beaten by what is inline"}, TOKEN, None),
    (CLUSTER, {"client-certificate": "named.pem", "client-key": "./named.pem"}, None),
]


@pytest.mark.parametrize(("cluster", "user", "context"), PLAIN)
def test_a_plain_kubeconfig_means_what_it_means_to_the_library(
    cluster: dict[str, Any], user: dict[str, Any], context: str | None, tmp_path: Path
) -> None:
    path, auth = kubeconfig(tmp_path, cluster, user), {"context": context} if context else {}
    (tmp_path / "private").mkdir()
    ours = settings_of(path, context, str(tmp_path / "private"))
    theirs = library.loaded(auth, str(path), str(tmp_path / "private"), in_cluster=False)
    assert ours is not None
    assert (ours.host, ours.verify_ssl, ours.tls_server_name) == (
        theirs.host,
        theirs.verify_ssl,
        theirs.tls_server_name,
    )
    assert (f"Bearer {ours.token}" if ours.token else "") == library.authorization(theirs)()
    assert [_read(getattr(ours, name)) for name in FILES] == [_read(getattr(theirs, name)) for name in FILES]
    # What streams are opened with is the same again, and nothing of it was left on disk.
    again = library.of_settings(ours)
    for name in ("host", "verify_ssl", "tls_server_name"):
        assert getattr(again, name) == getattr(theirs, name)
    assert [_read(getattr(again, name)) for name in FILES] == [_read(getattr(theirs, name)) for name in FILES]
    assert library.authorization(again)() == library.authorization(theirs)()
    assert list((tmp_path / "private").iterdir()) == []


@pytest.mark.parametrize(
    ("cluster", "user"),
    [
        (None, {"tokenFile": "named.pem"}),
        (None, {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "doctl"}}),
        (None, {"auth-provider": {"name": "oidc", "config": {}}}),
        (None, {"username": "alice", "password": "word"}),
        (None, {**TOKEN, "as": "somebody"}),
        (None, {"token": ""}),
        (None, {"token": None}),
        (None, {"token": 5}),
        (None, {"client-certificate": "not-there.pem", "client-key": "named.pem"}),
        (None, {"client-certificate-data": "%%%", "client-key-data": "%%%"}),
        (None, {"client-certificate-data": "", "client-key-data": ""}),
        (None, {"client-certificate-data": None}),
        (None, []),
        (None, "me"),
        ({**CLUSTER, "proxy-url": "http://proxy.example.com:3128"}, None),
        ({**CLUSTER, "server": "http://api.example.com"}, None),
        ({**CLUSTER, "server": None}, None),
        ({**CLUSTER, "insecure-skip-tls-verify": "false"}, None),
        ({"certificate-authority-data": inline("x")}, None),
        ([], None),
    ],
)
def test_whatever_says_more_or_less_is_the_librarys(cluster: Any, user: Any, tmp_path: Path) -> None:
    assert settings_of(kubeconfig(tmp_path, cluster, user), None, str(tmp_path)) is None


TWICE = [{"name": "me", "user": TOKEN}, {"name": "me", "user": TOKEN}]


@pytest.mark.parametrize(
    "whole",
    [
        {"current-context": "nowhere"},
        {"current-context": None},
        {"contexts": []},
        {"contexts": None},
        {"contexts": {}},
        {"contexts": [{"name": "fleet", "context": {"cluster": "one"}}]},
        {"contexts": [{"name": "fleet", "context": None}]},
        {"clusters": [{"name": "two", "cluster": CLUSTER}]},
        {"users": None},
        {"users": TWICE},
        {"users": [{"user": TOKEN}]},
    ],
    ids=str,
)
def test_a_kubeconfig_that_is_not_as_it_should_be_is_the_librarys_to_complain_of(
    whole: dict[str, Any], tmp_path: Path
) -> None:
    assert settings_of(kubeconfig(tmp_path, **whole), None, str(tmp_path)) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "a: &b [*b]", "\x00"])
def test_what_is_no_kubeconfig_is_the_librarys_to_complain_of(text: str, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(text)
    assert settings_of(tmp_path / "config", None, str(tmp_path)) is None
    assert settings_of(tmp_path / "not-there", None, str(tmp_path)) is None
    with pytest.raises(AgentError, match="no usable access to a cluster"):
        access({}, {"KUBECONFIG": str(tmp_path / "config")}, str(tmp_path), False)


def test_what_the_library_complains_of_shows_no_key(tmp_path: Path) -> None:
    user = {"token": None, "client-key-data": inline("k3y"), "client-certificate-data": inline("k3y")}
    with pytest.raises(AgentError, match="Expected key token in ") as caught:
        access({}, {"KUBECONFIG": str(kubeconfig(tmp_path, user=user))}, str(tmp_path), False)
    assert inline("k3y") not in caught.value.text()


# Which way it goes


@pytest.fixture(autouse=True)
def _no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def test_what_was_given_beats_the_kubeconfig(tmp_path: Path) -> None:
    given = {"host": "https://given.example.com/", "api_key": "given", "ssl_ca_cert": "/ca.pem", "verify_ssl": True}
    whole = _plain(given, {}, str(tmp_path), complete=True)
    assert whole is not None
    assert (whole.host, whole.token, whole.ssl_ca_cert) == ("https://given.example.com", "given", "/ca.pem")
    config = {"KUBECONFIG": str(kubeconfig(tmp_path))}
    mixed = _plain({"api_key": "given"}, config, str(tmp_path), complete=False)
    assert mixed is not None
    assert (mixed.host, mixed.token) == ("https://api.example.com:6443", "given")
    named = _plain({"context": "else", "kubeconfig": config["KUBECONFIG"]}, {}, str(tmp_path), complete=False)
    assert named is not None
    assert (named.host, named.token) == ("https://other.example.com", None)


@pytest.mark.parametrize(
    ("auth", "environ"),
    [
        ({"proxy": "http://proxy.example.com"}, {}),
        ({"proxy_headers": {"user_agent": "x"}}, {}),
        ({"no_proxy": "example.com"}, {}),
        ({"username": "alice", "password": "word"}, {}),
        ({"kubeconfig": {"apiVersion": "v1"}}, {}),
        ({}, {"HTTPS_PROXY": "http://proxy.example.com"}),
        ({}, {"https_proxy": "http://proxy.example.com"}),
        ({}, {"all_proxy": "socks5://proxy.example.com"}),
    ],
)
def test_what_the_library_knows_better_goes_its_way(
    auth: dict[str, Any], environ: dict[str, str], tmp_path: Path
) -> None:
    config = {"KUBECONFIG": str(kubeconfig(tmp_path))}
    assert _plain({}, config, str(tmp_path), complete=False) is not None
    assert _plain(copy.deepcopy(auth), {**config, **environ}, str(tmp_path), complete=False) is None


def test_several_kubeconfigs_are_joined_by_the_library(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    both = f"{kubeconfig(tmp_path)}:{kubeconfig(tmp_path / 'more')}"
    assert _plain({}, {"KUBECONFIG": both}, str(tmp_path), complete=False) is None
    assert access({}, {"KUBECONFIG": both}, str(tmp_path), False).host == "https://api.example.com:6443"


@pytest.mark.parametrize("user", [TOKEN, {"tokenFile": "named.pem"}])
def test_both_ways_end_in_the_same_access(user: dict[str, Any], tmp_path: Path) -> None:
    found = access(
        {}, {"KUBECONFIG": str(kubeconfig(tmp_path, {"server": "https://x.example.com"}, user))}, "/tmp", False
    )
    assert found.host == "https://x.example.com"
    assert found.authorization() == ("Bearer t0ken" if user is TOKEN else "Bearer from a file")
    assert found.configuration().host == found.host
    assert found.pool.connection_pool_kw["cert_reqs"] in ("CERT_REQUIRED", 2)
    assert urllib3.Retry.from_int(found.pool.connection_pool_kw["retries"]).total is False
    assert found.pool.connection_pool_kw["maxsize"] == 10


@pytest.mark.parametrize("user", [TOKEN, {"tokenFile": "named.pem"}])
@pytest.mark.parametrize("cluster", [{**CLUSTER, "insecure-skip-tls-verify": True}, {"server": "http://x.example.com"}])
def test_a_server_that_is_not_verified_is_refused_on_both_ways(
    cluster: dict[str, Any], user: dict[str, Any], tmp_path: Path
) -> None:
    environ = {"KUBECONFIG": str(kubeconfig(tmp_path, cluster, user))}
    with pytest.raises(AgentError, match="would not verify"):
        access({}, environ, str(tmp_path), False)
    assert access({}, environ, str(tmp_path), True).host
