"""A conversation between a person behind pipes and a peer behind a raw socket, on every engine.

The peer's part is played in a thread: who waits for what is said by the calls themselves, and no test waits for time
unless it is about time.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from socketkit import Options, engines
from socketkit.apps.talk.conversation import AbandonedError, TalkOptions, converse
from socketkit.apps.talk.line_messages import message_format
from socketkit.connection.connection import Connection
from socketkit.errors import BrokenError, FramingError, OptionError
from socketkit.framing import of
from socketkit.streams.from_socket import stream_from_socket
from socketkit.streams.pipes import PipeStream

PATIENCE = 10.0


def connected_pair(buffer: int | None = None) -> tuple[socket.socket, socket.socket]:
    """Two ends of a TCP connection; what the first one sends fits into so many bytes of buffers (the system doubles
    them), where that is given."""
    with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.ExitStack() as stack:
        near = stack.enter_context(socket.socket())
        if buffer is not None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        near.connect(listener.getsockname())
        far, _ = listener.accept()
        stack.pop_all()
        return near, far


class Talk:
    """A conversation in this thread, and the far ends of all that it uses.

    Attributes:
        peer: the other end of the connection, a plain blocking socket.
        typing: what the person types is written here.
        reading: what the person sees is read here.
    """

    def __init__(
        self,
        engine_name: str,
        *,
        framing: str | None = None,
        sink: int | None = None,
        pair: tuple[socket.socket, socket.socket] | None = None,
    ) -> None:
        self.engine_name = engine_name
        self.framing = framing
        self.near, self.peer = pair or connected_pair()
        self.peer.settimeout(PATIENCE)
        self._source, typing = os.pipe()
        reading, self._sink = os.pipe()
        self.typing = open(typing, "wb", buffering=0)  # noqa: SIM115
        self.reading = open(reading, "rb")  # noqa: SIM115
        self._sink = self._sink if sink is None else sink

    def hold(self, **talk: Any) -> bool:
        """Converse to the end; whether somebody still reads."""
        engine = engines.make(self.engine_name)
        self.near.setblocking(False)

        async def main() -> bool:
            connection = Connection(stream_from_socket(engine, self.near, Options()), of(self.framing or "chunks"))
            with contextlib.closing(PipeStream(engine, self._source, self._sink, peer="standard output")) as person:
                messages = message_format(self.framing)
                return await converse(connection, person, messages=messages, talk=TalkOptions(**talk))

        return engine.run(main())

    def reset(self) -> None:
        """The peer throws the connection away."""
        self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.peer.close()

    def close(self) -> None:
        for thing in (self.peer, self.near, self.typing, self.reading):
            thing.close()


@pytest.fixture
def talk(engine_name: str) -> Iterator[Talk]:
    made = Talk(engine_name)
    yield made
    made.close()


@contextlib.contextmanager
def meanwhile(part: Callable[[], object]) -> Iterator[list[Any]]:
    """Play a part in a thread; its result is in the list when the block is left."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(part()), daemon=True)
    thread.start()
    yield results
    thread.join(PATIENCE)
    assert not thread.is_alive()


def read_all(sock: socket.socket) -> bytes:
    pieces = []
    while data := sock.recv(65536):
        pieces.append(data)
    return b"".join(pieces)


def test_input_sent_answer_read_to_eof(talk: Talk) -> None:
    """What is typed arrives and the answer to its end is received in full."""

    def answer() -> bytes:
        heard = read_all(talk.peer)
        talk.peer.sendall(heard.upper() * 10_000)
        talk.peer.close()
        return heard

    talk.typing.write(b"one\ntwo\n")
    talk.typing.close()
    with meanwhile(answer) as heard, meanwhile(talk.reading.read) as seen:
        assert talk.hold() is True
    assert heard == [b"one\ntwo\n"]
    assert seen == [b"ONE\nTWO\n" * 10_000]


def test_linger_after_peer_eof_ends_silent_input(talk: Talk) -> None:
    """With `linger`, an input that stays silent after the peer's end is given up without an error."""
    talk.peer.sendall(b"goodbye")
    talk.peer.close()
    assert talk.hold(linger=0.05) is True
    assert talk.reading.read() == b"goodbye"


def test_input_timeout_after_peer_eof(talk: Talk) -> None:
    """With `input_timeout`, what the input said before is sent, and its silence then ends the conversation."""
    talk.typing.write(b"said")
    talk.peer.shutdown(socket.SHUT_WR)
    with meanwhile(lambda: read_all(talk.peer)) as received:
        assert talk.hold(input_timeout=0.05) is True
    assert received == [b"said"]


def test_input_before_peer_eof_is_sent(talk: Talk) -> None:
    """The peer may have ended one direction only."""
    talk.typing.write(b"x" * 50_000)
    talk.typing.close()
    talk.peer.shutdown(socket.SHUT_WR)
    with meanwhile(lambda: read_all(talk.peer)) as heard:
        talk.hold()
    assert heard == [b"x" * 50_000]


