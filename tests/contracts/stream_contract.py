"""Checks of the interface `Stream`, on every engine. A test class inherits them and makes the pairs."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from socketkit.engines.engine import Engine
from socketkit.errors import BrokenError, ClosedError, DeadlineError, EndOfStream, StreamError
from socketkit.streams.stream import ReadyStream, Stream
from support.running import FAR, Running, turns, until
from support.streams import open_descriptors

SMALL = 16 * 1024
"""Bytes of a buffer that a test fills."""

Ends = Callable[..., Any]


async def receive_all(stream: Stream) -> bytes:
    """All bytes up to the peer's end of stream."""
    pieces = []
    with contextlib.suppress(EndOfStream):
        while True:
            pieces.append(await stream.receive())
    return b"".join(pieces)


def fill(stream: Stream) -> int:
    """Send until nothing more is taken; the number of bytes."""
    size = 0
    while count := stream.send_now(bytes(8192)):
        size += count
    return size


class StreamContract:
    """Inherit it; `make` returns two connected ends. `has_reset`: whether the peer of `abort` gets an error."""

    has_reset = True
    keeps_data_before_a_reset = True

    def make(self, engine: Engine, *, buffer: int | None = None) -> tuple[Stream, Stream]:
        raise NotImplementedError

    async def meet(self, engine: Engine, *, buffer: int | None = None) -> tuple[Stream, Stream]:
        """Two connected ends, where a handshake comes first."""
        return self.make(engine, buffer=buffer)

    @asynccontextmanager
    async def ends(self, engine: Engine, *, buffer: int | None = None) -> AsyncIterator[tuple[Stream, Stream]]:
        left, right = await self.meet(engine, buffer=buffer)
        try:
            yield left, right
        finally:
            left.close()
            right.close()

    def run(
        self,
        engine: Engine,
        test: Callable[[Stream, Stream], Coroutine[Any, Any, None]],
        *,
        buffer: int | None = None,
    ) -> None:
        async def main() -> None:
            async with self.ends(engine, buffer=buffer) as (left, right):
                await test(left, right)

        engine.run(main())

    def test_bytes_arrive_in_order_both_ways(self, engine: Engine) -> None:
        async def test(left: Stream, right: Stream) -> None:
            assert left.send_now(b"there") == 5
            assert right.send_now(memoryview(b"back")) == 4
            assert await right.receive() == b"there"
            assert await left.receive() == b"back"

        self.run(engine, test)

    def test_data_wakes_receive(self, engine: Engine) -> None:
        async def test(left: Stream, right: Stream) -> None:
            receiving = Running(engine, right.receive())
            await turns(engine)
            assert not receiving.has_ended
            left.send_now(b"data")
            assert await receiving.outcome() == b"data"

        self.run(engine, test)

    def test_receive_in_two_steps(self, engine: Engine) -> None:
        """Of a `ReadyStream`: `wait_readable`, then `receive_now`."""

        async def test(left: Stream, right: Stream) -> None:
            if not isinstance(right, ReadyStream):
                pytest.skip(f"{type(right).__name__} receives in one step only")
            assert right.receive_now() is None
            with pytest.raises(DeadlineError):
                await right.wait_readable(engine.now())
            left.send_now(b"data")
            await right.wait_readable()
            assert right.receive_now() == b"data"
            assert not right.may_have_more
            assert right.receive_now() is None
            left.send_now(b"more")
            assert await right.receive() == b"more"
            left.close()
            await right.wait_readable()
            with pytest.raises(EndOfStream):
                right.receive_now()
            with pytest.raises(EndOfStream):
                await right.wait_readable()

        self.run(engine, test)

    def test_eof_after_data_is_final(self, engine: Engine) -> None:
        """The end of stream comes after the data, in every later call too."""

        async def test(left: Stream, right: Stream) -> None:
            left.send_now(b"last words")
            await left.send_eof()
            assert await right.receive() == b"last words"
            for _ in range(3):
                with pytest.raises(EndOfStream, match="has ended the conversation"):
                    await right.receive()

        self.run(engine, test)

    def test_eof_wakes_receive(self, engine: Engine) -> None:
        async def test(left: Stream, right: Stream) -> None:
            receiving = Running(engine, right.receive())
            await turns(engine)
            await left.send_eof()
            assert isinstance(await receiving.outcome(), EndOfStream)

        self.run(engine, test)

    def test_data_before_close_is_delivered(self, engine: Engine) -> None:
        """What was sent before `close` is delivered."""

        async def test(left: Stream, right: Stream) -> None:
            left.send_now(b"x" * 1001)
            left.close()
            assert await receive_all(right) == b"x" * 1001

        self.run(engine, test)

    def test_data_larger_than_any_buffer(self, engine: Engine) -> None:
        """More than any buffer holds arrives whole."""

        async def test(left: Stream, right: Stream) -> None:
            data = random.Random(1).randbytes(3_000_000)

            async def send() -> None:
                await left.send(data)
                await left.send_eof()

            sending = Running(engine, send())
            assert await receive_all(right) == data
            assert await sending.outcome() is None

        self.run(engine, test, buffer=SMALL)

    def test_receive_deadline_loses_nothing(self, engine: Engine) -> None:
        """`receive` waits until its deadline and loses no byte."""

        async def test(left: Stream, right: Stream) -> None:
            for _ in range(2):
                with pytest.raises(DeadlineError):
                    await right.receive(deadline=engine.now() + 0.005)
            left.send_now(b"late")
            assert await right.receive(deadline=engine.now() + FAR) == b"late"

        self.run(engine, test)

    def test_passed_deadline_returns_data(self, engine: Engine) -> None:
        """What has arrived is returned, without waiting."""

        async def test(left: Stream, right: Stream) -> None:
            for number in range(3):
                left.send_now(b"here")
                await turns(engine)
                assert await right.receive(deadline=engine.now() - number) == b"here"

        self.run(engine, test)

    def test_cancelled_receive_loses_nothing(self, engine: Engine) -> None:
        """It is cancelled again and again, at random points, while bytes come."""

        async def test(left: Stream, right: Stream) -> None:
            chance = random.Random(2)
            came = bytearray()

            async def receive() -> None:
                while True:
                    came.extend(await right.receive())

            sent = bytearray()
            while len(sent) < 250:
                receiving = Running(engine, receive())
                for _ in range(chance.randrange(4)):
                    if chance.random() < 0.6:
                        left.send_now(bytes([len(sent) % 256]))
                        sent.append(len(sent) % 256)
                    if chance.random() < 0.6:
                        await engine.sleep(0)
                receiving.cancel()
                outcome = await receiving.outcome()
                assert isinstance(outcome, engine.cancelled)
            await left.send_eof()
            came.extend(await receive_all(right))
            assert came == sent

        self.run(engine, test)

    def test_send_nowait_partial_then_zero(self, engine: Engine) -> None:
        """`send_now` takes a part, then nothing."""

        async def test(left: Stream, right: Stream) -> None:
            data = random.Random(3).randbytes(8_000_000)
            size = left.send_now(data)
            assert 0 < size < len(data)
            while count := left.send_now(memoryview(data)[size:]):
                size += count
            left.close()
            assert await receive_all(right) == data[:size]

        self.run(engine, test, buffer=SMALL)

    def test_wait_writable_until_room(self, engine: Engine) -> None:
        """`wait_writable` waits until there is room."""

        async def test(left: Stream, right: Stream) -> None:
            size = fill(left)
            with pytest.raises(DeadlineError):
                while True:  # a busy system's acknowledgement may come late, and give room once more
                    await left.wait_writable(deadline=engine.now() + 0.005)
                    size += fill(left)
            waiting = Running(engine, left.wait_writable(deadline=engine.now() + FAR))
            await turns(engine)
            left_over = size
            while left_over:
                left_over -= len(await right.receive())
            assert await waiting.outcome() is None
            assert left.send_now(b"more") == 4

        self.run(engine, test, buffer=SMALL)

    def test_wait_writable_returns_at_once(self, engine: Engine) -> None:
        """`wait_writable` returns at once where there is room."""

        async def test(left: Stream, right: Stream) -> None:
            await left.wait_writable(deadline=engine.now() + FAR)
            await left.wait_writable()

        self.run(engine, test)

    def test_waiting_writer_sees_reader_gone(self, engine: Engine) -> None:
        """A send that waits raises when the peer aborts."""

        async def test(left: Stream, right: Stream) -> None:
            fill(left)
            sending = Running(engine, left.send(bytes(100_000)))
            await turns(engine)
            right.abort()
            assert isinstance(await sending.outcome(), BrokenError)

        self.run(engine, test, buffer=SMALL)

    def test_send_stops_at_its_deadline(self, engine: Engine) -> None:
        async def test(left: Stream, right: Stream) -> None:
            with pytest.raises(DeadlineError):
                await left.send(bytes(8_000_000), deadline=engine.now() + 0.01)

        self.run(engine, test, buffer=SMALL)

    def test_send_while_receiving(self, engine: Engine) -> None:
        async def test(left: Stream, right: Stream) -> None:
            there, back = bytes(500_000), b"b" * 500_000

            async def send_all(stream: Stream, data: bytes) -> None:
                await stream.send(data)
                await stream.send_eof()

            tasks = [
                Running(engine, send_all(left, there)),
                Running(engine, send_all(right, back)),
                Running(engine, receive_all(left)),
                Running(engine, receive_all(right)),
            ]
            assert [await task.outcome() for task in tasks] == [None, None, back, there]

        self.run(engine, test, buffer=SMALL)

    def test_half_close_peer_may_send(self, engine: Engine) -> None:
        """After our `send_eof` the peer can still send."""

        async def test(left: Stream, right: Stream) -> None:
            await left.send_eof()
            with pytest.raises(EndOfStream):
                await right.receive()
            right.send_now(b"still sending")
            assert await left.receive() == b"still sending"
            await right.send_eof()
            with pytest.raises(EndOfStream):
                await left.receive()

        self.run(engine, test)

    def test_send_after_eof_is_refused(self, engine: Engine) -> None:
        async def test(left: Stream, right: Stream) -> None:
            await left.send_eof()
            await left.send_eof()  # a second call does nothing
            with pytest.raises(ClosedError, match="our direction was ended by send_eof"):
                left.send_now(b"more")
            right.send_now(b"fine")
            assert await left.receive() == b"fine"

        self.run(engine, test)

    def test_stop_receiving_wakes_receive(self, engine: Engine) -> None:
        """`stop_receiving` wakes `receive` with the end of stream."""

        async def test(left: Stream, right: Stream) -> None:
            receiving = Running(engine, right.receive())
            await turns(engine)
            right.stop_receiving()
            assert isinstance(await receiving.outcome(), EndOfStream)
            right.send_now(b"last")  # sending is not affected
            right.close()
            assert await receive_all(left) == b"last"

        self.run(engine, test)

    def test_stop_receiving_keeps_arrived(self, engine: Engine) -> None:
        """What arrived before `stop_receiving` is still received."""

        async def test(left: Stream, right: Stream) -> None:
            left.send_now(b"arrived")
            right.stop_receiving()
            assert await right.receive() == b"arrived"
            for _ in range(2):
                with pytest.raises(EndOfStream):
                    await right.receive()
            right.stop_receiving()  # a second call, after the end, does nothing

        self.run(engine, test)

    def test_stop_receiving_is_not_close(self, engine: Engine) -> None:
        """What the peer sends then may be refused, but not by ClosedError."""

        async def test(left: Stream, right: Stream) -> None:
            right.stop_receiving()
            with contextlib.suppress(BrokenError):
                left.send_now(b"unread")

        self.run(engine, test)

    def test_close_wakes_receive(self, engine: Engine) -> None:
        async def test(left: Stream, right: Stream) -> None:
            receiving = Running(engine, right.receive())
            await turns(engine)
            right.close()
            outcome = await receiving.outcome()
            assert isinstance(outcome, ClosedError)
            assert "was closed at this end" in str(outcome)

        self.run(engine, test)

    def test_close_wakes_send(self, engine: Engine) -> None:
        async def test(left: Stream, right: Stream) -> None:
            fill(left)
            sending = Running(engine, left.send(bytes(100_000)))
            await turns(engine)
            left.close()
            assert isinstance(await sending.outcome(), ClosedError)

        self.run(engine, test, buffer=SMALL)

    @pytest.mark.parametrize("verb", ["close", "abort"])
    def test_closed_by_us_in_every_call(self, engine: Engine, verb: str) -> None:
        """After closing, every call raises ClosedError."""

        async def test(left: Stream, right: Stream) -> None:
            right.send_now(b"unread")
            await turns(engine)
            getattr(left, verb)()
            left.close()
            left.abort()  # further calls do nothing
            left.stop_receiving()
            for _ in range(2):
                with pytest.raises(ClosedError, match="was closed at this end"):
                    await left.receive()
                with pytest.raises(ClosedError, match="was closed at this end"):
                    left.send_now(b"data")
                with pytest.raises(ClosedError, match="was closed at this end"):
                    await left.wait_writable()
                with pytest.raises(ClosedError, match="was closed at this end"):
                    await left.send_eof()

        self.run(engine, test)

    def test_unread_bytes_do_not_cancel_sent(self, engine: Engine) -> None:
        """TCP would send a reset, which could discard what was sent."""

        async def test(left: Stream, right: Stream) -> None:
            left.send_now(b"unread")
            await turns(engine)
            right.send_now(b"answer")
            right.close()
            assert await receive_all(left) == b"answer"

        self.run(engine, test)

    def test_bytes_after_stop_do_not_cancel_sent(self, engine: Engine) -> None:
        """What we sent last is delivered, whatever came after `stop_receiving`."""

        async def test(left: Stream, right: Stream) -> None:
            right.stop_receiving()
            with pytest.raises(EndOfStream):
                await right.receive()
            with contextlib.suppress(BrokenError):
                left.send_now(b"unread")
            await turns(engine)
            right.send_now(b"answer")
            right.close()
            assert await receive_all(left) == b"answer"

        self.run(engine, test)

    def test_abort_is_loss_for_peer(self, engine: Engine) -> None:
        """It is an end of stream where there is no reset."""
        loss = BrokenError if self.has_reset else EndOfStream

        async def test(left: Stream, right: Stream) -> None:
            receiving = Running(engine, right.receive())
            await turns(engine)
            left.abort()
            assert isinstance(await receiving.outcome(), loss)
            for _ in range(3):  # stays so
                with pytest.raises(loss):
                    await right.receive()

        self.run(engine, test)

    def test_data_comes_before_loss(self, engine: Engine) -> None:
        async def test(left: Stream, right: Stream) -> None:
            left.send_now(b"x" * 1001)
            await turns(engine)
            left.abort()
            came = b""
            with pytest.raises(StreamError) as caught:
                while True:
                    came += await right.receive()
            assert came == (b"x" * 1001 if self.keeps_data_before_a_reset else b"")
            assert isinstance(caught.value, BrokenError if self.has_reset else EndOfStream)

        self.run(engine, test)

    def test_loss_found_by_sender_is_received(self, engine: Engine) -> None:
        """The system reports a reset to one call only, and the next one reads an end. A download that was cut in the
        middle must not look complete."""
        loss = BrokenError if self.has_reset else EndOfStream

        async def test(left: Stream, right: Stream) -> None:
            if self.keeps_data_before_a_reset:
                left.send_now(b"the first half")
                await turns(engine)
            left.abort()
            with pytest.raises(BrokenError, match="sending to"):
                await until(engine, lambda: right.send_now(b"data") < 0)
            with pytest.raises(BrokenError):
                right.send_now(b"data")
            if self.keeps_data_before_a_reset:
                assert await right.receive() == b"the first half"
            for _ in range(3):
                with pytest.raises(loss):
                    await right.receive()

        self.run(engine, test)

    def test_clean_end_survives_refused_send(self, engine: Engine) -> None:
        """The peer has sent all and closed: that our answer is refused is an error of `send`, not of `receive`."""

        async def test(left: Stream, right: Stream) -> None:
            left.send_now(b"all of it")
            left.close()
            with pytest.raises(BrokenError, match="sending to"):
                await until(engine, lambda: right.send_now(b"data") < 0)
            with pytest.raises(BrokenError):
                right.send_now(b"data")
            assert await receive_all(right) == b"all of it"

        self.run(engine, test)

    def test_lost_stream_closes_any_way(self, engine: Engine) -> None:
        """A lost stream can be closed by any call."""

        async def test(left: Stream, right: Stream) -> None:
            left.abort()
            with pytest.raises((BrokenError, EndOfStream)):
                await right.receive()
            for _ in range(2):
                with contextlib.suppress(BrokenError):  # only where the peer's loss is seen
                    await right.send_eof()
            right.stop_receiving()
            right.close()

        self.run(engine, test)

    def test_no_descriptor_leaks(self, engine: Engine) -> None:
        """However it was closed."""

        async def main() -> None:
            for end in ("close", "abort"):
                for _ in range(3):
                    left, right = await self.meet(engine)
                    receiving = Running(engine, right.receive())
                    await turns(engine)
                    getattr(left, end)()
                    await receiving.outcome()
                    right.close()
            await engine.sleep(0.001)  # a thread of the blocking engine has its waker from now on
            before = open_descriptors()
            for end in ("close", "abort"):
                for _ in range(10):
                    left, right = await self.meet(engine)
                    left.send_now(b"data")
                    await right.receive()
                    getattr(left, end)()
                    right.close()
            await until(engine, lambda: open_descriptors() <= before)  # a thread reports its end before it is over

        engine.run(main())

    def test_repr_and_addresses(self, engine: Engine) -> None:
        async def test(left: Stream, right: Stream) -> None:
            assert left.local
            assert left.peer
            assert left.engine is engine
            assert "closed" not in repr(left) or "memory" in left.local
            assert left.socket is None or left.socket.fileno() >= 0
            assert left.exit_status is None
            assert not left.times_out_itself

        self.run(engine, test)
