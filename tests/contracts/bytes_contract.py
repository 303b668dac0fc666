"""Checks of bytes beside messages: `receive_exactly`, `receive_until` and `peek` in any order with framed receiving.

Any implementation of the receiving side must pass them. A test class inherits `BytesContract` and says how a connection
is made. Each check runs on the engine that the fixture `engine` gives; the peer is a plain socket.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from typing import Any

import pytest

from socketkit.engines.engine import Engine
from socketkit.errors import (
    BrokenError,
    BusyError,
    ClosedError,
    DeadlineError,
    EndOfStream,
    FrameTooLongError,
    FramingError,
    OptionError,
    StreamError,
    TruncatedFrameError,
)
from socketkit.events import FrameSkipped
from support.recorder import Recorder
from support.running import Running, turns
from support.streams import reset

SHORT = 0.01
"""Seconds of a wait for what does not come."""


class Plain:
    """A codec of one's own with the three methods alone: three bytes a message."""

    def __init__(self) -> None:
        self._tail = b""

    def encode(self, messages: Any) -> bytes:
        return b"".join(messages)

    def feed(self, data: bytes) -> list[Any]:
        data = self._tail + data
        whole = len(data) - len(data) % 3
        self._tail = data[whole:]
        return [data[at : at + 3] for at in range(0, whole, 3)]

    def feed_eof(self) -> list[Any]:
        return []


