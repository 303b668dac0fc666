"""Dialling through proxies, on every engine: nothing of the peer's is lost, and nothing hangs or leaks on a failure."""

from __future__ import annotations

import errno
import socket
from typing import Any

import pytest

from socketkit import Address, connect
from socketkit.client.dial import open_stream
from socketkit.client.proxies.dialler import chain_for
from socketkit.config.options import Options
from socketkit.config.retry import is_transient
from socketkit.engines.engine import Engine
from socketkit.errors import ConnectError, DeadlineError, OptionError
from socketkit.events import Called
from support.dead_ports import black_hole, refusing_port
from support.engines import engine, engine_name
from support.proxies import ScriptedProxy
from support.recorder import Recorder

__all__ = ["engine", "engine_name"]

SOCKS5_REQUEST = 3 + len(b"\5\1\0\3\2db\x15\x38")
GRANTED = b"\5\0\0\1\0\0\0\0\0\0"


def socks5_banner(proxy: ScriptedProxy, accepted: socket.socket) -> None:
    """Grants, and the peer's first bytes come in the same segment; then an echo of one message."""
    proxy.take(accepted, 3)
    accepted.sendall(b"\5\0")
    proxy.take(accepted, SOCKS5_REQUEST - 3)
    accepted.sendall(GRANTED + b"banner\r\n")
    accepted.sendall(proxy.take(accepted, 4))


def http_in_pieces(proxy: ScriptedProxy, accepted: socket.socket) -> None:
    """Its response comes byte by byte, and the last byte with the peer's first."""
    head = b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n"
    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
    for byte in head[:-1]:
        accepted.sendall(bytes([byte]))
    accepted.sendall(head[-1:] + b"banner\r\n")
    proxy.take(accepted, len(b"CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n\r\n"))
    accepted.sendall(proxy.take(accepted, 4))


@pytest.mark.parametrize(("scheme", "script"), [("socks5", socks5_banner), ("http", http_in_pieces)])
def test_no_byte_of_the_peer_is_lost(engine: Engine, scheme: str, script: Any) -> None:
    """What came with the proxy's reply is received; the peer is the address, and no name was looked up."""

    async def main() -> list[bytes]:
        options = Options.make(proxy=f"{scheme}://127.0.0.1:{proxy.port}")
        stream = await open_stream(engine, Address.parse("tcp://db:5432"), options, lookup=no_names)
        try:
            assert stream.peer == "tcp://db:5432"
            received = b""
            while len(received) < len(b"banner\r\n"):
                received += await stream.receive()
            await stream.send(b"ping")
            echo = b""
            while len(echo) < 4:
                echo += await stream.receive()
            return [received, echo]
        finally:
            stream.close()

    def no_names(host: Any, *rest: Any) -> Any:
        assert host == "127.0.0.1", host
        return socket.getaddrinfo(host, *rest)

    with ScriptedProxy(script) as proxy:
        assert engine.run(main()) == [b"banner\r\n", b"ping"]


def failure(engine: Engine, address: str = "tcp://db:5432", **options: Any) -> Any:
    """The error of a dial."""

    async def main() -> None:
        with pytest.raises((ConnectError, DeadlineError)) as caught:
            await open_stream(engine, Address.parse(address), Options.make(**options))
        errors.append(caught.value)

    errors: list[Any] = []
    engine.run(main())
    return errors[0]


@pytest.mark.parametrize(
    ("reply", "says", "number", "may_retry"),
    [
        (b"\5\0\5\5\0", "answered: connection refused", errno.ECONNREFUSED, True),
        (b"\5\0\5\2\0", "answered: connection not allowed by ruleset", errno.EACCES, False),
        (b"\5\0\5\1\0", "answered: general SOCKS server failure", errno.ECONNABORTED, True),
        (b"\5\xff", "wants a user and a password", errno.EACCES, False),
        (b"SSH-2.0-x\r\n", "does not speak SOCKS5: its reply begins with b'SS", None, False),
        (b"", "closed the connection instead of a reply", errno.ECONNABORTED, True),
        (b"\5\0\5\0\0\1", "closed the connection after 4 bytes of its reply", errno.ECONNABORTED, True),
    ],
)
def test_refusals(engine: Engine, reply: bytes, says: str, number: int | None, may_retry: bool) -> None:
    """The error names the address, the proxy without its password, and what the proxy said; retries know it."""

    def script(proxy: ScriptedProxy, accepted: socket.socket) -> None:
        accepted.sendall(reply)
        accepted.shutdown(socket.SHUT_WR)
        proxy.take_until_end(accepted)

    with ScriptedProxy(script) as proxy:
        user = "user:S3cret@" if b"\xff" not in reply else ""
        error = failure(engine, proxy=f"socks5://{user}127.0.0.1:{proxy.port}")
        assert proxy.is_done.wait(20), "the connection with the proxy is still open"
    assert isinstance(error, ConnectError)
    assert says in str(error)
    assert str(error).startswith("cannot connect to tcp://db:5432: the proxy socks5://")
    assert "S3cret" not in str(error) + repr(error.attempts)
    assert (error.errno, is_transient(error)) == (number, may_retry)


