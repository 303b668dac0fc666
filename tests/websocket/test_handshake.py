"""The opening handshake of both sides: what is accepted, what is refused and how, and what is never sent."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from socketkit import AddressError, DeadlineError, HandshakeError, OptionError, Request, Response, connect, serve
from socketkit.events import Closed, HandlerFailed
from socketkit.websocket.frames import FIN, TEXT
from socketkit.websocket.handshake import accept_handshake
from socketkit.websocket.origins import is_allowed
from support.recorder import Recorder
from support.websockets import ask, client_of, dial, read_head, request

ANY = "ws://127.0.0.1:0/chat"


async def echo(connection) -> None:
    async for message in connection:
        await connection.send(message)


@pytest.fixture(scope="module")
def server() -> Iterator[object]:
    with serve(echo, ANY, engine="poll", subprotocols="v2,v1") as made:
        yield made


def test_the_example_of_the_rfc() -> None:
    assert accept_handshake(b"dGhlIHNhbXBsZSBub25jZQ==") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_a_good_request_gets_101(server) -> None:
    with dial(server.addresses[0]) as sock:
        sock.sendall(request("/chat?a=1", sec_websocket_protocol="v1, v2"))
        head = read_head(sock)
    assert head.startswith("HTTP/1.1 101 ")
    assert "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
    assert "Sec-WebSocket-Protocol: v2" in head
    assert "Extensions" not in head


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request("/other"), 404),
        (request("/chat/"), 404),
        (request("/chat", method="POST"), 405),
        (request("/chat", upgrade=None), 426),
        (request("/chat", connection="close"), 426),
        (request("/chat", sec_websocket_version="8"), 426),
        (request("/chat", sec_websocket_version=None), 426),
        (request("/chat", sec_websocket_key=None), 400),
        (request("/chat", sec_websocket_key="short"), 400),
        (request("/chat", origin="http://evil.example"), 403),
        (request("/chat", origin="null"), 403),
        (request("/chat", host=None), 400),
        (request("/chat", x_long="a" * 17_000), 431),
        (b"hello\r\n\r\n", 400),
        (b"hello\n", 400),  # it waits for an answer to its line
    ],
)
def test_a_request_is_refused_with_a_status(server, data, status) -> None:
    answer = ask(server.addresses[0], data)
    assert answer.startswith(f"HTTP/1.1 {status} ")
    if status == 426:
        assert "upgrade: websocket" in answer.lower()


def test_a_refused_upgrade_is_a_handshake_error_with_the_status_on_both_sides() -> None:
    recorder = Recorder()
    with serve(echo, ANY, observer=recorder) as server:
        with pytest.raises(HandshakeError, match="404 Not Found; there is no WebSocket at this path") as caught:
            connect(server.addresses[0].replace(resource="/other")).open()
        assert caught.value.status == 404
        server.wait_idle(timeout=20)
        assert server.statistics().handshake_failed_count == 1
    (closed,) = recorder.of(Closed)
    assert (closed.reason, closed.error.status) == ("handshake", 404)


def test_a_slow_head_ends_at_the_handshake_timeout() -> None:
    recorder = Recorder()
    with serve(echo, ANY, handshake_timeout=0.1, observer=recorder) as server, dial(server.addresses[0]) as sock:
        sock.sendall(b"GET /chat HTTP/1.1\r\n")
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
        server.wait_idle(timeout=20)
    error = recorder.of(Closed)[0].error
    assert isinstance(error, DeadlineError)
    assert str(error).startswith("WebSocket handshake with tcp://127.0.0.1:")
    assert str(error).endswith(": not done within 0.1 s (handshake_timeout)")


def test_a_head_that_is_too_long_is_said_to_be() -> None:
    """Also before its end has come, to the client and in the end event."""
    recorder = Recorder()
    with serve(echo, ANY, observer=recorder) as server, dial(server.addresses[0]) as sock:
        sock.sendall(request("/chat", x_long="a" * 17_000)[:-4])
        assert read_head(sock).startswith("HTTP/1.1 431 ")
        assert sock.recv(100) == b"the head of a request has at most 16384 bytes here\n"
        server.wait_idle(timeout=20)
    assert str(recorder.of(Closed)[0].error).endswith(": a head of more than 16384 bytes")


def test_a_frame_that_comes_with_the_request_is_not_lost(server) -> None:
    with dial(server.addresses[0]) as sock:
        sock.sendall(request("/chat") + bytes.fromhex("818537fa213d7f9f4d5158"))
        read_head(sock)
        assert sock.recv(7) == b"\x81\x05Hello"


def test_the_handler_sees_the_request() -> None:
    seen: list[Request] = []

    async def handler(connection) -> None:
        seen.append(connection.request)
        await connection.receive()

    with serve(handler, "ws://127.0.0.1:0", subprotocols="v1") as server:
        address = server.addresses[0].replace(resource="/any?x=1&mode=2")
        with connect(address, headers={"Authorization": "Bearer a|b"}, subprotocols=["v0", "v1"]) as connection:
            assert connection.request.subprotocol == "v1"
            connection.send("x")
    (found,) = seen
    assert (found.path, found.query, found.subprotocol) == ("/any", "x=1&mode=2", "v1")
    assert found.header("authorization") == "Bearer a|b"
    assert found.header("host") == f"127.0.0.1:{address.port}"
    assert found.header("origin") is None


# Plain HTTP beside it.


def page(asked: Request) -> Response:
    if asked.path == "/fail":
        raise RuntimeError("bug")
    return Response(200, f"{asked.path} {asked.query}", {"X-Page": "1"})


def test_plain_requests_are_answered_beside_the_websocket() -> None:
    recorder = Recorder()
    with serve(echo, ANY, http=page, observer=recorder) as server:
        address = server.addresses[0]
        answer = ask(address, b"GET /health?q HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer.startswith("HTTP/1.1 200 OK\r\n")
        assert answer.endswith("\r\n\r\n/health q")
        assert "X-Page: 1" in answer
        head = ask(address, b"HEAD /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert "Content-Length: 8" in head
        assert head.endswith("\r\n\r\n")
        assert ask(address, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").startswith("HTTP/1.1 404 ")
        with client_of(address, "/chat") as peer:
            peer.send(FIN | TEXT, b"x")
            assert peer.receive() == (FIN | TEXT, b"x")
        assert server.statistics().handshake_failed_count == 1
        assert not recorder.of(HandlerFailed)


def test_a_page_that_fails_is_500_and_reported() -> None:
    recorder = Recorder()
    with serve(echo, ANY, http=page, observer=recorder) as server:
        with dial(server.addresses[0]) as sock:
            sock.sendall(b"GET /fail HTTP/1.1\r\nHost: x\r\n\r\n")
            assert read_head(sock).startswith("HTTP/1.1 500 ")
        server.wait_idle(timeout=20)
    assert isinstance(recorder.of(HandlerFailed)[0].error, RuntimeError)


def test_http_needs_a_websocket() -> None:
    with pytest.raises(OptionError, match="http: it answers beside a WebSocket"):
        serve(echo, "tcp://127.0.0.1:0", http=page)
    with pytest.raises(TypeError, match="http must be a function"):
        serve(echo, ANY, http="page")


# A client and its server.


@contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """A server that reads a request and sends this."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def reply() -> None:
            sock = listener.accept()[0]
            with sock:
                read_head(sock)
                sock.sendall(answer)
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(4096):
                    pass

        thread = threading.Thread(target=reply)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(20)


