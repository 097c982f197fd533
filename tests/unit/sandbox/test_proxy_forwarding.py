"""Without a fault the proxy changes nothing, and knows what passed."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.sandbox.pki import authority, pem
from tests.sandbox.proxy import FaultProxy
from tests.sandbox.proxy.tls import serving, trusting

from .proxy_upstream import Upstream, ask, upstream


@pytest.fixture
def server() -> Iterator[Upstream]:
    with upstream() as running:
        yield running


@pytest.fixture
def proxy(server: Upstream) -> Iterator[FaultProxy]:
    with FaultProxy([server.front()]) as running:
        yield running


def raw(port: int, message: bytes) -> bytes:
    """The answer's bytes up to the end of the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as plain:
        plain.sendall(message)
        return b"".join(iter(lambda: plain.recv(65536), b""))


@pytest.mark.parametrize(
    "message",
    [
        b"GET /a?b=c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"HEAD /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /status/204 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /status/404 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /until-close HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n5;ext=1\r\nde\n\r\n\r\n0\r\n\r\n",
    ],
)
def test_answers_are_the_same_byte_by_byte(server: Upstream, proxy: FaultProxy, message: bytes) -> None:
    direct = raw(server.server_address[1], message)
    assert direct.startswith(b"HTTP/1.1 ")
    assert raw(proxy.port("api"), message) == direct
    assert server.received[0] == server.received[1]  # method, target, body and every header


def test_a_kept_connection_is_one_connection_on_both_sides(server: Upstream, proxy: FaultProxy) -> None:
    client = http.client.HTTPConnection("127.0.0.1", proxy.port("api"), timeout=60)
    sent = [b"x" * size for size in (0, 1, 65536, 3_000_000)]
    for body in sent:
        client.request("PUT", "/a", body)
        assert client.getresponse().read() == (body or b"hello")
    client.close()
    assert len(server.peers) == 1
    assert {request.connection for request in proxy.requests()} == {1}


def test_expect_continue_is_answered_and_the_body_arrives(server: Upstream, proxy: FaultProxy) -> None:
    with socket.create_connection(("127.0.0.1", proxy.port("api")), timeout=60) as plain:
        plain.sendall(b"POST /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        assert plain.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        plain.sendall(b"body")
        assert plain.recv(4096).startswith(b"HTTP/1.1 200 ")
    assert server.received[0][2] == b"body"


def test_a_stream_comes_line_by_line(server: Upstream, proxy: FaultProxy) -> None:
    client = http.client.HTTPConnection("127.0.0.1", proxy.port("api"), timeout=60)
    client.request("GET", "/stream")
    answer = client.getresponse()
    for line in range(3):
        server.step.release()  # the next line is written only now
        assert json.loads(answer.readline()) == {"line": line}
    assert answer.read() == b""
    client.close()


def test_who_leaves_a_stream_ends_it_upstream(server: Upstream, proxy: FaultProxy) -> None:
    client = http.client.HTTPConnection("127.0.0.1", proxy.port("api"), timeout=60)
    client.request("GET", "/stream/forever")
    answer = client.getresponse()
    server.step.release(3)
    assert answer.readline() == b'{"line": 0}\n'
    answer.close()
    client.close()
    assert server.stream_ended.wait(60)


def test_an_upgrade_becomes_a_tunnel_both_ways(proxy: FaultProxy) -> None:
    with socket.create_connection(("127.0.0.1", proxy.port("api")), timeout=60) as plain:
        # The first bytes of the new protocol may come together with the request.
        plain.sendall(b"GET /up HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        got = b""
        while not got.endswith(b"ready:"):
            got += plain.recv(4096)
        assert got.startswith(b"HTTP/1.1 101 ")
        for size in (1, 100, 20_000):
            data = bytes(range(256)) * size
            plain.sendall(data[:1000])
            back = b""
            while len(back) < len(data[:1000]):
                back += plain.recv(65536)
            assert sorted(back) == sorted(data[:1000])
    assert proxy.requests()[0].status == 101


def test_a_refused_upgrade_is_an_ordinary_answer(proxy: FaultProxy) -> None:
    client = http.client.HTTPConnection("127.0.0.1", proxy.port("api"), timeout=60)
    for _ in range(2):
        client.request("GET", "/no-upgrade", headers={"Connection": "Upgrade", "Upgrade": "echo"})
        assert client.getresponse().read() == b"hello"
    client.close()


def test_a_hundred_connections_at_once(server: Upstream, proxy: FaultProxy) -> None:
    with ThreadPoolExecutor(25) as pool:
        bodies = [f"body {number}".encode() for number in range(100)]
        answers = list(pool.map(lambda body: ask(proxy.port("api"), "POST", "/a", body), bodies))
    assert answers == [(200, body) for body in bodies]
    assert [request.number for request in proxy.requests()] == list(range(1, 101))


def test_what_is_recorded_and_what_is_not(proxy: FaultProxy) -> None:
    client = http.client.HTTPConnection("127.0.0.1", proxy.port("api"), timeout=60)
    client.request("PATCH", "/a?dryRun=All", b"hush-body", {"Authorization": "Bearer hush-token"})
    client.getresponse().read()
    mark = proxy.mark()
    client.request("PATCH", "/a?force=true", b"hush-body", {"Authorization": "Bearer hush-token"})
    client.getresponse().read()
    client.close()
    first, second = proxy.requests()
    assert (first.method, first.path, first.query, first.status, first.is_write) == (
        "PATCH",
        "/a",
        "dryRun=All",
        200,
        0,
    )
    assert second.is_write
    assert first.time <= mark.time <= second.time
    assert proxy.requests_since(mark) == proxy.writes() == [second]
    assert proxy.requests_since(proxy.mark()) == []
    assert "hush" not in repr(proxy.requests())


def test_an_upstream_that_is_down_is_a_reset_and_comes_back(proxy: FaultProxy) -> None:
    with upstream() as short_lived:
        front = short_lived.front()
    with FaultProxy([front]) as lonely:
        with pytest.raises(ConnectionResetError):
            ask(lonely.port("api"))
        assert (lonely.requests()[0].status, lonely.requests()[0].fault) == (None, "no answer from upstream")


def test_tls_on_both_sides_and_each_side_is_verified(tmp_path: Path) -> None:
    far, near = authority(), authority()
    with upstream(serving(far, tmp_path)) as server:
        ours = serving(near, tmp_path)
        fronts = [
            replace(server.front("good"), upstream_tls=trusting(pem(far.certificate)), serving_tls=ours),
            replace(server.front("wrong-ca"), upstream_tls=trusting(pem(near.certificate)), serving_tls=ours),
        ]
        with FaultProxy(fronts) as proxy:
            knowing = trusting(pem(near.certificate))
            client = http.client.HTTPSConnection("localhost", proxy.port("good"), timeout=60, context=knowing)
            for body in (b"small", b"x" * 500_000):
                client.request("POST", "/a", body)
                assert client.getresponse().read() == body
            client.close()
            client = http.client.HTTPSConnection("127.0.0.1", proxy.port("wrong-ca"), timeout=60, context=knowing)
            client.request("GET", "/a")
            with pytest.raises(ConnectionResetError):
                client.getresponse()
            client.close()
            stranger = trusting(pem(far.certificate))
            client = http.client.HTTPSConnection("127.0.0.1", proxy.port("good"), timeout=60, context=stranger)
            with pytest.raises(ssl.SSLCertVerificationError):
                client.request("GET", "/a")
            client.close()
        assert len(server.received) == 2