class Numbered:
    """A codec of one's own with a state that each message changes: two bytes, and the number of the message before
    them. It can give back messages, and counts back then."""

    def __init__(self) -> None:
        self.offset = 0
        self.count = 0
        self._tail = b""
        self._last = b""

    def encode(self, messages: Any) -> bytes:
        return b"".join(data for _, data in messages)

    def feed(self, data: bytes) -> list[Any]:
        data = self._tail + data
        whole = len(data) - len(data) % 2
        self._last, self._tail = data[:whole], data[whole:]
        self.offset += whole
        first, self.count = self.count, self.count + whole // 2
        return [(first + at // 2, data[at : at + 2]) for at in range(0, whole, 2)]

    def feed_eof(self) -> list[Any]:
        return []

    def take_rest(self, unread: int = 0) -> bytes:
        begin = len(self._last) - 2 * unread
        rest = self._last[begin:] + self._tail
        self.offset -= 2 * unread
        self.count -= unread
        self._last, self._tail = self._last[:begin], b""
        return rest


class BytesContract:
    """Inherit it; `connected` makes a connection of the framing, and the plain socket at its other end."""

    def connected(
        self, engine: Engine, framing: Any, **options: Any
    ) -> AbstractContextManager[tuple[Any, socket.socket]]:
        raise NotImplementedError

    @pytest.fixture
    def run(self, engine: Engine) -> Callable[..., None]:
        """Run a check: `run(test, "lines")` calls `test(connection, far)` on the engine."""

        def run(test: Callable[[Any, socket.socket], Coroutine[Any, Any, None]], framing: Any, **options: Any) -> None:
            async def main() -> None:
                with self.connected(engine, framing, **options) as (connection, far):
                    await test(connection, far)

            engine.run(main())

        return run

    # In any order with messages.

    def test_a_line_then_bytes(self, run: Any) -> None:
        """The bytes begin behind the message, and the next message behind them, although all came at once."""

        async def test(connection: Any, far: socket.socket) -> None:
            far.sendall(b"SIZE 5\r\nab\ncdnext\nlast\n")
            assert await connection.receive() == "SIZE 5"
            assert await connection.receive_exactly(5) == b"ab\ncd"
            assert await connection.receive() == "next"
            assert await connection.receive_many() == ["last"]

        run(test, "lines")

    def test_bytes_before_the_first_message(self, run: Any) -> None:
        async def test(connection: Any, far: socket.socket) -> None:
            far.sendall(b"HELLO\r\n\r\n5:hello,")
            assert await connection.receive_until(b"\r\n") == b"HELLO"
            assert await connection.receive_exactly(2) == b"\r\n"
            assert await connection.receive() == b"hello"

        run(test, "netstring")

    def test_many_changes_in_one_read(self, run: Any) -> None:
        async def test(connection: Any, far: socket.socket) -> None:
            far.sendall(b"".join(b"%d\n\n%03d;" % (number, number) for number in range(300)))
            for number in range(300):
                assert await connection.receive() == str(number)
                assert await connection.peek(1) == b"\n"
                assert await connection.receive_exactly(1) == b"\n"
                assert await connection.receive_until(b";") == b"%03d" % number

        run(test, "lines")

    def test_batches_again_after_many_messages(self, run: Any) -> None:
        """However many messages come between two such calls, not a byte is lost."""

        async def test(connection: Any, far: socket.socket) -> None:
            count = 2500
            far.sendall(b"raw" + b"".join(b"%d\n" % number for number in range(count)) + b"r\nw" + b"end\n")
            assert await connection.receive_exactly(3) == b"raw"
            got = [await connection.receive() for _ in range(1500)]
            while len(got) < count:
                got.append(await connection.receive())
            assert got == [str(number) for number in range(count)]
            assert await connection.receive_exactly(3) == b"r\nw"
            assert await connection.receive() == "end"

        run(test, "lines")

    def test_iteration_and_batches_go_on(self, run: Any) -> None:
        async def test(connection: Any, far: socket.socket) -> None:
            far.sendall(b"1\n2\n3\n\0\n\0 4\n5\n")
            far.shutdown(socket.SHUT_WR)
            seen = []
            async for message in connection:
                seen.append(message)
                if message == "3":
                    assert await connection.receive_exactly(3) == b"\0\n\0"
            assert seen == ["1", "2", "3", " 4", "5"]

        run(test, "lines")

    @pytest.mark.parametrize(
        ("framing", "frame", "message"),
        [
            ("chunks", b"", b"raw\n\0\xff"),
            ("lines", b"one\n", "one"),
            ("lines:encoding=none", b"one\r\n", b"one"),
            (r"delimited:\r\n", b"one\r\n", b"one"),
            (r"delimited:aa", b"oneaa", b"one"),
            (r"delimited:\n,\r\n", b"one\r\n", b"one"),
            ("fixed:3", b"one", b"one"),
            ("length:4", b"\0\0\0\3one", b"one"),
            ("length:2,includes=all,before=1,after=1", b"\0\0\7\0one", b"one"),
            ("length:1", b"\0", b""),
            ("varint", b"\3one", b"one"),
            ("netstring", b"3:one,", b"one"),
            ("octets", b"3 one", b"one"),
            ("content-length", b"Content-Length: 3\r\n\r\none", b"one"),
            ("slip", b"one\xc0", b"one"),
            ("cobs", b"\4one\0", b"one"),
            ("json", b'{"a":1}\n', {"a": 1}),
            ("json-stream", b'{"a":[1,"}"]}', {"a": [1, "}"]}),
            ("msgpack", b"\xa3one", "one"),
        ],
    )
    @pytest.mark.parametrize("is_cut", [False, True])
    def test_every_framing(self, run: Any, framing: str, frame: bytes, message: Any, is_cut: bool) -> None:
        """Behind a message stand the very bytes that followed it, wherever the network has cut."""
        if framing == "msgpack":
            pytest.importorskip("msgspec")
        raw = b"raw\n\0\xff"

        async def test(connection: Any, far: socket.socket) -> None:
            if framing == "chunks":
                far.sendall(raw)
                assert await connection.receive() == message
                far.sendall(raw * 2)
                assert await connection.receive_exactly(len(raw)) == raw
                assert b"".join([await connection.receive()]) == raw
                return
            data = (frame + raw) * 3
            if is_cut:
                for at in range(len(data)):  # each byte is read alone
                    far.sendall(data[at : at + 1])
                    assert await connection.peek(at + 1) == data[: at + 1]
            else:
                far.sendall(data)
            for _ in range(3):
                assert await connection.receive() == message
                assert await connection.receive_exactly(len(raw)) == raw
            with pytest.raises(DeadlineError):
                await connection.receive(timeout=SHORT)

        run(test, framing)

    @pytest.mark.parametrize(
        "framing", ["lines", r"delimited:\r\n", "length:4", "netstring", "content-length", "json-stream", "fixed:9"]
    )
    def test_part_of_a_message_becomes_bytes(self, run: Any, framing: str) -> None:
        """A part of a message that no receive has returned is the beginning of the bytes."""
        frame = {
            "lines": b"one two\r\n",
            r"delimited:\r\n": b"one two\r\n",
            "length:4": b"\0\0\0\7one two",
            "netstring": b"7:one two,",
            "content-length": b"Content-Length: 7\r\n\r\none two",
            "json-stream": b'["one two"]',
            "fixed:9": b"123456789",
        }[framing]

        async def test(connection: Any, far: socket.socket) -> None:
            for size in range(1, len(frame)):
                far.sendall(frame[:size])
                with pytest.raises(DeadlineError):
                    await connection.receive(timeout=0.001)
                assert await connection.peek(size) == frame[:size]
                far.sendall(frame[size:])
                message = await connection.receive(timeout=20)
                assert message in (["one two"], "one two", b"one two", b"123456789")
            assert connection.statistics().received_count == len(frame) - 1

        run(test, framing)

    def test_frames_that_mean_nothing_stay_bytes(self, run: Any) -> None:
        """Blank lines and empty packets behind a message are bytes to a verb for bytes."""

        async def json(connection: Any, far: socket.socket) -> None:
            far.sendall(b'{"size":4}\n\n\r\nx\n\n{"size":0}\n')
            assert await connection.receive() == {"size": 4}
            assert await connection.receive_exactly(4) == b"\n\r\nx"
            assert await connection.receive() == {"size": 0}

        run(json, "json")

    def test_empty_packets_stay_bytes(self, run: Any) -> None:
        async def slip(connection: Any, far: socket.socket) -> None:
            far.sendall(b"one\xc0\xc0\xc0\xc0two\xc0")
            assert await connection.receive() == b"one"
            assert await connection.receive_exactly(2) == b"\xc0\xc0"
            assert await connection.receive() == b"two"

        run(slip, "slip")

    def test_white_space_belongs_to_a_json_value(self, run: Any) -> None:
        """White space behind a value of `json-stream` belongs to it, whether it came with it or later."""

        async def test(connection: Any, far: socket.socket) -> None:
            far.sendall(b"[1]\n")
            assert await connection.receive() == [1]
            with pytest.raises(DeadlineError):
                await connection.receive_exactly(3, timeout=SHORT)
            far.sendall(b" \n x\ny[2]")
            assert await connection.receive_exactly(3) == b"x\ny"
            assert await connection.receive() == [2]

        run(test, "json-stream")

    # Sizes, marks and limits.

    def test_size_zero_returns_at_once(self, run: Any) -> None:
        """Also at the end of the stream."""

        async def test(connection: Any, far: socket.socket) -> None:
            assert await connection.receive_exactly(0) == b""
            assert await connection.peek(0) == b""
            far.sendall(b"\n")
            assert await connection.receive_until(b"\n", max_size=0) == b""
            far.shutdown(socket.SHUT_WR)
            with pytest.raises(EndOfStream):
                await connection.receive()
            assert await connection.receive_exactly(0) == b""
            assert await connection.peek(0) == b""

        run(test, "lines")

    def test_wrong_arguments(self, run: Any) -> None:
        """They are refused at once, and nothing is lost."""

        async def test(connection: Any, far: socket.socket) -> None:
            far.sendall(b"abc\n")
            with pytest.raises(OptionError, match=r"^receive_exactly: size=-1; allowed are 0 bytes and more$"):
                await connection.receive_exactly(-1)
            with pytest.raises(OptionError, match=r"^peek: size=-5; allowed are 0 bytes and more$"):
                await connection.peek(-5)
            with pytest.raises(OptionError, match=r"^receive_until: max_size=-1; allowed are 0 bytes and more$"):
                await connection.receive_until(b"c", max_size=-1)
            with pytest.raises(OptionError, match=r"^receive_until: the mark is empty; give at least one byte$"):
                await connection.receive_until(b"")
            with pytest.raises(TypeError, match=r"^receive_until: the mark is bytes, not str$"):
                await connection.receive_until("c")
            with pytest.raises(TypeError):
                await connection.receive_exactly(1.0)
            with pytest.raises(TypeError, match="not a bool"):
                await connection.peek(True)
            assert await connection.receive() == "abc"

        run(test, "lines")

    def test_peek_leaves_the_bytes(self, run: Any) -> None:
        async def test(connection: Any, far: socket.socket) -> None:
            far.sendall(b"GET / HTTP/1.1\r\n")
            assert await connection.peek(3) == b"GET"
            assert await connection.peek(1) == b"G"
            assert await connection.receive() == "GET / HTTP/1.1"

        run(test, "lines")

    def test_peek_waits_for_all(self, run: Any) -> None:
        async def test(connection: Any, far: socket.socket) -> None:
            far.sendall(b"ab")
            with pytest.raises(DeadlineError, match=r"not 4 bytes to peek at within 0\.01 s"):
                await connection.peek(4, timeout=SHORT)
            far.sendall(b"cdef")
            assert await connection.peek(4) == b"abcd"
            assert await connection.receive_exactly(6) == b"abcdef"

        run(test, "lines")

    def test_peek_beyond_the_end(self, run: Any) -> None:
        """What comes before the end is returned, and then the end is met."""

        async def test(connection: Any, far: socket.socket) -> None:
            far.sendall(b"one\nab")
            far.shutdown(socket.SHUT_WR)
            assert await connection.receive() == "one"
            assert await connection.peek(100) == b"ab"
            assert await connection.peek(100) == b"ab"
            assert await connection.receive() == "ab"
            with pytest.raises(EndOfStream):
                await connection.peek(1)
            with pytest.raises(EndOfStream):
                await connection.receive()

        run(test, "lines")

    @pytest.mark.parametrize("cut", range(1, 8))
    def test_mark_cut_across_reads(self, run: Any, cut: int) -> None:
        async def test(connection: Any, far: socket.socket) -> None:
            data = b"a\r\n\r\r\n\r\nb"
            far.sendall(data[:cut])
            with pytest.raises(DeadlineError, match=r"no b'\\r\\n\\r\\n' within 0\.01 s"):
                await connection.receive_until(b"\r\n\r\n", timeout=SHORT)
            assert await connection.peek(cut) == data[:cut]
            far.sendall(data[cut:])
            assert await connection.receive_until(b"\r\n\r\n") == b"a\r\n\r"
            assert await connection.receive_exactly(1) == b"b"

        run(test, "chunks")

    @pytest.mark.parametrize("mark", [b";", b";;", b"\r\n\r\n"])
    def test_limit_is_inclusive(self, run: Any, mark: bytes) -> None:
        """So many bytes before the mark are within the limit; one more is not, whatever was read."""

        async def test(connection: Any, far: socket.socket) -> None:
            far.sendall(b"12345" + mark + b"123456" + mark + b"x" * 100_000)
            assert await connection.receive_until(mark, max_size=5) == b"12345"
            for _ in range(2):
                with pytest.raises(FrameTooLongError) as caught:
                    await connection.receive_until(mark, max_size=5)
                assert (caught.value.size, caught.value.max_size) == (6, 5)
                assert caught.value.offset == 5 + len(mark)
                assert "nothing was taken" in str(caught.value)
            assert await connection.receive_until(mark, max_size="6B") == b"123456"
            assert await connection.receive_exactly(100_000) == b"x" * 100_000

        run(test, "lines")

    def test_limit_without_mark(self, run: Any) -> None:
        """Bytes without a mark are refused as soon as no mark can be within the limit."""

        async def test(connection: Any, far: socket.socket) -> None:
            far.sendall(b"123456;")  # the mark of two bytes could end only behind
            with pytest.raises(FrameTooLongError):
                await connection.receive_until(b";;", max_size=5, timeout=20)
            with pytest.raises(DeadlineError):
                await connection.receive_until(b";;", max_size=6, timeout=SHORT)
            far.sendall(b";")
            assert await connection.receive_until(b";;", max_size=6) == b"123456"

        run(test, "chunks")

    def test_framing_limit_beside_bytes(self, run: Any) -> None:
        """A limit of the framing counts its own messages: bytes beside them may be longer."""

        async def test(connection: Any, far: socket.socket) -> None:
            far.sendall(b"12345678\n" + b"x" * 20 + b"12345678\n" + b"y" * 20 + b"123456789\n")
            assert await connection.receive() == "12345678"
            assert await connection.receive_exactly(20) == b"x" * 20
            assert await connection.receive() == "12345678"
            assert await connection.receive_exactly(20) == b"y" * 20
            with pytest.raises(FrameTooLongError) as caught:
                await connection.receive()
            assert (caught.value.offset, caught.value.size) == (58, 9)
            assert await connection.receive_until(b"\n") == b"123456789"

        run(test, "lines:max_size=8")

    def test_large_sizes(self, run: Any) -> None:
        """More than one read brings, beside large messages."""

        async def test(connection: Any, far: socket.socket) -> None:
            size = 3 * 1024 * 1024
            sending = Running(connection.engine, send_all(connection.engine, far, b"head\n", b"z" * size, b"tail\n"))
            assert await connection.receive() == "head"
            assert await connection.receive_exactly(size) == b"z" * size
            assert await connection.receive() == "tail"
            await sending.result()

        run(test, "lines")

    # Ends, losses, deadlines, cancellation.

    def test_end_within_bytes(self, run: Any) -> None:
        """The bytes that came are in the error, and stay."""

        async def test(connection: Any, far: socket.socket) -> None:
            far.sendall(b"SIZE 9\nabcd")
            far.shutdown(socket.SHUT_WR)
            assert await connection.receive() == "SIZE 9"
            for _ in range(2):
                with pytest.raises(TruncatedFrameError, match=r"at offset 11, with 4 of 9 bytes") as caught:
                    await connection.receive_exactly(9)
                assert (caught.value.partial, caught.value.offset) == (b"abcd", 7)
            with pytest.raises(TruncatedFrameError, match=r"with 4 bytes and without b';'") as caught:
                await connection.receive_until(b";")
            assert caught.value.partial == b"abcd"
            assert await connection.receive_exactly(3) == b"abc"
            assert await connection.receive() == "d"
            with pytest.raises(EndOfStream):
                await connection.receive()
            for verb in (connection.receive_exactly(1), connection.receive_until(b";"), connection.peek(1)):
                with pytest.raises(EndOfStream):
                    await verb

        run(test, "lines")

    def test_end_within_a_message_then_bytes(self, run: Any) -> None:
        """What a framing calls cut in the middle is still there as bytes."""

        async def test(connection: Any, far: socket.socket) -> None:
            far.sendall(b"3:abc,5:de")
            far.shutdown(socket.SHUT_WR)
            assert await connection.receive() == b"abc"
            with pytest.raises(TruncatedFrameError):
                await connection.receive()
            assert await connection.receive_exactly(4) == b"5:de"
            with pytest.raises(EndOfStream):
                await connection.receive()

        run(test, "netstring")

    def test_clean_end(self, run: Any) -> None:
        async def test(connection: Any, far: socket.socket) -> None:
            far.sendall(b"3:abc,")
            far.shutdown(socket.SHUT_WR)
            assert await connection.receive() == b"abc"
            for verb in (connection.receive_exactly(1), connection.receive_until(b";"), connection.peek(1)):
                with pytest.raises(EndOfStream):
                    await verb
            with pytest.raises(EndOfStream):
                await connection.receive()

        run(test, "netstring")

    def test_loss_after_the_bytes(self, run: Any) -> None:
        """What came before a reset is received first."""

        async def test(connection: Any, far: socket.socket) -> None:
            far.sendall(b"one\ntwo\nthr")
            assert await connection.peek(11) == b"one\ntwo\nthr"
            reset(far)
            with pytest.raises(BrokenError):
                await connection.receive_exactly(12)
            assert await connection.peek(100) == b"one\ntwo\nthr"
            assert await connection.receive_exactly(4) == b"one\n"
            assert await connection.receive() == "two"
            for verb in (connection.receive_exactly(4), connection.receive_until(b";"), connection.receive()):
                with pytest.raises(BrokenError):
                    await verb

        run(test, "lines")

    def test_deadline_loses_nothing(self, run: Any) -> None:
        async def test(connection: Any, far: socket.socket) -> None:
            far.sendall(b"one\nab")
            assert await connection.receive() == "one"
            with pytest.raises(DeadlineError, match=r"not 4 bytes within 0\.01 s$"):
                await connection.receive_exactly(4, timeout=SHORT)
            far.sendall(b"cd")
            assert await connection.receive_exactly(4, timeout=20) == b"abcd"

        run(test, "lines")

    def test_refused_time_changes_nothing(self, run: Any) -> None:
        """A time that is none is refused before anything happens: the next call receives."""

        async def test(connection: Any, far: socket.socket) -> None:
            for timeout in (float("nan"), -1, "soon"):
                for verb in (
                    lambda: connection.receive(timeout=timeout),  # noqa: B023 - awaited here
                    lambda: connection.receive_many(timeout=timeout),  # noqa: B023
                    lambda: connection.receive_exactly(1, timeout=timeout),  # noqa: B023
                    lambda: connection.receive_until(b";", timeout=timeout),  # noqa: B023
                    lambda: connection.peek(1, timeout=timeout),  # noqa: B023
                ):
                    with pytest.raises(OptionError):
                        await verb()
            far.sendall(b"one\ntwo;")
            assert await connection.receive(timeout=20) == "one"
            assert await connection.receive_until(b";", timeout=20) == b"two"

        run(test, "lines")

    def test_idle_timeout(self, run: Any) -> None:
        """It ends the connection as in `receive`; what came is still received."""

        async def test(connection: Any, far: socket.socket) -> None:
            far.sendall(b"ab")
            with pytest.raises(DeadlineError):
                await connection.receive_exactly(4)
            assert await connection.peek(4) == b"ab"
            assert await connection.receive_exactly(2) == b"ab"
            for verb in (connection.receive_exactly(1), connection.receive()):
                with pytest.raises(DeadlineError):
                    await verb

        run(test, "lines", idle_timeout=0.05)

    def test_cancelled_call_loses_nothing(self, run: Any) -> None:
        async def test(connection: Any, far: socket.socket) -> None:
            engine = connection.engine
            if engine.blocks:
                pytest.skip("where the engine blocks, a thread that receives is not cancelled")
            far.sendall(b"one\nab")
            assert await connection.receive() == "one"
            for verb in (connection.receive_exactly(4), connection.receive_until(b";"), connection.peek(5)):
                waiting = Running(engine, verb)
                await turns(engine)
                waiting.cancel()
                assert isinstance(await waiting.outcome(), engine.cancelled)
            far.sendall(b"cd;two\n")
            assert await connection.receive_exactly(4) == b"abcd"
            assert await connection.receive_until(b";") == b""
            assert await connection.receive() == "two"

        run(test, "lines")

    def test_one_receiver_at_a_time(self, run: Any) -> None:
        async def test(connection: Any, far: socket.socket) -> None:
            waiting = Running(connection.engine, connection.receive_exactly(2))
            await turns(connection.engine)
            while not connection.internals.receiver.is_busy:
                await turns(connection.engine)
            for verb in (connection.receive(), connection.receive_exactly(1), connection.peek(1)):
                with pytest.raises(BusyError):
                    await verb
            far.sendall(b"abc")
            assert await waiting.result() == b"ab"
            assert await connection.receive_exactly(1) == b"c"

        run(test, "lines")

    def test_closed_at_this_end(self, run: Any) -> None:
        async def test(connection: Any, far: socket.socket) -> None:
            far.sendall(b"one\nab")
            assert await connection.receive() == "one"
            assert await connection.peek(2) == b"ab"
            await connection.close()
            for verb in (connection.receive_exactly(0), connection.receive_until(b";"), connection.peek(1)):
                with pytest.raises(ClosedError):
                    await verb

        run(test, "lines")

    # What else a connection promises.

    def test_offsets_of_faults(self, run: Any) -> None:
        """They count every byte of the stream, also those beside messages."""

        async def test(connection: Any, far: socket.socket) -> None:
            far.sendall(b"3:abc,raw\n1:d,xx3:efg,oops")
            assert await connection.receive() == b"abc"
            assert await connection.receive_until(b"\n") == b"raw"
            assert await connection.receive() == b"d"
            assert await connection.receive_exactly(2) == b"xx"
            assert await connection.receive() == b"efg"
            for _ in range(2):
                with pytest.raises(FramingError) as caught:
                    await connection.receive()
                assert caught.value.offset == 22
            assert await connection.receive_exactly(4) == b"oops"
            far.sendall(b"1:x,")
            assert await connection.receive() == b"x"

        run(test, "netstring")

    def test_fault_behind_the_bytes(self, run: Any) -> None:
        """Bytes are taken before the framing looks at what stands behind them."""

        async def test(connection: Any, far: socket.socket) -> None:
            far.sendall(b"3:abc,zz1:d,")
            assert await connection.receive() == b"abc"
            assert await connection.receive_exactly(2) == b"zz"
            assert await connection.receive() == b"d"

        run(test, "netstring")

    def test_statistics(self, run: Any) -> None:
        """A message counts once, when it is decoded; bytes beside messages count as bytes alone."""

        async def test(connection: Any, far: socket.socket) -> None:
            far.sendall(b"a\nb\nc\nraw")
            assert await connection.receive() == "a"
            assert await connection.receive_exactly(2) == b"b\n"
            assert await connection.receive() == "c"
            assert await connection.receive_exactly(3) == b"raw"
            figures = connection.statistics()
            assert (figures.received_size, figures.received_count, figures.waiting_count) == (9, 2, 0)
            assert not connection.is_idle

        run(test, "lines")

    def test_reframe_between(self, run: Any) -> None:
        async def test(connection: Any, far: socket.socket) -> None:
            far.sendall(b"one\nab3:two,cd4:\nxend\n")
            assert await connection.receive() == "one"
            assert await connection.receive_exactly(2) == b"ab"
            connection.reframe("netstring")
            assert await connection.receive() == b"two"
            connection.reframe("lines")
            assert await connection.peek(4) == b"cd4:"
            assert await connection.receive() == "cd4:"
            connection.reframe("fixed:2")
            assert await connection.receive() == b"xe"
            connection.reframe("lines")
            assert await connection.receive() == "nd"

        run(test, "lines")

    @pytest.mark.parametrize("policy", ["skip", "truncate"])
    def test_oversized_frame(self, run: Any, policy: str) -> None:
        """The frame is dropped to its end; the bytes begin behind the next message, and it is reported once."""
        observer = Recorder()

        async def test(connection: Any, far: socket.socket) -> None:
            assert await connection.peek(0) == b""
            far.sendall(b"ok\n" + b"x" * 50 + b"\ngood\nraw" + b"y" * 50)
            assert await connection.receive() == "ok"
            if policy == "truncate":
                assert await connection.receive() == "x" * 8
            assert await connection.receive() == "good"
            assert await connection.receive_exactly(3) == b"raw"
            assert await connection.receive_exactly(50) == b"y" * 50
            skipped = [event.error.offset for event in observer.events if isinstance(event, FrameSkipped)]
            assert skipped == [3]

        run(test, f"lines:max_size=8,oversize={policy}", observer=observer)

    def test_frame_skipped_ahead_is_reported_once(self, run: Any) -> None:
        """A frame that a batch skipped, behind a message, is decoded again after a verb for bytes, and not reported."""
        observer = Recorder()

        async def test(connection: Any, far: socket.socket) -> None:
            far.sendall(b"ok\n" + b"x" * 50 + b"\n" + b"y" * 20 + b"\ngood\n")
            assert await connection.receive() == "ok"
            assert await connection.peek(3) == b"xxx"
            assert await connection.receive() == "good"
            skipped = [event.error.offset for event in observer.events if isinstance(event, FrameSkipped)]
            assert skipped == [3, 54]

        run(test, "lines:max_size=8,oversize=skip", observer=observer)

    @pytest.mark.parametrize("framing", ["lines", "netstring"])
    def test_truncated_frame_whose_end_comes_later(self, run: Any, framing: str) -> None:
        """Behind a message that was cut short the bytes begin behind its frame, whenever that comes."""
        head, tail = {"lines": (b"", b"\n"), "netstring": (b"50:", b",")}[framing]

        async def test(connection: Any, far: socket.socket) -> None:
            assert await connection.peek(0) == b""
            far.sendall(head + b"x" * 30)
            message = await connection.receive()
            assert len(message) == 8
            with pytest.raises(DeadlineError):
                await connection.receive_exactly(3, timeout=SHORT)
            far.sendall(b"x" * 20)
            with pytest.raises(DeadlineError):
                await connection.peek(3, timeout=SHORT)
            far.sendall(tail + b"raw")
            assert await connection.receive_exactly(3) == b"raw"

        run(test, f"{framing}:max_size=8,oversize=truncate")

    def test_long_bytes_behind_a_message(self, run: Any) -> None:
        """A line within the limit, then bytes that would be too long a line: they are no frame."""

        async def test(connection: Any, far: socket.socket) -> None:
            far.sendall(b"ok\n" + b"x" * 50 + b"\nraw")
            assert await connection.receive() == "ok"
            assert await connection.receive_exactly(50) == b"x" * 50
            assert await connection.receive() == ""

        run(test, "lines:max_size=8,oversize=skip")

    # Codecs of one's own.

    def test_own_codec_with_a_state(self, run: Any) -> None:
        """A codec with `take_rest` brings its state back to where the messages that it gives back began."""

        async def test(connection: Any, far: socket.socket) -> None:
            far.sendall(b"aabbccddee")
            assert await connection.receive() == (0, b"aa")
            assert await connection.receive_exactly(3) == b"bbc"
            assert await connection.receive() == (1, b"cd")
            assert await connection.peek(2) == b"de"
            assert await connection.receive() == (2, b"de")
            far.sendall(b"fgg")
            assert await connection.receive() == (3, b"ef")
            assert await connection.receive_exactly(2) == b"gg"

        run(test, Numbered)

    def test_own_codec_without_take_rest(self, run: Any) -> None:
        """It refuses once it was fed, and the connection goes on."""

        async def test(connection: Any, far: socket.socket) -> None:
            far.sendall(b"abcdef")
            assert await connection.receive() == b"abc"
            for verb in (connection.receive_exactly(1), connection.receive_until(b";"), connection.peek(1)):
                with pytest.raises(TypeError, match="Plain has no take_rest"):
                    await verb
            assert await connection.receive() == b"def"

        run(test, Plain)

    def test_own_codec_on_demand_from_the_start(self, run: Any) -> None:
        """Without `take_rest` too, bytes and messages mix where the first call is for bytes, but not in a message."""

        async def test(connection: Any, far: socket.socket) -> None:
            assert await connection.peek(0) == b""
            far.sendall(b"abcRdefRRgh")
            assert await connection.receive() == b"abc"
            assert await connection.receive_until(b"R") == b""
            assert await connection.receive() == b"def"
            assert await connection.receive_exactly(2) == b"RR"
            with pytest.raises(DeadlineError):
                await connection.receive(timeout=SHORT)
            with pytest.raises(TypeError, match="Plain has no take_rest"):
                await connection.receive_exactly(1)
            far.sendall(b"i")
            assert await connection.receive() == b"ghi"

        run(test, Plain)

    def test_descriptors_come_with_messages_only(self, run: Any) -> None:
        """A clear error on a connection that receives descriptors."""

        async def test(connection: Any, far: socket.socket) -> None:
            far.sendall(b"one\ntwo\n")
            try:
                assert await connection.receive_descriptors() == ("one", ())
            except StreamError:
                pytest.skip("this stream passes no descriptors")
            with pytest.raises(StreamError, match=r"^peek: descriptors are passed on this connection"):
                await connection.peek(1)
            assert await connection.receive() == "two"

        run(test, "lines")


async def send_all(engine: Engine, far: socket.socket, *pieces: bytes) -> None:
    """Send from the plain socket beside a receiver on the engine."""
    for piece in pieces:
        rest = memoryview(piece)
        far.setblocking(engine.blocks)
        while rest:
            try:
                rest = rest[far.send(rest) :]
            except BlockingIOError:
                await engine.sleep(0)
