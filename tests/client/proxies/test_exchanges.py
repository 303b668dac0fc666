"""The exchanges with proxies, as bytes: right requests, any cutting of the replies, clear errors for wrong ones."""

from __future__ import annotations

import base64
import errno
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketkit.client.proxies.exchange import Exchange, ProxyReplyError
from socketkit.client.proxies.http_connect import MAX_HEAD_SIZE, http_exchange
from socketkit.client.proxies.socks4 import socks4_exchange
from socketkit.client.proxies.socks5 import REPLIES, socks5_exchange

PEER = b"220 the peer's first line\r\n"
"""What follows the last reply in the same segment."""


class Reader:
    """Bytes that a proxy sends; each read gives at most so many, in pieces of the given sizes."""

    def __init__(self, data: bytes, pieces: Sequence[int] = ()) -> None:
        self.left = data
        self._pieces = list(pieces)

    def read(self, size: int) -> bytes:
        piece = self._pieces.pop(0) if self._pieces else size
        data, self.left = self.left[: min(size, piece)], self.left[min(size, piece) :]
        if not data:
            raise EOFError
        return data


def run(exchange: Exchange, reader: Reader) -> list[bytes]:
    """All requests of an exchange; raises EOFError where the proxy sends too little."""
    sent = []
    reply: bytes | None = None
    while True:
        try:
            request = next(exchange) if reply is None else exchange.send(reply)
        except StopIteration:
            return sent
        sent.append(request.data)
        reply = b""
        while count := request.missing(reply):
            assert count > 0
            reply += reader.read(count)


SOCKS5 = b"\x05\x00" + b"\x05\x00\x00\x01\x7f\0\0\x01\0\x50"
HTTP = b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n"
CASES: list[tuple[str, Callable[[], Exchange], bytes, list[bytes]]] = [
    ("socks5", lambda: socks5_exchange("db", 5432), SOCKS5, [b"\5\1\0", b"\5\1\0\3\2db\x15\x38"]),
    ("ipv4", lambda: socks5_exchange("10.0.0.1", 80), SOCKS5, [b"\5\1\0", b"\5\1\0\1\x0a\0\0\1\0\x50"]),
    ("ipv6", lambda: socks5_exchange("::1", 80), SOCKS5, [b"\5\1\0", b"\5\1\0\4" + bytes(15) + b"\1\0\x50"]),
    (
        "password",
        lambda: socks5_exchange("db", 1, user="u", password="pä"),
        b"\5\2\1\0\5\0\0\3\4name\0\1",
        [b"\5\2\0\2", b"\1\1u\3p\xc3\xa4", b"\5\1\0\3\2db\0\1"],
    ),
    (
        "password not wanted",
        lambda: socks5_exchange("db", 1, user="u", password="p"),
        b"\5\0\5\0\0\4" + bytes(18),
        [b"\5\2\0\2", b"\5\1\0\3\2db\0\1"],
    ),
    ("socks4", lambda: socks4_exchange("10.0.0.1", 80), b"\0\x5a" + bytes(6), [b"\4\1\0\x50\x0a\0\0\1\0"]),
    ("socks4a", lambda: socks4_exchange("db", 80, user="me"), b"\0\x5a" + bytes(6), [b"\4\1\0\x50\0\0\0\1me\0db\0"]),
    ("http", lambda: http_exchange("db", 80), HTTP, [b"CONNECT db:80 HTTP/1.1\r\nHost: db:80\r\n\r\n"]),
    (
        "http, line feeds",
        lambda: http_exchange("::1", 80),
        b"HTTP/1.0 200\n\n",
        [b"CONNECT [::1]:80 HTTP/1.1\r\nHost: [::1]:80\r\n\r\n"],
    ),
    (
        "http, interim response",
        lambda: http_exchange("db", 80, user="u", password="p:q"),
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + HTTP,
        [
            b"CONNECT db:80 HTTP/1.1\r\nHost: db:80\r\nProxy-Authorization: Basic "
            + base64.b64encode(b"u:p:q")
            + b"\r\n\r\n",
            b"",
        ],
    ),
]
NAMES = [name for name, *_ in CASES]


@pytest.mark.parametrize(("make", "reply", "requests"), [case[1:] for case in CASES], ids=NAMES)
def test_requests(make: Callable[[], Exchange], reply: bytes, requests: list[bytes]) -> None:
    """The requests are those of the RFC, and not one byte behind the replies is read."""
    reader = Reader(reply + PEER)
    assert run(make(), reader) == requests
    assert reader.left == PEER


