"""What every stream promises (`streams/stream.py`), on every engine. A test class inherits it and gives the pairs."""

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
    """Everything up to the peer's end."""
    pieces = []
    with contextlib.suppress(EndOfStream):
        while True:
            pieces.append(await stream.receive())
    return b"".join(pieces)


def fill(stream: Stream) -> int:
    """Send until nothing more is taken; how many bytes were."""
    size = 0
    while count := stream.send_now(bytes(8192)):
        size += count
    return size


class StreamContract:
    """Inherit it, and say how two connected ends are made, and whether `abort` is a reset that the peer sees."""

    has_reset = True
    keeps_data_before_a_reset = True

    def make(self, engine: Engine, *, buffer: int | None = None) -> tuple[Stream, Stream]:
        raise NotImplementedError

    async def meet(self, engine: Engine, *, buffer: int | None = None) -> tuple[Stream, Stream]:
        """Two connected ends, of a kind that has to agree first."""
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

    # --- receiving ---

    def test_bytes_arrive_in_order_both_ways(self, engine: Engine) -> None:
        async def test(left: Stream, right: Stream) -> None:
            assert left.send_now(b"there") == 5
            assert right.send_now(memoryview(b"back")) == 4
            assert await right.receive() == b"there"
            assert await left.receive() == b"back"

        self.run(engine, test)

    def test_a_waiting_receive_wakes_for_data(self, engine: Engine) -> None:
        async def test(left: Stream, right: Stream) -> None:
            receiving = Running(engine, right.receive())
            await turns(engine)
            assert not receiving.has_ended
            left.send_now(b"data")
            assert await receiving.outcome() == b"data"

        self.run(engine, test)

    def test_receive_in_two_steps(self, engine: Engine) -> None:
        """Where a stream offers it: `wait_readable`, then `receive_now`."""

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
        """The end comes after the data and stays."""

        async def test(left: Stream, right: Stream) -> None:
            left.send_now(b"last words")
            await left.send_eof()
            assert await right.receive() == b"last words"
            for _ in range(3):
                with pytest.raises(EndOfStream, match="has ended the conversation"):
                    await right.receive()

        self.run(engine, test)

    def test_a_waiting_receive_wakes_for_the_end(self, engine: Engine) -> None:
        async def test(left: Stream, right: Stream) -> None:
            receiving = Running(engine, right.receive())
            await turns(engine)
            await left.send_eof()
            assert isinstance(await receiving.outcome(), EndOfStream)

        self.run(engine, test)

    def test_data_before_close_is_delivered(self, engine: Engine) -> None:
        """What was handed over before a close is delivered."""

        async def test(left: Stream, right: Stream) -> None:
            left.send_now(b"x" * 1001)
            left.close()
            assert await receive_all(right) == b"x" * 1001

        self.run(engine, test)

    def test_data_larger_than_any_buffer(self, engine: Engine) -> None:
        """Much more than any buffer arrives whole."""

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
        """Receive waits until its deadline and loses nothing."""

        async def test(left: Stream, right: Stream) -> None:
            for _ in range(2):
                with pytest.raises(DeadlineError):
                    await right.receive(deadline=engine.now() + 0.005)
            left.send_now(b"late")
            assert await right.receive(deadline=engine.now() + FAR) == b"late"

        self.run(engine, test)

    def test_passed_deadline_returns_data(self, engine: Engine) -> None:
        """To look without waiting: what has arrived is returned."""

        async def test(left: Stream, right: Stream) -> None:
            for number in range(3):
                left.send_now(b"here")
                await turns(engine)
                assert await right.receive(deadline=engine.now() - number) == b"here"

        self.run(engine, test)

    def test_a_cancelled_receive_loses_no_byte(self, engine: Engine) -> None:
        """Cancelled again and again, at every point of its life, while bytes come."""

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

    # --- sending ---

    def test_send_nowait_partial_then_zero(self, engine: Engine) -> None:
        """Send now takes a part and then nothing."""

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
        """Wait writable waits until there is space."""

        async def test(left: Stream, right: Stream) -> None:
            size = fill(left)
            with pytest.raises(DeadlineError):
                await left.wait_writable(deadline=engine.now() + 0.005)
            waiting = Running(engine, left.wait_writable(deadline=engine.now() + FAR))
            await turns(engine)
            left_over = size
            while left_over:
                left_over -= len(await right.receive())
            assert await waiting.outcome() is None
            assert left.send_now(b"more") == 4

        self.run(engine, test, buffer=SMALL)

    def test_wait_writable_returns_at_once(self, engine: Engine) -> None:
        """Wait writable returns at once where there is space."""

        async def test(left: Stream, right: Stream) -> None:
            await left.wait_writable(deadline=engine.now() + FAR)
            await left.wait_writable()

        self.run(engine, test)

    def test_waiting_writer_sees_reader_gone(self, engine: Engine) -> None:
        """A writer that waits learns that the reader is gone."""

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

    def test_one_may_send_while_another_receives(self, engine: Engine) -> None:
        async def test(left: Stream, right: Stream) -> None:
            there, back = bytes(500_000), b"b" * 500_000

            async def say(stream: Stream, data: bytes) -> None:
                await stream.send(data)
                await stream.send_eof()

            tasks = [
                Running(engine, say(left, there)),
                Running(engine, say(right, back)),
                Running(engine, receive_all(left)),
                Running(engine, receive_all(right)),
            ]
            assert [await task.outcome() for task in tasks] == [None, None, back, there]

        self.run(engine, test, buffer=SMALL)

    # --- half-close ---

    def test_half_close_peer_may_send(self, engine: Engine) -> None:
        """After our end the peer may still talk."""

        async def test(left: Stream, right: Stream) -> None:
            await left.send_eof()
            with pytest.raises(EndOfStream):
                await right.receive()
            right.send_now(b"still talking")
            assert await left.receive() == b"still talking"
            await right.send_eof()
            with pytest.raises(EndOfStream):
                await left.receive()

        self.run(engine, test)

    def test_after_our_end_nothing_can_be_sent(self, engine: Engine) -> None:
        async def test(left: Stream, right: Stream) -> None:
            await left.send_eof()
            await left.send_eof()  # harmless twice
            with pytest.raises(ClosedError, match="our direction was ended by send_eof"):
                left.send_now(b"more")
            right.send_now(b"fine")
            assert await left.receive() == b"fine"

        self.run(engine, test)

    # --- stop_receiving ---

    def test_stop_receiving_wakes_receive(self, engine: Engine) -> None:
        """Stop receiving wakes a waiting receive with the end."""

        async def test(left: Stream, right: Stream) -> None:
            receiving = Running(engine, right.receive())
            await turns(engine)
            right.stop_receiving()
            assert isinstance(await receiving.outcome(), EndOfStream)
            right.send_now(b"goodbye")  # our own direction is as it was
            right.close()
            assert await receive_all(left) == b"goodbye"

        self.run(engine, test)

    def test_stop_receiving_keeps_arrived(self, engine: Engine) -> None:
        """Stop receiving lets what has arrived be received."""

        async def test(left: Stream, right: Stream) -> None:
            left.send_now(b"arrived")
            right.stop_receiving()
            assert await right.receive() == b"arrived"
            for _ in range(2):
                with pytest.raises(EndOfStream):
                    await right.receive()
            right.stop_receiving()  # harmless twice, and after the end

        self.run(engine, test)

    def test_stop_receiving_is_not_close(self, engine: Engine) -> None:
        """What it sends may be refused, but not as its own fault."""

        async def test(left: Stream, right: Stream) -> None:
            right.stop_receiving()
            with contextlib.suppress(BrokenError):
                left.send_now(b"unheard")

        self.run(engine, test)

    # --- the end ---

    def test_close_wakes_a_waiting_receive(self, engine: Engine) -> None:
        async def test(left: Stream, right: Stream) -> None:
            receiving = Running(engine, right.receive())
            await turns(engine)
            right.close()
            outcome = await receiving.outcome()
            assert isinstance(outcome, ClosedError)
            assert "was closed at this end" in str(outcome)

        self.run(engine, test)

    def test_close_wakes_a_waiting_writer(self, engine: Engine) -> None:
        async def test(left: Stream, right: Stream) -> None:
            fill(left)
            sending = Running(engine, left.send(bytes(100_000)))
            await turns(engine)
            left.close()
            assert isinstance(await sending.outcome(), ClosedError)

        self.run(engine, test, buffer=SMALL)

    @pytest.mark.parametrize("verb", ["close", "abort"])
    def test_closed_by_us_in_every_call(self, engine: Engine, verb: str) -> None:
        """After the end every call says who closed."""

        async def test(left: Stream, right: Stream) -> None:
            right.send_now(b"unread")
            await turns(engine)
            getattr(left, verb)()
            left.close()
            left.abort()  # harmless, both, and twice
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
        """TCP would send a reset, which may take them back."""

        async def test(left: Stream, right: Stream) -> None:
            left.send_now(b"a question that nobody reads")
            await turns(engine)
            right.send_now(b"go away")
            right.close()
            assert await receive_all(left) == b"go away"

        self.run(engine, test)

    def test_bytes_after_stop_do_not_cancel_sent(self, engine: Engine) -> None:
        """Our last words survive what came after we stopped receiving."""

        async def test(left: Stream, right: Stream) -> None:
            right.stop_receiving()
            with pytest.raises(EndOfStream):
                await right.receive()
            with contextlib.suppress(BrokenError):
                left.send_now(b"a question that nobody reads")
            await turns(engine)
            right.send_now(b"go away")
            right.close()
            assert await receive_all(left) == b"go away"

        self.run(engine, test)

    def test_abort_is_a_loss_for_the_peer(self, engine: Engine) -> None:
        """An end, where there is no reset."""
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

    def test_data_comes_before_the_loss(self, engine: Engine) -> None:
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
        """The system tells a reset to one call only, and the next one reads an end: a download cut in the middle would
        look complete."""
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
        """The peer has said all and closed: that nobody reads our answer is the sender's loss, not the receiver's."""

        async def test(left: Stream, right: Stream) -> None:
            left.send_now(b"all that I have to say")
            left.close()
            with pytest.raises(BrokenError, match="sending to"):
                await until(engine, lambda: right.send_now(b"data") < 0)
            with pytest.raises(BrokenError):
                right.send_now(b"data")
            assert await receive_all(right) == b"all that I have to say"

        self.run(engine, test)

    def test_lost_stream_closes_any_way(self, engine: Engine) -> None:
        """A lost conversation can be left in any way."""

        async def test(left: Stream, right: Stream) -> None:
            left.abort()
            with pytest.raises((BrokenError, EndOfStream)):
                await right.receive()
            for _ in range(2):
                with contextlib.suppress(BrokenError):  # where nothing is lost with the peer it is harmless
                    await right.send_eof()
            right.stop_receiving()
            right.close()

        self.run(engine, test)

    def test_nothing_is_left_open(self, engine: Engine) -> None:
        """Whatever way it ended."""

        async def main() -> None:
            for end in ("close", "abort"):
                for _ in range(3):
                    left, right = await self.meet(engine)
                    receiving = Running(engine, right.receive())
                    await turns(engine)
                    getattr(left, end)()
                    await receiving.outcome()
                    right.close()
            await engine.sleep(0.001)  # from now on a thread that blocks has its waker
            before = open_descriptors()
            for end in ("close", "abort"):
                for _ in range(10):
                    left, right = await self.meet(engine)
                    left.send_now(b"data")
                    await right.receive()
                    getattr(left, end)()
                    right.close()
            await until(engine, lambda: open_descriptors() <= before)  # a thread tells its end before it is over

        engine.run(main())

    def test_it_says_who_it_is_and_how_it_stands(self, engine: Engine) -> None:
        async def test(left: Stream, right: Stream) -> None:
            assert left.local
            assert left.peer
            assert left.engine is engine
            assert "closed" not in repr(left) or "memory" in left.local

        self.run(engine, test)
