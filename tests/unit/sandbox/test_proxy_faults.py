"""Each fault does what it says, to the requests it says, and to no other."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from tests.sandbox.proxy import (
    ALWAYS,
    FaultProxy,
    Match,
    answer,
    delay,
    hold,
    lose_answer,
    reset,
    storm,
    truncate,
)

from .proxy_upstream import Upstream, ask, upstream


@pytest.fixture
def server() -> Iterator[Upstream]:
    with upstream() as running:
        yield running


@pytest.fixture
def proxy(server: Upstream) -> Iterator[FaultProxy]:
    with FaultProxy([server.front()]) as running:
        yield running


def test_reset_never_reaches_the_server(server: Upstream, proxy: FaultProxy) -> None:
    proxy.add(reset(Match(methods={"POST"})))
    assert ask(proxy.port("api")) == (200, b"hello")
    with pytest.raises(ConnectionResetError):
        ask(proxy.port("api"), "POST", "/a", b"1")
    assert ask(proxy.port("api"), "POST", "/a", b"2") == (200, b"2")
    assert [entry[2] for entry in server.received] == [b"", b"2"]
    assert proxy.requests()[1].status is None
    assert proxy.requests()[1].fault == "reset before it was forwarded"


def test_a_lost_answer_was_carried_out(server: Upstream, proxy: FaultProxy) -> None:
    proxy.add(lose_answer(Match(writes_only=True)))
    with pytest.raises(ConnectionResetError):
        ask(proxy.port("api"), "PATCH", "/a", b"1")
    assert [entry[2] for entry in server.received] == [b"1"]
    assert (proxy.requests()[0].status, proxy.requests()[0].fault) == (200, "answer lost")


@pytest.mark.parametrize(("status", "retry_after"), [(429, "1"), (429, None), (500, None), (503, "0"), (503, None)])
def test_an_error_of_the_servers_form(server: Upstream, status: int, retry_after: str | None) -> None:
    with FaultProxy([server.front(), server.front("vault", "vault")]) as proxy:
        proxy.add(answer(status, Match(front="api"), retry_after=retry_after))
        proxy.add(answer(status, Match(front="vault"), retry_after=retry_after))
        bodies = {}
        for front in ("api", "vault"):
            client = http.client.HTTPConnection("127.0.0.1", proxy.port(front), timeout=60)
            client.request("PUT", "/a", b"body that must be read")
            got = client.getresponse()
            assert (got.status, got.getheader("Retry-After")) == (status, retry_after)
            bodies[front] = json.loads(got.read())
            client.request("PUT", "/a", b"2")  # the connection is still good
            assert client.getresponse().read() == b"2"
            client.close()
        assert (bodies["api"]["kind"], bodies["api"]["code"]) == ("Status", status)
        assert list(bodies["vault"]) == ["errors"]
    assert b"body that must be read" not in [entry[2] for entry in server.received]


def test_truncated_in_the_middle_of_the_body(proxy: FaultProxy) -> None:
    proxy.add(truncate(3))
    with pytest.raises(http.client.IncompleteRead) as caught:
        ask(proxy.port("api"), "POST", "/a", b"abcdefgh")
    assert caught.value.partial == b"abc"


def test_a_stream_truncated_by_count_of_bytes(server: Upstream, proxy: FaultProxy) -> None:
    first_chunk = b'c\r\n{"line": 0}\n\r\n'
    proxy.add(truncate(len(first_chunk) + 2))
    server.step.release(3)
    with socket.create_connection(("127.0.0.1", proxy.port("api")), timeout=60) as plain:
        plain.sendall(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
        got = b"".join(iter(lambda: plain.recv(4096), b""))
    assert got.partition(b"\r\n\r\n")[2] == first_chunk + b"c\r"


def test_delay_holds_up_one_request_and_no_other(proxy: FaultProxy) -> None:
    slow = proxy.add(delay(0.2, Match(path="^/slow")))
    with ThreadPoolExecutor(1) as pool:
        begun = time.monotonic()
        waiting = pool.submit(ask, proxy.port("api"), "GET", "/slow")
        slow.wait_fired()
        assert ask(proxy.port("api"), "GET", "/fast") == (200, b"hello")
        assert not waiting.done()
        assert waiting.result() == (200, b"hello")
        assert time.monotonic() - begun >= 0.2


def test_held_until_released(server: Upstream, proxy: FaultProxy) -> None:
    held = proxy.add(hold(Match(methods={"PUT"}, times=None)))
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(ask, proxy.port("api"), "PUT", "/a", b"x") for _ in range(2)]
        held.wait_fired(2)
        assert server.received == []
        assert [request.status for request in proxy.requests()] == [None, None]
        held.release()
        assert [result.result() for result in waiting] == [(200, b"x")] * 2
    assert ask(proxy.port("api"), "PUT", "/a", b"y") == (200, b"y")  # the rule has ended


def test_what_was_held_for_a_client_that_left_is_not_forwarded(server: Upstream, proxy: FaultProxy) -> None:
    held = proxy.add(hold())
    with socket.create_connection(("127.0.0.1", proxy.port("api")), timeout=60) as plain:
        plain.sendall(b"DELETE /a HTTP/1.1\r\nHost: x\r\n\r\n")
        held.wait_fired()
    gone = proxy.wait_for(lambda request: request.fault == "the client was gone", timeout=60)
    held.release()
    assert ask(proxy.port("api")) == (200, b"hello")
    assert gone.method == "DELETE"
    assert [entry[0] for entry in server.received] == ["GET"]


def test_leaving_the_proxy_frees_a_client_that_is_held(server: Upstream) -> None:
    with ThreadPoolExecutor(1) as pool:
        with FaultProxy([server.front()]) as proxy:
            held = proxy.add(hold())
            waiting = pool.submit(ask, proxy.port("api"))
            held.wait_fired()
        with pytest.raises((ConnectionResetError, http.client.RemoteDisconnected)):
            waiting.result(timeout=60)


def test_the_nth_match_and_the_count(proxy: FaultProxy) -> None:
    proxy.add(answer(503, Match(methods={"GET"}, path=r"^/pods\?watch", first=2, times=2)))
    statuses = []
    for path in ("/pods?watch=1", "/pods", "/pods?watch=1", "/pods?watch=2", "/other/pods?watch=1", "/pods?watch=1"):
        statuses.append(ask(proxy.port("api"), "GET", path)[0])
    assert statuses == [200, 200, 503, 503, 200, 200]


def test_a_match_by_front(server: Upstream) -> None:
    with FaultProxy([server.front("api"), server.front("vault")]) as proxy:
        proxy.add(answer(503, Match(front="vault", times=None)))
        assert [ask(proxy.port(name))[0] for name in ("api", "vault", "api")] == [200, 503, 200]
        assert [request.front for request in proxy.requests()] == ["api", "vault", "api"]


def test_the_rule_that_was_added_first_wins_and_the_next_follows(proxy: FaultProxy) -> None:
    first, second = proxy.add(answer(429)), proxy.add(answer(503, ALWAYS))
    assert [ask(proxy.port("api"))[0] for _ in range(3)] == [429, 503, 503]
    proxy.remove(second)
    assert ask(proxy.port("api"))[0] == 200
    assert (first.fired, second.fired) == (1, 2)


def weather(server: Upstream, seed: int) -> list[int | None]:
    """What 60 requests meet in a storm with this seed; None for a reset."""
    with FaultProxy([server.front()]) as proxy:
        proxy.add(storm([answer(429, retry_after="1"), answer(503), reset()], 0.4, seed, Match(path="/a", times=None)))
        for _ in range(60):
            with suppress(ConnectionResetError):
                ask(proxy.port("api"), "GET", "/a")
        return [request.status for request in proxy.requests()]


def test_a_storm_is_the_same_again_by_its_seed(server: Upstream) -> None:
    once, again, other = weather(server, 7), weather(server, 7), weather(server, 8)
    assert once == again != other
    assert set(once) == {200, 429, 503, None}
    assert 12 <= sum(status != 200 for status in once) <= 36
