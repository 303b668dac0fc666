"""The dialogues with clients of a proxy, as bytes: each kind of request, any cutting of it, and proper refusals."""

from __future__ import annotations

import base64
import errno
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketkit.apps.relay.dynamic.http import http_dialogue
from socketkit.apps.relay.dynamic.request import Destination, RequestError
from socketkit.apps.relay.dynamic.socks import socks_dialogue
from socketkit.client.proxies.exchange import Exchange
from socketkit.client.proxies.http_connect import http_exchange
from socketkit.client.proxies.socks4 import socks4_exchange
from socketkit.client.proxies.socks5 import socks5_exchange
from socketkit.errors import ConnectError, DeadlineError, ResolveError, SocketkitError

USERS = {"user": "pä:ss"}
BASIC = b"Proxy-Authorization: Basic " + base64.b64encode("user:pä:ss".encode())


def run(protocol: str, data: bytes, pieces: Sequence[int] = (), users: Any = None) -> tuple[Destination, bytes, bytes]:
    """The destination, what was sent before its reply, and what is left behind the request."""
    dialogue = (http_dialogue if protocol == "http" else socks_dialogue)(users or {})
    sizes, sent = list(pieces), b""
    answer: bytes | None = None
    while True:
        try:
            request = next(dialogue) if answer is None else dialogue.send(answer)
        except StopIteration as stopped:
            return stopped.value, sent, data
        sent += request.data
        answer = b""
        while count := request.missing(answer):
            assert count > 0
            size = min(count, sizes.pop(0)) if sizes else count
            if not data:
                raise EOFError
            answer, data = answer + data[:size], data[size:]


REQUESTS = [
    ("socks5", b"\5\1\0" + b"\5\1\0\3\2db\x15\x38", "db:5432", b"\5\0", {}),
    ("socks5", b"\5\3\1\0\2" + b"\5\1\0\1\x7f\0\0\1\0\x50", "127.0.0.1:80", b"\5\0", {}),
    ("socks5", b"\5\1\0" + b"\5\1\0\4" + bytes(15) + b"\1\0\x50", "[::1]:80", b"\5\0", {}),
    ("socks5", b"\5\2\0\2" + b"\1\4user\6p\xc3\xa4:ss" + b"\5\1\0\3\2db\0\1", "db:1", b"\5\2\1\0", USERS),
    ("socks5", b"\4\1\0\x50\x0a\0\0\1me\0", "10.0.0.1:80", b"", {}),
    ("socks5", b"\4\1\0\x50\0\0\0\1\0DB.example\0", "db.example:80", b"", {}),
    ("http", b"CONNECT db:443 HTTP/1.1\r\nHost: db\r\n\r\n", "db:443", b"", {}),
    ("http", b"CONNECT [::1]:443 HTTP/1.0\n\n", "[::1]:443", b"", {}),
    ("http", b"CONNECT db:443 HTTP/1.1\r\nHost: db\r\n" + BASIC + b"\r\n\r\n", "db:443", b"", USERS),
]


@pytest.mark.parametrize(("protocol", "data", "destination", "sent", "users"), REQUESTS)
@given(pieces=st.lists(st.integers(1, 7), max_size=100))
def test_requests(protocol: str, data: bytes, destination: str, sent: bytes, users: Any, pieces: list[int]) -> None:
    """Any cutting gives the same destination; not one byte behind the request is taken."""
    found, replies, left = run(protocol, data + b"early data", pieces, users)
    assert (str(found), replies, left) == (destination, sent, b"early data")


@pytest.mark.parametrize(("protocol", "data", "destination", "sent", "users"), REQUESTS)
def test_any_truncation(protocol: str, data: bytes, destination: str, sent: bytes, users: Any) -> None:
    for size in range(len(data)):
        with pytest.raises(EOFError):
            run(protocol, data[:size], (), users)


@pytest.mark.parametrize("protocol", ["socks5", "http"])
@given(data=st.binary(max_size=60), is_closed=st.booleans())
def test_garbage(protocol: str, data: bytes, is_closed: bool) -> None:
    """Whatever a client sends: a destination, or the one error, in one line."""
    try:
        run(protocol, data, (), USERS if is_closed else {})
    except (EOFError, RequestError) as error:
        assert "\n" not in str(error)


FAILED5 = bytes(1) + b"\1" + bytes(6)