@pytest.mark.parametrize(
    ("answer", "text", "status"),
    [
        (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", "401 Unauthorized", 401),
        (b"HTTP/1.1 301 Moved\r\nLocation: wss://other/\r\nContent-Length: 0\r\n\r\n", "'wss://other/'", 301),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "200 OK", 200),
        (b"HTTP/1.1 101 X\r\n\r\n", "does not upgrade", 101),
        (b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", "Sec-WebSocket-Accept", 101),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "no HTTP as it should be", None),
        (b"", "without an answer", None),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 17_000, "no HTTP as it should be", None),
    ],
)
def test_a_client_says_why_a_server_is_none(answer, text, status) -> None:
    with answering(answer) as port, pytest.raises(HandshakeError) as caught:
        connect(f"ws://127.0.0.1:{port}").open()
    assert text in str(caught.value)
    assert caught.value.status == status


def test_a_server_that_does_not_answer_ends_at_the_handshake_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(DeadlineError, match="does it speak WebS"):
        connect(f"ws://127.0.0.1:{listener.getsockname()[1]}", handshake_timeout="50ms").open()


def test_a_line_break_in_the_header_of_a_page_is_refused() -> None:
    for headers in ({"X": "a\r\nEvil: 1"}, {"X\nEvil": "1"}, [("Set-Cookie", "a\nb")]):
        with pytest.raises(OptionError, match=r"^headers:"):
            Response(200, "x", headers)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("headers", {"X": "a\r\nEvil: 1"}),
        ("headers", ["X: a\nEvil: 1"]),
        ("headers", {"X\r\nEvil": "1"}),
        ("headers", {"Host": "other"}),
        ("headers", {"Sec-WebSocket-Key": "x"}),
        ("headers", "no colon"),
        ("subprotocols", ["a\r\nEvil: 1"]),
        ("subprotocols", "a b"),
        ("subprotocols", "a,a"),
        ("origin", "http://a\r\nEvil: 1"),
        ("origin", "a"),
    ],
)
def test_what_could_begin_another_line_is_refused_before_anything_is_opened(option, value) -> None:
    with pytest.raises(OptionError, match=f"^{option}:"):
        connect("ws://127.0.0.1:1", **{option: value})


def test_a_line_break_in_a_path_is_refused() -> None:
    from socketkit import Address

    with pytest.raises(AddressError, match="allowed is its escape"):
        Address("ws", "h", 80, resource="/a\r\nEvil: 1")
    assert Address.parse("ws://h/a%0D%0AEvil").resource == "/a%0D%0AEvil"


# Origins (RFC 6455, 10.2).


@pytest.mark.parametrize(
    ("origin", "host", "origins", "allowed"),
    [
        (None, "a.example", None, True),
        ("https://a.example", "a.example", None, True),
        ("http://a.example", "a.example", None, True),
        ("http://a.example:8080", "a.example:8080", None, True),
        ("http://a.example", "a.example:80", None, True),
        ("http://A.example", "a.EXAMPLE", None, True),
        ("http://a.example:8080", "a.example", None, False),
        ("http://b.example", "a.example", None, False),
        ("http://a.example.evil", "a.example", None, False),
        ("null", "a.example", None, False),
        ("http://b.example", "a.example", ("*",), True),
        ("https://b.example:443", "a.example", ("https://b.example",), True),
        ("http://b.example", "a.example", ("https://b.example",), False),
        ("http://a.example", "a.example", ("https://b.example",), False),
        ("http://[::1]:80", "[::1]", None, True),
    ],
)
def test_origins(origin, host, origins, allowed) -> None:
    assert is_allowed(origin, host, origins, is_secure=False) is allowed
