"""Conversations over WebSocket: every engine and plain code, framings, closes, pings, the peer's mistakes."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator

import pytest

from socketkit import BrokenError, EndOfStream, FramingError, StreamError, connect, engines, listen, serve
from socketkit.events import Closed, HandlerFailed
from socketkit.websocket.frames import BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, TEXT, encode_frame
from support.engines import engine_name  # noqa: F401
from support.recorder import Recorder
from support.tls import papers
from support.websockets import MASK, Peer, client_of, dial, read_head, request

ANY = "ws://127.0.0.1:0/chat"


async def echo(connection) -> None:
    async for message in connection:
        await connection.send(message)


@pytest.fixture
def server(engine_name: str) -> Iterator[object]:  # noqa: F811
    with serve(echo, ANY, engine=engine_name) as made:
        yield made


def test_text_and_bytes_are_messages_on_every_engine(server, engine_name) -> None:  # noqa: F811
    sent = ["привет", b"\0\xff", "", b"", "x" * 200_000, os.urandom(300_000)]

    if engine_name == "blocking":
        with connect(server.addresses[0]) as plain:
            plain.send_many(sent)
            assert [plain.receive(timeout=20) for _ in sent] == sent
        return

    async def talk() -> list[object]:
        async with connect(server.addresses[0]) as connection:
            await connection.send_many(sent)
            return [await connection.receive(timeout=20) for _ in sent]

    assert engines.make(engine_name).run(talk()) == sent


def test_plain_code_on_both_sides(server) -> None:
    def shout(connection) -> None:
        for message in connection:
            connection.send(message.upper())

    with serve(shout, ANY) as plain, connect(plain.addresses[0]) as connection:
        connection.send("quiet")
        assert connection.receive(timeout=20) == "QUIET"
        assert str(plain.addresses[0]).endswith("/chat")
        assert str(connection.peer) == str(plain.addresses[0].replace(resource=""))


def test_many_small_messages_are_few_system_calls_and_come_in_order(server) -> None:
    recorder = Recorder()
    with connect(server.addresses[0], observer=recorder) as connection:
        connection.send_many([f"{number}" for number in range(2000)])
        assert [connection.receive(timeout=20) for _ in range(2000)] == [str(number) for number in range(2000)]
    sends = [event for event in recorder.events if type(event).__name__ == "Sent"]
    assert len(sends) < 20


@pytest.mark.parametrize(
    ("framing", "messages", "wire"),
    [
        ("json", [{"a": 1}, [], "x"], [(TEXT, b'{"a":1}'), (TEXT, b"[]"), (TEXT, b'"x"')]),
        ("lines", ["one", "", "две"], [(TEXT, b"one"), (TEXT, b""), (TEXT, "две".encode())]),
        ("length:2", [b"abc"], [(BINARY, b"\0\3abc")]),
    ],
)
def test_a_framing_frames_each_message_by_itself(framing, messages, wire) -> None:
    with listen("ws://127.0.0.1:0", framing=framing) as listener:
        result: list[object] = []

        def accept() -> None:
            with listener.accept(timeout=20) as connection:
                result.extend(connection.receive(timeout=20) for _ in messages)
                for message in messages:
                    connection.send(message)

        thread = threading.Thread(target=accept)
        thread.start()
        with client_of(listener.addresses[0]) as peer:
            for opcode, payload in wire:
                peer.send(FIN | opcode, payload)
            assert [peer.receive() for _ in wire] == [(FIN | opcode, payload) for opcode, payload in wire]
            peer.send(FIN | CLOSE, b"\x03\xe8")
            assert peer.receive() == (FIN | CLOSE, b"\x03\xe8")
        thread.join(20)
    assert result == messages


def test_reframe_frames_unread_messages_anew(server) -> None:
    with connect(server.addresses[0]) as connection:
        connection.send_many(["1", "[2]"])
        assert connection.receive(timeout=20) == "1"
        connection.reframe("json")
        assert connection.receive(timeout=20) == [2]
        connection.send({"three": 3})
        assert connection.receive(timeout=20) == {"three": 3}
        with pytest.raises(StreamError, match="no bytes beside its messages"):
            connection.receive_exactly(1)


def test_a_message_that_does_not_follow_the_framing_closes_with_1007() -> None:
    recorder = Recorder()
    with serve(echo, ANY, framing="json", observer=recorder) as server:
        with client_of(server.addresses[0], "/chat") as peer:
            peer.send(FIN | TEXT, b'{"good":1}')
            peer.send(FIN | TEXT, b"{bad")
            assert peer.receive() == (FIN | TEXT, b'{"good":1}')
            first, payload = peer.receive()
            assert (first, payload[:2]) == (FIN | CLOSE, (1007).to_bytes(2, "big"))
            peer.send(FIN | CLOSE, payload[:2])
        server.wait_idle(timeout=20)
    (closed,) = recorder.of(Closed)
    assert (closed.reason, closed.close_code) == ("framing", 1007)


# Ends.


def test_a_half_close_is_a_close_frame_and_the_rest_is_received(server) -> None:
    with connect(server.addresses[0]) as connection:
        connection.send("last")
        connection.send_eof()
        assert connection.receive(timeout=20) == "last"
        with pytest.raises(EndOfStream) as caught:
            connection.receive(timeout=20)
        assert caught.value.close_code == 1000


def test_the_close_handshake_of_a_client(server) -> None:
    with client_of(server.addresses[0], "/chat") as peer:
        peer.send(FIN | TEXT, b"one")
        peer.send(FIN | CLOSE, b"\x0f\xa1bye")
        assert peer.receive() == (FIN | TEXT, b"one")
        assert peer.receive() == (FIN | CLOSE, b"\x0f\xa1bye")
        assert peer.at_end()


def test_a_close_code_and_reason_are_on_the_error_and_in_the_end_event() -> None:
    recorder = Recorder()
    errors: list[BaseException] = []

    async def handler(connection) -> None:
        try:
            await connection.receive()
        except StreamError as error:
            errors.append(error)
            raise

    with serve(handler, ANY, observer=recorder) as server:
        with client_of(server.addresses[0], "/chat") as peer:
            peer.send(FIN | CLOSE, (4401).to_bytes(2, "big") + b"who are you?")
            assert peer.receive() == (FIN | CLOSE, (4401).to_bytes(2, "big") + b"who are you?")
        server.wait_idle(timeout=20)
    assert isinstance(errors[0], BrokenError)
    assert (errors[0].close_code, errors[0].close_reason) == (4401, "who are you?")
    (closed,) = recorder.of(Closed)
    assert (closed.close_code, closed.close_reason, closed.reason) == (4401, "who are you?", "lost")


def test_an_end_without_a_close_frame_is_1006() -> None:
    recorder = Recorder()
    with serve(echo, ANY, observer=recorder) as server:
        with client_of(server.addresses[0], "/chat") as peer:
            peer.send(FIN | TEXT, b"x")
            assert peer.receive() == (FIN | TEXT, b"x")
        server.wait_idle(timeout=20)
    (closed,) = recorder.of(Closed)
    assert isinstance(closed.error, BrokenError)
    assert closed.error.close_code == 1006
    assert closed.reason == "lost"


def test_a_handler_that_fails_closes_with_1011() -> None:
    async def handler(connection) -> None:
        raise RuntimeError("bug")

    recorder = Recorder()
    with serve(handler, ANY, observer=recorder) as server:
        with connect(server.addresses[0]) as connection, pytest.raises(BrokenError) as caught:
            connection.receive(timeout=20)
        assert caught.value.close_code == 1011
        server.wait_idle(timeout=20)
    assert len(recorder.of(HandlerFailed)) == 1


def test_a_server_that_stops_closes_with_1001(engine_name) -> None:  # noqa: F811
    server = serve(echo, ANY, engine=engine_name, grace=4).open()
    with connect(server.addresses[0]) as connection:
        connection.send("x")
        assert connection.receive(timeout=20) == "x"
        thread = threading.Thread(target=server.close)
        thread.start()
        with pytest.raises(EndOfStream) as caught:
            connection.receive(timeout=20)
        thread.join(20)
        assert caught.value.close_code == 1001
    assert server.statistics().active_count == 0


def test_a_stop_without_a_grace_says_1001_too() -> None:
    server = serve(echo, ANY, engine="epoll" if "epoll" in engines.NAMES else "poll").open()
    with connect(server.addresses[0]) as connection:
        connection.send("x")
        assert connection.receive(timeout=20) == "x"
        server.close(grace=0)
        with pytest.raises(StreamError) as caught:
            connection.receive(timeout=20)
        assert caught.value.close_code == 1001


# Control frames.


def test_a_ping_is_answered_amid_the_fragments_of_a_message(server) -> None:
    with client_of(server.addresses[0], "/chat") as peer:
        peer.send(TEXT, b"be")
        peer.send(FIN | PING, b"there?")
        assert peer.receive() == (FIN | PONG, b"there?")
        peer.send(FIN | PONG, b"unasked")
        peer.send(FIN | CONTINUATION, b"low")
        assert peer.receive() == (FIN | TEXT, b"below")


def test_a_silent_peer_is_pinged_and_then_lost() -> None:
    recorder = Recorder()
    with serve(echo, ANY, ping_interval=0.05, ping_timeout=0.05, observer=recorder) as server:
        with client_of(server.addresses[0], "/chat") as peer:
            assert peer.receive() == (FIN | PING, b"")
            server.wait_idle(timeout=20)
    (closed,) = recorder.of(Closed)
    assert isinstance(closed.error, BrokenError)
    assert "ping_timeout" in str(closed.error)
    assert closed.error.close_code == 1006


def test_a_silent_peer_is_lost_on_every_engine(engine_name) -> None:  # noqa: F811
    """Without an observer the compiled core may receive: the error is the same."""
    errors: list[BaseException] = []
    seen = threading.Event()

    async def handler(connection) -> None:
        try:
            async for message in connection:
                await connection.send(message)
        except BrokenError as error:
            errors.append(error)
            seen.set()

    with serve(handler, ANY, ping_interval=0.05, ping_timeout=0.05, engine=engine_name) as server:
        with client_of(server.addresses[0], "/chat") as peer:
            peer.send(FIN | TEXT, b"one")
            assert peer.receive() == (FIN | TEXT, b"one")
            assert peer.receive() == (FIN | PING, b"")
            assert seen.wait(20)
    assert "ping_timeout" in str(errors[0])
    assert errors[0].close_code == 1006


def test_control_frames_and_fragments_between_messages(server) -> None:
    """What the compiled core takes, and what it leaves to the codec, in the order that they came, cut anywhere."""
    frames = []
    for number in range(30):
        frames += [
            (FIN | TEXT, b"%d" % number),
            (FIN | PING, b"p%d" % number),
            (BINARY, b"a"),
            (FIN | PING, b"amid"),
            (CONTINUATION, b""),
            (FIN | CONTINUATION, b"%d" % number),
            (FIN | BINARY, b"z" * 300),
        ]
    with client_of(server.addresses[0], "/chat") as peer:
        wire = b"".join(encode_frame(first, payload, MASK) for first, payload in frames)
        for start in range(0, len(wire), 997):
            peer.sock.sendall(wire[start : start + 997])
        answers = [peer.receive() for _ in range(150)]
        peer.send(FIN | CLOSE, b"\x03\xe8")
        assert peer.receive() == (FIN | CLOSE, b"\x03\xe8")
    echoed = [answer for answer in answers if answer[0] != FIN | PONG]
    expected = []
    for number in range(30):
        expected += [(FIN | TEXT, b"%d" % number), (FIN | BINARY, b"a%d" % number), (FIN | BINARY, b"z" * 300)]
    assert echoed == expected
    pongs = [payload for first, payload in answers if first == FIN | PONG]
    assert pongs == [payload for first, payload in frames if first == FIN | PING]


def test_frames_that_come_with_the_request_are_the_first_messages(server) -> None:
    with dial(server.addresses[0]) as sock:
        early = encode_frame(FIN | PING, b"hi", MASK) + encode_frame(FIN | TEXT, b"early", MASK)
        sock.sendall(request("/chat") + early)
        assert read_head(sock).startswith("HTTP/1.1 101 ")
        peer = Peer(sock, is_client=True)
        assert sorted([peer.receive(), peer.receive()]) == [(FIN | TEXT, b"early"), (FIN | PONG, b"hi")]
        peer.send(FIN | TEXT, b"later")
        assert peer.receive() == (FIN | TEXT, b"later")


def test_a_peer_that_answers_pings_stays() -> None:
    async def handler(connection) -> None:
        with pytest.raises(TimeoutError):
            await connection.receive(timeout=0.3)
        await connection.send("enough")

    with serve(handler, ANY, engine="poll", ping_interval=0.02, ping_timeout=20) as server:
        with connect(server.addresses[0], ping_interval=None) as client:
            assert client.receive(timeout=20) == "enough"
            assert client.statistics().sent_size > 4 * 6  # pongs


def test_a_flood_of_pings_from_a_peer_that_reads_nothing_is_bounded(server) -> None:
    received = threading.Event()

    async def handler(connection) -> None:
        async for _ in connection:
            assert connection.statistics().unsent_size < 200_000
            received.set()

    with serve(handler, ANY, engine="poll") as server, client_of(server.addresses[0], "/chat") as peer:
        for _ in range(200):
            for _ in range(100):
                peer.send(FIN | PING, b"x" * 125)
        peer.send(FIN | TEXT, b"done")
        assert received.wait(20)


# Mistakes of the peer.


@pytest.mark.parametrize(
    ("first", "payload", "code"),
    [
        (FIN | 3, b"", 1002),
        (PING, b"", 1002),
        (FIN | CONTINUATION, b"", 1002),
        (FIN | TEXT, b"\xff", 1007),
        (FIN | BINARY, bytes(1001), 1009),
        (FIN | CLOSE, b"\x03", 1002),
    ],
)
def test_a_mistake_ends_with_its_code_after_what_came_before(first, payload, code) -> None:
    recorder = Recorder()
    with serve(echo, ANY, max_size=1000, observer=recorder) as server:
        with client_of(server.addresses[0], "/chat") as peer:
            peer.send(FIN | TEXT, b"good")
            assert peer.receive() == (FIN | TEXT, b"good")
            peer.send(first, payload)
            answer, text = peer.receive()
            assert (answer, int.from_bytes(text[:2], "big")) == (FIN | CLOSE, code)
            peer.send(FIN | CLOSE, text[:2])
            assert peer.at_end()
        server.wait_idle(timeout=20)
    (closed,) = recorder.of(Closed)
    assert isinstance(closed.error, FramingError)
    assert (closed.error.close_code, closed.close_code) == (code, code)


def test_a_client_refuses_a_masked_frame() -> None:
    import socket

    from socketkit.websocket.handshake import accept_handshake

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            sock = listener.accept()[0]
            with sock:
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    head += sock.recv(4096)
                key = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
                accepted = accept_handshake(key.partition(b":")[2].strip())
                sock.sendall(
                    b"HTTP/1.1 101 Fine\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
                    + accepted
                    + b"\r\n\r\n"
                )
                Peer(sock, is_client=True).send(FIN | TEXT, b"masked")
                while sock.recv(4096):
                    pass

        thread = threading.Thread(target=answer)
        thread.start()
        with connect(f"ws://127.0.0.1:{listener.getsockname()[1]}", close_timeout=1) as connection:
            with pytest.raises(FramingError, match="a server's frame has a mask"):
                connection.receive(timeout=20)
            with pytest.raises(BrokenError, match="1002"):
                connection.send("more")
        thread.join(20)


# Other streams below.


def test_over_a_unix_socket() -> None:
    with tempfile.TemporaryDirectory() as folder:
        with serve(echo, f"ws+unix://{folder}/s?path=/chat") as server:
            with connect(server.addresses[0]) as connection:
                assert connection.request.path == "/chat"
                connection.send("x")
                assert connection.receive(timeout=20) == "x"


def test_over_tls(engine_name) -> None:  # noqa: F811
    with serve(echo, "wss://127.0.0.1:0/chat", engine=engine_name, cert=papers().cert) as server:
        address = server.addresses[0]
        assert address.scheme == "wss"
        with connect(address, ca=papers().ca) as connection:
            for message in ("secret", b"x" * 100_000):
                connection.send(message)
                assert connection.receive(timeout=20) == message
            assert connection.tls is not None


@pytest.mark.parametrize("compression", ["deflate", "none"])
def test_compression_is_agreed_on_where_both_want_it(compression) -> None:
    with serve(echo, ANY, compression=compression) as server, connect(server.addresses[0]) as connection:
        connection.send("again " * 10_000)
        assert connection.receive(timeout=20) == "again " * 10_000
        size = connection.statistics().received_size
        assert (size < 2000) == (compression == "deflate")


def test_a_slow_reader_holds_the_sender_back() -> None:
    started = threading.Event()

    async def flood(connection) -> None:
        for _ in range(2000):
            await connection.send(b"x" * 10_000)
            assert connection.statistics().unsent_size < 2_000_000
            started.set()

    with serve(flood, ANY, engine="poll", compression="none") as server, connect(server.addresses[0]) as connection:
        assert started.wait(20)
        count = sum(1 for _ in connection)
    assert count == 2000