@pytest.mark.parametrize("only", [None, "send"])
@pytest.mark.parametrize("linger", [None, 30.0])
def test_slow_input_after_peer_eof_is_sent(talk: Talk, only: str | None, linger: float | None) -> None:
    """The end of one direction is not the end of the other, however long the input pauses."""
    told = threading.Event()

    def part() -> bytes:
        talk.peer.shutdown(socket.SHUT_WR)
        assert told.wait(PATIENCE)  # the end was seen, and the input is not at its end
        talk.typing.write(b"late")
        received = talk.peer.recv(4, socket.MSG_WAITALL)
        talk.typing.close()
        return received + read_all(talk.peer)

    with meanwhile(part) as received:
        assert talk.hold(only=only, linger=linger, on_peer_end=told.set) is True
    assert received == [b"late"]


def test_peer_closed_on_unix_socket_ends_input(engine_name: str) -> None:
    """A UNIX socket that the peer has closed takes nothing more, which the system knows: the input is not awaited."""
    talk = Talk(engine_name, pair=socket.socketpair())
    talk.peer.sendall(b"goodbye")
    talk.peer.close()
    assert talk.hold() is True
    assert talk.reading.read() == b"goodbye"
    talk.close()


def test_input_after_peer_closed_is_abandoned(talk: Talk) -> None:
    """What is sent to a peer that has closed both directions is lost, and reported; the input is not read further."""
    told = threading.Event()

    def part() -> None:
        talk.peer.close()
        assert told.wait(PATIENCE)
        with contextlib.suppress(BrokenPipeError):
            while True:
                talk.typing.write(b"late")

    with meanwhile(part), pytest.raises(AbandonedError, match="had ended, and did not take what we still sent"):
        talk.hold(on_peer_end=told.set)


def test_output_reader_gone_ends_silent_receiving(talk: Talk) -> None:
    """Where nothing is left to send, an output without a reader ends the conversation without a write."""
    assert talk.hold(only="receive", is_output_closed=lambda: True) is False


def test_send_under_way_finishes_after_peer_eof(talk: Talk) -> None:
    """`program | socketkit connect` to a peer that sends nothing: the program is heard to its end."""
    talk.peer.shutdown(socket.SHUT_WR)

    def speak() -> None:
        for number in range(300):
            talk.typing.write(b"%6d\n" % number)
            assert talk.peer.recv(7, socket.MSG_WAITALL) == b"%6d\n" % number  # the pipe is empty now
        talk.typing.close()

    with meanwhile(speak):
        talk.hold()
    assert read_all(talk.peer) == b""


def test_unsent_after_peer_eof_is_abandoned(engine_name: str) -> None:
    """What a peer that has ended does not take is abandoned and not forgotten."""
    talk = Talk(engine_name, pair=connected_pair(4096))
    talk.peer.shutdown(socket.SHUT_WR)
    talk.typing.write(bytes(65536))  # the pipe takes it, the buffers of the connection do not
    with (
        contextlib.closing(talk),
        pytest.raises(AbandonedError, match=r"gave up after 300ms \(--linger\): \d+ bytes were left unsent"),
    ):
        talk.hold(linger=0.3)


def test_linger_expiry_names_the_peer(talk: Talk) -> None:
    """A linger that runs out says that the peer did not end."""
    talk.typing.write(b"well?")
    talk.typing.close()
    talk.peer.sendall(b"hm")
    with pytest.raises(AbandonedError, match=r"^gave up after 50ms \(--linger\): tcp://.* did not end its direction"):
        talk.hold(linger=0.05)
    assert talk.reading.read() == b"hm"
    assert read_all(talk.peer) == b"well?"  # and a clean end


def test_zero_linger_ends_with_input(talk: Talk) -> None:
    """Without any linger it ends with what is typed."""
    talk.typing.write(b"a word")
    talk.typing.close()
    with pytest.raises(AbandonedError, match=r"gave up after 0s"):
        talk.hold(linger=0)
    assert read_all(talk.peer) in (b"a word", b"")


def test_reset_after_shown_data(talk: Talk) -> None:
    """A reset is a loss and what came before it was shown."""

    def part() -> None:
        talk.peer.sendall(b"half of it")
        assert talk.reading.read(10) == b"half of it"
        talk.reset()

    with meanwhile(part), pytest.raises(BrokenError, match="Connection reset by peer"):
        talk.hold()


def test_closed_output_ends_quietly(talk: Talk) -> None:
    """A reader who has had enough ends it quietly whatever is still unsent."""
    talk.reading.close()

    def part() -> None:
        with contextlib.suppress(OSError):
            talk.typing.write(bytes(60_000))
            talk.peer.sendall(b"the second line")
            read_all(talk.peer)

    with meanwhile(part):
        assert talk.hold() is False


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a disk that is full is Linux's /dev/full")
def test_unwritable_output_reports_why(engine_name: str) -> None:
    """An output that cannot be written says why."""
    talk = Talk(engine_name, sink=os.open("/dev/full", os.O_WRONLY))
    talk.peer.sendall(b"a file")
    with pytest.raises(OSError, match=r"sending to standard output: No space left on device \(ENOSPC\)") as caught:
        talk.hold()
    assert not isinstance(caught.value, BrokenError)
    talk.close()