@pytest.mark.parametrize(("make", "reply", "requests"), [case[1:] for case in CASES], ids=NAMES)
@given(pieces=st.lists(st.integers(1, 9), max_size=120))
def test_any_cutting(make: Callable[[], Exchange], reply: bytes, requests: list[bytes], pieces: list[int]) -> None:
    reader = Reader(reply + PEER, pieces)
    assert run(make(), reader) == requests
    assert reader.left == PEER


@pytest.mark.parametrize(("make", "reply", "requests"), [case[1:] for case in CASES], ids=NAMES)
def test_any_truncation(make: Callable[[], Exchange], reply: bytes, requests: list[bytes]) -> None:
    """A reply that is cut anywhere is never taken as whole."""
    for size in range(len(reply)):
        with pytest.raises(EOFError):
            run(make(), Reader(reply[:size]))


@pytest.mark.parametrize("make", [case[1] for case in CASES], ids=NAMES)
@given(data=st.binary(max_size=80))
def test_garbage(make: Callable[[], Exchange], data: bytes) -> None:
    """Whatever a proxy sends: the exchange ends, or raises its one error, in one line."""
    try:
        run(make(), Reader(data))
    except (EOFError, ProxyReplyError) as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("code", [*REPLIES, 9, 255])
def test_socks5_refusals(code: int) -> None:
    """A refusal is known by its second byte: a server that sends no more is understood."""
    with pytest.raises(ProxyReplyError) as caught:
        run(socks5_exchange("db", 1), Reader(b"\5\0\5" + bytes([code])))
    name, number = REPLIES.get(code, (f"unknown reply {code:#04x}", None))
    assert (caught.value.reason, caught.value.errno) == (f"answered: {name}", number)


@pytest.mark.parametrize(
    ("exchange", "reply", "reason", "number"),
    [
        (socks5_exchange("db", 1), b"\5\xff", "wants a user and a password", errno.EACCES),
        (socks5_exchange("db", 1, user="u"), b"\5\xff", "accepts neither our user", errno.EACCES),
        (socks5_exchange("db", 1), b"\5\2", "0x02, which was not offered", None),
        (socks5_exchange("db", 1, user="u"), b"\5\2\1\1", "does not accept the user", errno.EACCES),
        (socks5_exchange("db", 1, user="u"), b"\5\2\7", "does not speak SOCKS5", None),
        (socks5_exchange("db", 1), b"HTTP/1.1 400 Bad Request\r\n", "does not speak SOCKS5", None),
        (socks5_exchange("db", 1), b"\5\0\5\0\0\7\0", "no address type 0x07", None),
        (socks4_exchange("::1", 1), b"", "take socks5", errno.EAFNOSUPPORT),
        (socks4_exchange("db", 1), b"\0\x5b", "answered: request rejected or failed", errno.ECONNABORTED),
        (socks4_exchange("db", 1), b"\0\x63", "unknown reply 99", None),
        (socks4_exchange("db", 1), b"\5\0", "does not speak SOCKS4", None),
        (http_exchange("db", 1), b"HTTP/1.1 407 Proxy Auth\r\n", "answered: 407 Proxy", errno.EACCES),
        (http_exchange("db", 1), b"HTTP/1.1 503 \x1b[2J\r\n", r"answered: 503 \x1b[2J", errno.EHOSTUNREACH),
        (http_exchange("db", 1), b"HTTP/1.0 504\r\n\r\n", "answered: 504", errno.ETIMEDOUT),
        (http_exchange("db", 1), b"HTTP/1.1 404 Not Found\r\n", "answered: 404 Not Found", None),
        (http_exchange("db", 1), b"HTTP/1.1 101 Switching Protocols\r\n", "answered: 101", None),
        (http_exchange("db", 1), b"SSH-2.0-OpenSSH_9\r\n", "does not speak HTTP/1", None),
        (http_exchange("db", 1), b"HTTP/1.1 2000 OK\r\n\r\n", "does not speak HTTP/1", None),
        (http_exchange("db", 1), b"HTTP/1.1 200 OK\r\nX: " + b"x" * 2 * MAX_HEAD_SIZE, "no end within 16384", None),
    ],
)  # fmt: skip
def test_refusals(exchange: Exchange, reply: bytes, reason: str, number: int | None) -> None:
    """Each names what the proxy said, with the system's number where there is one."""
    with pytest.raises(ProxyReplyError) as caught:
        run(exchange, Reader(reply))
    assert reason in caught.value.reason
    assert caught.value.errno == number