def test_silent_proxy(engine: Engine) -> None:
    """`connect_timeout` covers the exchange; the socket is closed."""
    with ScriptedProxy(ScriptedProxy.take_until_end) as proxy:
        error = failure(engine, proxy=f"http://127.0.0.1:{proxy.port}", connect_timeout=0.05)
        assert proxy.is_done.wait(20)
    assert isinstance(error, DeadlineError)
    assert f"the proxy http://127.0.0.1:{proxy.port} did not answer within 0.05 s (connect_timeout)" in str(error)


def test_unreachable_proxy(engine: Engine) -> None:
    """It is said that the proxy is the one that cannot be reached; nothing is claimed about the address."""
    port = refusing_port()
    error = failure(engine, proxy=f"socks5://u:S3cret@127.0.0.1:{port}")
    assert f"the proxy socks5://u:***@127.0.0.1:{port} cannot be reached: Connection refused" in str(error)
    assert error.errno == errno.ECONNREFUSED
    assert [attempt.errno for attempt in error.attempts] == [None]


def test_silent_gateway(engine: Engine) -> None:
    with black_hole() as port:
        error = failure(engine, proxy=f"socks5://127.0.0.1:{port}", connect_timeout=0.05)
    assert isinstance(error, DeadlineError)
    assert "cannot be reached" in str(error)


def test_cancelled_dial(engine: Engine) -> None:
    """A cancelled exchange leaves no socket: the proxy sees the end."""
    if engine.blocks:
        pytest.skip("a blocking engine cannot cancel")
    from support.running import Running, until

    async def main() -> None:
        options = Options.make(proxy=f"socks5://127.0.0.1:{proxy.port}")
        dial = Running(engine, open_stream(engine, Address.parse("tcp://db:1"), options))
        await until(engine, lambda: bool(proxy.received))
        dial.cancel()
        await dial.outcome()

    def script(proxy: ScriptedProxy, accepted: socket.socket) -> None:
        proxy.take(accepted, 3)
        proxy.take_until_end(accepted)

    with ScriptedProxy(script) as proxy:
        engine.run(main())
        assert proxy.is_done.wait(20)


def test_chain() -> None:
    """Each proxy is asked for the next one, the last for the address."""

    def script(proxy: ScriptedProxy, accepted: socket.socket) -> None:
        first = b"CONNECT second:1080 HTTP/1.1\r\nHost: second:1080\r\n\r\n"
        assert proxy.take(accepted, len(first)) == first
        accepted.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        socks5_banner(proxy, accepted)

    with ScriptedProxy(script) as proxy:
        chain = f"http://127.0.0.1:{proxy.port},socks5://second"
        with connect("tcp://db:5432", framing="lines", proxy=chain) as connection:
            assert connection.receive() == "banner"
            assert connection.peer == Address.parse("tcp://db:5432")
    assert proxy.received[1:3] == [b"\5\1\0", b"\5\1\0\3\2db\x15\x38"]


def test_socks4_resolves_here() -> None:
    """SOCKS4 has no names: the name is resolved here, to IPv4."""

    def script(proxy: ScriptedProxy, accepted: socket.socket) -> None:
        proxy.take(accepted, 9)
        accepted.sendall(b"\0\x5a" + bytes(6))
        proxy.take_until_end(accepted)

    with ScriptedProxy(script) as proxy, connect("tcp://localhost:80", proxy=f"socks4://127.0.0.1:{proxy.port}"):
        assert proxy.received == [b"\4\1\0\x50\x7f\0\0\1\0"]


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("tcp6://db:1", "cannot be told the family"),
        ("tcp://[fe80::1%eth0]:1", "has a zone"),
        ("unix:/run/x", "has no effect at unix:"),
        ("vsock://2:1", "has no effect at vsock:"),
    ],
)
def test_addresses_that_no_proxy_reaches(address: str, says: str) -> None:
    with pytest.raises(OptionError, match=f"proxy: .*{says}"), connect(address, proxy="socks5://127.0.0.1:1"):
        pass


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """`proxy=env` asks the environment for each connection, and leaves UNIX sockets alone."""
    with ScriptedProxy(socks5_banner) as proxy:
        monkeypatch.setenv("ALL_PROXY", f"socks5h://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("all_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        with connect("tcp://db:5432?proxy=env", framing="lines") as connection:
            assert connection.receive() == "banner"
    path = Address.parse("unix:/nonexistent/x")
    assert chain_for(path, Options.make(proxy="env")) == ()


class CallRecorder(Recorder):
    wants_calls = True


def test_events_hide_the_password() -> None:
    """No event holds the password, not even those of the calls; after the exchange data is reported again."""

    def script(proxy: ScriptedProxy, accepted: socket.socket) -> None:
        proxy.take(accepted, 4)
        accepted.sendall(b"\5\2\1\0")
        proxy.take(accepted, len(b"\1\4user\6S3cret"))
        accepted.sendall(GRANTED)
        proxy.take(accepted, len(b"\5\1\0\3\2db\0\1"))
        proxy.take(accepted, 4)

    observer = CallRecorder()
    with ScriptedProxy(script) as proxy:
        to = f"tcp://db:1?proxy=socks5://user:S3cret@127.0.0.1:{proxy.port}"
        with connect(to, observer=observer) as connection:
            connection.send(b"ping")
    assert b"S3cret" in proxy.received[1]
    assert "S3cret" not in repr(observer.events)
    assert b"ping" in [event.data for event in observer.events if isinstance(event, Called)]