def test_much_goes_both_ways_at_once(talk: Talk) -> None:
    """Nobody reads before it has written: whoever waits with one direction for the other is stuck for ever."""
    data = os.urandom(1_000_000) * 4

    def typing() -> None:
        view = memoryview(data)
        while view:
            view = view[talk.typing.write(view) :]
        talk.typing.close()

    def echo() -> None:
        while piece := talk.peer.recv(65536):
            talk.peer.sendall(piece)
        talk.peer.shutdown(socket.SHUT_WR)

    with meanwhile(typing), meanwhile(echo), meanwhile(talk.reading.read) as seen:
        talk.hold()
    assert seen == [data]


@pytest.mark.parametrize(
    ("framing", "typed", "on_the_wire", "shown"),
    [
        ("lines", b"a\r\nb\nc", b"a\nb\nc\n", b"a\nb\nc\n"),
        ("lines:encoding=latin-1", "ä\n".encode("latin-1"), b"\xe4\n", b"\xe4\n"),
        ("length:2", b"one\ntwo\n", b"\0\3one\0\3two", b"one\ntwo\n"),
        ("netstring", b"a b\n", b"3:a b,", b"a b\n"),
        ("json", b'{"a": 1}\n[2]\n', b'{"a":1}\n[2]\n', b'{"a":1}\n[2]\n'),
        ("msgpack", b'{"a": [1, null]}\n', b"\x81\xa1a\x92\x01\xc0", b'{"a":[1,null]}\n'),
        ("chunks", b"\0\xff\n", b"\0\xff\n", b"\0\xff\n"),
    ],
)
def test_line_and_message_round_trip(framing: str, typed: bytes, on_the_wire: bytes, shown: bytes) -> None:
    """A line is a message and a message a line."""
    talk = Talk(engines.best_readiness(), framing=framing)
    talk.typing.write(typed)
    talk.typing.close()

    def echo() -> bytes:
        heard = read_all(talk.peer)
        talk.peer.sendall(heard)
        talk.peer.close()
        return heard

    with meanwhile(echo) as heard:
        talk.hold()
    assert heard == [on_the_wire]
    assert talk.reading.read() == shown
    talk.close()


@pytest.mark.parametrize(
    ("framing", "typed", "came"),
    [("json", b"{no\n", b""), ("length:4", b"", b"\xff\xff\xff\xff"), ("lines", b"\xff\n", b"")],
)
def test_framing_error_in_either_direction(framing: str, typed: bytes, came: bytes) -> None:
    """What follows no framing is refused on either side."""
    talk = Talk(engines.best_readiness(), framing=framing)
    talk.typing.write(typed)
    talk.peer.sendall(came)
    with pytest.raises(FramingError):
        talk.hold()
    talk.close()


def test_what_json_cannot_say_is_refused_too() -> None:
    with pytest.raises(FramingError, match="a message cannot be shown"):
        message_format("msgpack").to_bytes([1j])


def test_an_unknown_framing_has_no_words() -> None:
    with pytest.raises(OptionError, match="unknown framing 'line'"):
        message_format("line")


class Shouting:
    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        shown, self._held = self._held + data[:-1], data[-1:]
        return shown.upper()

    def end(self) -> bytes:
        return self._held.upper() + b"."


def test_output_filter_flushes_at_end(talk: Talk) -> None:
    """What comes passes through the screen with what it held back."""
    talk.peer.sendall(b"abc")
    talk.peer.close()
    talk.typing.close()
    talk.hold(screen=Shouting)
    assert talk.reading.read() == b"ABC."


@pytest.mark.parametrize(
    ("framing", "line", "text"),
    [
        ("fixed:4", b"0123456789\n", "a line of 10 bytes at offset 0 is longer than a message, which has 4"),
        (
            "varint:max_size=3B",
            b"0123\n",
            "a line of 4 bytes at offset 0 is longer than a message, which has 3; allow it with max_size=",
        ),
        (
            "lines:max_size=3B",
            b"0123\n",
            "a line of 4 bytes at offset 0 is longer than a message, which has 3; allow it with max_size=",
        ),
        ("msgpack", b"not json\n", "JSON is malformed"),
    ],
)
def test_error_of_input_names_the_framing_that_was_asked_for(framing: str, line: bytes, text: str) -> None:
    """The lines of the input have a framing of their own, which nobody has typed."""
    with pytest.raises(FramingError) as caught:
        message_format(framing).to_messages(line)
    found = str(caught.value)
    assert found.startswith(f"the input for {framing}: {text}")
    assert ("max_size=" in found.removeprefix(f"the input for {framing}")) == ("max_size" in text)
    assert caught.value.framing == framing