@pytest.mark.parametrize(
    ("protocol", "data", "users", "says", "reply"),
    [
        ("socks5", b"GET / HTTP/1.1\r\n", {}, "not SOCKS", b""),
        ("socks5", b"\5\1\2", {}, "method no authentication", b"\5\xff"),
        ("socks5", b"\5\1\0", USERS, "method a user and a password", b"\5\xff"),
        ("socks5", b"\5\1\2\1\4user\1x", USERS, "user or password is wrong", b"\1\1"),
        ("socks5", b"\5\1\2\1\3mad\1x", USERS, "user or password is wrong", b"\1\1"),
        ("socks5", b"\5\1\0\5\2\0\1\0\0\0\0\0\0", {}, "the command BIND is not supported", b"\5\7" + FAILED5),
        ("socks5", b"\5\1\0\5\3\0\1\0\0\0\0\0\0", {}, "the command UDP ASSOCIATE is not", b"\5\7" + FAILED5),
        ("socks5", b"\5\1\0\5\1\0\7\0", {}, "no address type 0x07", b"\5\x08" + FAILED5),
        ("socks5", b"\5\1\0\5\1\0\3\0\0\1", {}, "destination is wrong", b"\5\1" + FAILED5),
        ("socks5", b"\5\1\0\5\1\0\3\x050x7f.\0\1", {}, "destination is wrong", b"\5\1" + FAILED5),
        ("socks5", b"\5\1\0\5\1\0\3\x05127.1\0\1", {}, "is not an IPv4 address", b"\5\1" + FAILED5),
        ("socks5", b"\5\1\0\5\1\0\3\x0b::ffff:7f.1\0\1", {}, "destination is wrong", b"\5\1" + FAILED5),
        ("socks5", b"\5\1\0\5\1\0\3\x02db\0\0", {}, "port 0", b"\5\1" + FAILED5),
        ("socks5", b"\4\2\0\1\1\1\1\1\0", {}, "the command BIND is not supported", b"\0\x5b" + bytes(6)),
        ("socks5", b"\4\1\0\1\1\1\1\1user\0", USERS, "SOCKS4 has no password", b"\0\x5b" + bytes(6)),
        ("socks5", b"\4\1\0\1\1\1\1\1" + b"u" * 300, {}, "no end within 255", b"\0\x5b" + bytes(6)),
        ("http", b"GET http://db/ HTTP/1.1\r\nHost: db\r\n\r\n", {}, "only CONNECT", b"HTTP/1.1 405 "),
        ("http", b"CONNECT db HTTP/1.1\r\nHost: db\r\n\r\n", {}, "not host:port", b"HTTP/1.1 400 "),
        ("http", b"CONNECT db:0 HTTP/1.1\r\nHost: db\r\n\r\n", {}, "not host:port", b"HTTP/1.1 400 "),
        ("http", b"CONNECT a_b@c:1 HTTP/1.1\r\n\r\n", {}, "not host:port", b"HTTP/1.1 400 "),
        ("http", b"CONNECT 0x7f.1:80 HTTP/1.1\r\n\r\n", {}, "destination is wrong", b"HTTP/1.1 400 "),
        ("http", b"\x16\3\1\2\0\1\0\1\xfc\3\3 ABCDEF", {}, "which is not HTTP", b"HTTP/1.1 400 "),
        ("http", b"CONNECT db:1 HTTP/1.1\r\n\r\n", USERS, "missing or wrong", b"HTTP/1.1 407 "),
        ("http", b"CONNECT db:1 HTTP/1.1\r\nProxy-Authorization: Basic !\r\n\r\n", USERS, "wrong", b"HTTP/1.1 407 "),
        ("http", b"CONNECT db:1 HTTP/1.1\r\nX: " + b"x" * 40_000, {}, "no end within", b"HTTP/1.1 431 "),
    ],
)  # fmt: skip
def test_refusals(protocol: str, data: bytes, users: Any, says: str, reply: bytes) -> None:
    """Each is answered in its protocol, with the code that its specification has for it."""
    with pytest.raises(RequestError) as caught:
        run(protocol, data, (), users)
    assert says in str(caught.value)
    assert caught.value.reply.startswith(reply)
    assert bool(reply) == bool(caught.value.reply)


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (ConnectError("", errno=errno.ECONNREFUSED), 5, 502),
        (ConnectError("", errno=errno.ENETUNREACH), 3, 502),
        (ConnectError("", errno=errno.EHOSTUNREACH), 4, 502),
        (ConnectError("", errno=errno.EACCES), 2, 403),
        (ConnectError(""), 1, 502),
        (ResolveError("", errno=-2), 4, 502),
        (DeadlineError(""), 6, 504),
    ],
)
def test_replies_to_failures(error: SocketkitError, code: int, status: int) -> None:
    """The client learns why: by the code of RFC 1928, 6, and by the HTTP status; SOCKS4 has one code only."""
    for number in (0, 4, 6):
        found = run(*REQUESTS[number][:2])[0].refused(error)
        if number == 0:
            assert found == bytes([5, code]) + b"\0\1" + bytes(6)
        elif number == 4:
            assert found == b"\0\x5b" + bytes(6)
        else:
            assert found.startswith(f"HTTP/1.1 {status} ".encode())


@pytest.mark.parametrize(
    ("protocol", "exchange", "users"),
    [
        ("socks5", socks5_exchange("db", 5), {}),
        ("socks5", socks5_exchange("db", 5, user="user", password="pä:ss"), USERS),
        ("socks5", socks4_exchange("db", 5), {}),
        ("http", http_exchange("db", 5), {}),
        ("http", http_exchange("db", 5, user="user", password="pä:ss"), USERS),
    ],
)
def test_our_client_and_our_server(protocol: str, exchange: Exchange, users: Any) -> None:
    """Each understands the other, through to the reply."""
    dialogue = (http_dialogue if protocol == "http" else socks_dialogue)(users)
    to_server, to_client = b"", b""
    asked = next(exchange)
    to_server += asked.data
    wanted = next(dialogue)
    taken = replied = b""
    destination: Destination | None = None
    while True:
        if destination is None and wanted.missing(taken) == 0:
            try:
                wanted, taken = dialogue.send(taken), b""
                to_client += wanted.data
            except StopIteration as stopped:
                destination = stopped.value
                to_client += destination.granted("127.0.0.1", 1)
        elif destination is None and to_server:
            taken, to_server = taken + to_server[:1], to_server[1:]
        elif asked.missing(replied) == 0:
            try:
                asked, replied = exchange.send(replied), b""
                to_server += asked.data
            except StopIteration:
                break
        else:
            assert to_client, "both wait"
            replied, to_client = replied + to_client[:1], to_client[1:]
    assert str(destination) == "db:5"
    assert to_client == to_server == b""
