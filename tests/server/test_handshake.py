"""A proxy says for whom it speaks, within its time; whoever may not speak for others is reset."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess

import pytest

from socketkit import Address, connect, serve
from socketkit.connection.proxy_protocol import AUTHORITY, ProxyHeader, encode
from socketkit.errors import HandshakeError, OptionError
from socketkit.events import Accepted, Closed, Proxied, Refused
from support.connections import PATIENCE, ask, call, read_all
from support.programs import needs
from support.recorder import Recorder

ANY = "tcp://127.0.0.1:0"
LINE = b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 443\r\n"
BINARY = encode(
    ProxyHeader(2, Address("tcp", "2001:db8::7", 1), Address("tcp", "2001:db8::1", 443), ((AUTHORITY, b"example.org"),))
)


async def who(connection):
    """Tells whoever asks who he is."""
    async for message in connection:
        await connection.send(f"{connection.peer} via {connection.proxy}: {message}")


def serving(engine_name, recorder=None, handler=who, place=ANY, **options):
    options.setdefault("accept_proxy", "127.0.0.1,unix")
    return serve(handler, place, framing="lines", engine=engine_name, observer=recorder, **options)


@pytest.mark.parametrize(("header", "peer"), [(LINE, b"tcp://192.0.2.7:40000"), (BINARY, b"tcp://[2001:db8::7]:1")])
def test_peer_comes_from_proxy_header(engine_name, header, peer):
    """The peer is who the proxy speaks for."""
    recorder = Recorder()
    with serving(engine_name, recorder) as server:
        with call(server.addresses[0]) as proxy:
            proxy.sendall(header + b"first\n")  # in one segment: what follows the header belongs to the handler
            me = f"tcp://127.0.0.1:{proxy.getsockname()[1]}"
            assert proxy.recv(1000) == peer + f" via {me}: first\n".encode()
            assert ask(proxy, b"second").endswith(b": second")
        server.wait_idle(timeout=PATIENCE)
    names = [name for name in recorder.names() if name in ("Accepted", "Proxied", "Closed")]
    assert names == ["Accepted", "Proxied", "Closed"]
    (proxied,) = recorder.of(Proxied)
    assert (proxied.peer, proxied.proxy) == (peer.decode(), me)
    assert recorder.of(Closed)[0].error is None


def test_a_header_may_come_byte_by_byte(engine_name):
    with serving(engine_name) as server, call(server.addresses[0]) as proxy:
        proxy.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in BINARY + b"x":
            proxy.sendall(bytes([byte]))
        assert ask(proxy, b"").startswith(b"tcp://[2001:db8::7]:1 via")


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"])
def test_local_proxy_header_keeps_peer(header):
    """A proxy that speaks for itself is the peer."""
    with serving("poll") as server, call(server.addresses[0]) as proxy:
        proxy.sendall(header)
        me = b"tcp://127.0.0.1:%d" % proxy.getsockname()[1]
        assert ask(proxy, b"?") == me + b" via " + me + b": ?"


def test_a_plain_handler_learns_it_too():
    seen = []

    def talk(connection):
        seen.append((connection.peer, connection.proxy_header.field(AUTHORITY)))

    with serve(talk, ANY, accept_proxy="127.0.0.0/8") as server, call(server.addresses[0]) as proxy:
        proxy.sendall(BINARY)
        assert read_all(proxy) == b""
    assert seen == [(Address("tcp", "2001:db8::7", 1), b"example.org")]


def unwelcome(server, recorder, data, *, half_close=False):
    """Whoever says this is reset, his conversation has one start and one end, and no handler hears of it."""
    with contextlib.suppress(ConnectionResetError, BrokenPipeError), call(server.addresses[0]) as caller:
        caller.sendall(data)
        if half_close:
            caller.shutdown(socket.SHUT_WR)
        assert caller.recv(100) == b""
    server.wait_idle(timeout=PATIENCE)
    assert len(recorder.of(Accepted)) == len(recorder.of(Closed)) == 1
    (closed,) = recorder.of(Closed)
    assert server.statistics().unwelcome_count == 1
    return closed.error


async def unheard(connection):
    raise AssertionError("a handler heard of it")


def test_what_is_no_header_ends_it(engine_name):
    recorder = Recorder()
    with serving(engine_name, recorder, unheard) as server:
        error = unwelcome(server, recorder, b"GET / HTTP/1.1\r\nHost: me\r\n\r\n")
    assert isinstance(error, HandshakeError)
    assert "the PROXY header from tcp://127.0.0.1:" in str(error)
    assert "neither version" in str(error)


def test_truncated_proxy_header(engine_name):
    """A header that ends too early ends it."""
    recorder = Recorder()
    with serving(engine_name, recorder, unheard) as server:
        error = unwelcome(server, recorder, LINE[:20], half_close=True)
    assert "it ends after 20 bytes" in str(error)


def test_a_silent_proxy_is_shown_out_in_time(engine_name):
    recorder = Recorder()
    with serving(engine_name, recorder, unheard, handshake_timeout=0.05) as server:
        error = unwelcome(server, recorder, LINE[:20])
    assert "within 0.05 s (handshake_timeout)" in str(error)


def test_handshake_timeout_covers_header():
    """The time is for all of it and trickled bytes do not prolong it."""
    recorder = Recorder()
    with serving("poll", recorder, unheard, handshake_timeout=0.2) as server:
        with call(server.addresses[0]) as proxy, contextlib.suppress(ConnectionResetError, BrokenPipeError):
            proxy.settimeout(0.02)
            for byte in BINARY * 100:
                proxy.sendall(bytes([byte]))
                with contextlib.suppress(TimeoutError):
                    assert proxy.recv(1) == b""
                    break
        server.wait_idle(timeout=PATIENCE)
    assert "handshake_timeout" in str(recorder.of(Closed)[0].error)


def test_who_is_no_proxy_does_not_come_in(engine_name):
    recorder = Recorder()
    with serving(engine_name, recorder, unheard, accept_proxy="10.0.0.0/8") as server:
        with contextlib.suppress(ConnectionResetError), call(server.addresses[0]) as caller:
            caller.sendall(LINE)
            assert caller.recv(1) == b"and never this"
        while not recorder.of(Refused):
            pass
    assert "accept_proxy" in recorder.of(Refused)[0].reason
    assert recorder.of(Accepted) == []


def test_limits_apply_to_proxied_peer(engine_name):
    """Lists and limits judge the peer and not the proxy."""
    recorder = Recorder()
    with serving(engine_name, recorder, deny="127.0.0.0/8,192.0.2.0/24", max_per_peer=1) as server:
        with call(server.addresses[0]) as denied, contextlib.suppress(ConnectionResetError):
            denied.sendall(LINE)
            assert denied.recv(1) == b"and never this"
        with call(server.addresses[0]) as first:
            first.sendall(BINARY)
            assert ask(first, b"1").endswith(b": 1")
            with call(server.addresses[0]) as second, contextlib.suppress(ConnectionResetError):
                second.sendall(BINARY)
                assert second.recv(1) == b"and never this"
        server.wait_idle(timeout=PATIENCE)
        with call(server.addresses[0]) as third:
            third.sendall(BINARY)
            assert ask(third, b"3").endswith(b": 3")
    reasons = [str(event.error) for event in recorder.of(Closed) if event.error is not None]
    assert "denied (deny)" in reasons[0]
    assert "max_per_peer is 1" in reasons[1]


def test_proxy_over_unix_socket(tmp_path):
    """A proxy on the same machine calls by a unix socket."""
    with serving("poll", place=f"unix://{tmp_path}/s") as server, call(server.addresses[0]) as proxy:
        proxy.sendall(LINE)
        assert ask(proxy, b"?").startswith(b"tcp://192.0.2.7:40000 via unix:")


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_send_proxy_accepted_by_us(engine_name, version):
    """What we send first is what we accept."""
    with serving(engine_name) as server:
        address = server.addresses[0]
        with connect(address, framing="lines", send_proxy=version) as connection:
            connection.send("?")
            assert connection.receive() == f"{connection.local} via {connection.local}: ?"
        with connect(f"{address}?send_proxy={version}", framing="lines") as connection:
            connection.send("?")
            assert connection.receive().startswith(str(connection.local))


def test_only_these_versions_are_sent():
    with pytest.raises(OptionError, match="'v3' is none of v1, v2, or none"):
        connect(ANY, send_proxy="v3")


@pytest.mark.parametrize("word", ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id"])
def test_haproxy_s_headers_are_read(word, tmp_path):
    haproxy = needs("haproxy")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with serving("poll") as server:
        config = tmp_path / "haproxy.cfg"
        config.write_text(
            f"""
defaults
    mode tcp
    timeout connect 5s
    timeout client 20s
    timeout server 20s
    unique-id-format %{{+X}}o\\ %ci:%cp
frontend front
    bind 127.0.0.1:{port}
    default_backend back
backend back
    server one 127.0.0.1:{server.addresses[0].port} {word}
"""
        )
        process = subprocess.Popen([haproxy, "-db", "-f", str(config)], stderr=subprocess.DEVNULL)
        try:
            with connect(f"tcp://127.0.0.1:{port}", framing="lines", retry="20") as client:
                client.send("?")
                assert client.receive(timeout=PATIENCE).startswith(f"{client.local} via tcp://127.0.0.1:")
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE)
