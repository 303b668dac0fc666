"""Checks of the interface `DatagramStream`, on every engine, connected and served."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from socketkit import Address
from socketkit.config.options import Options
from socketkit.engines.engine import Engine
from socketkit.errors import ClosedError, DeadlineError, EndOfStream, FrameTooLongError
from socketkit.streams.stream import DatagramStream
from support.datagrams import ends
from support.running import FAR, Running, turns, until
from support.streams import open_descriptors

Test = Callable[[DatagramStream, DatagramStream], Coroutine[Any, Any, None]]


def run(engine: Engine, place: Address, test: Test, **options: object) -> None:
    async def main() -> None:
        async with ends(engine, place, Options.make(**options)) as (left, right):
            await test(left, right)

    engine.run(main())


class DatagramContract:
    """Inherit it; `place` and `engine` are fixtures."""

    def test_datagram_received_as_sent(self, engine: Engine, place: Address) -> None:
        """Each datagram is received as it was sent."""

        async def test(left: DatagramStream, right: DatagramStream) -> None:
            sent = [b"one", b"", b"three" * 100, b"", b"x"]
            for near, far in ((left, right), (right, left)):
                for data in sent:
                    assert near.send_datagram(data)
                assert [await far.receive() for _ in sent] == sent

        run(engine, place, test)

    def test_an_empty_datagram_is_not_the_end(self, engine: Engine, place: Address) -> None:
        async def test(left: DatagramStream, right: DatagramStream) -> None:
            for near, far in ((left, right), (right, left)):
                receiving = Running(engine, far.receive())
                await turns(engine)
                assert near.send_datagram(b"")
                assert await receiving.outcome() == b""
                assert near.send_datagram(memoryview(b"after"))
                assert await far.receive() == b"after"

        run(engine, place, test)

    def test_receive_deadline_loses_nothing(self, engine: Engine, place: Address) -> None:
        """`receive` waits until its deadline and loses no datagram."""

        async def test(left: DatagramStream, right: DatagramStream) -> None:
            for near, far in ((left, right), (right, left)):
                for _ in range(2):
                    with pytest.raises(DeadlineError):
                        await far.receive(deadline=engine.now() + 0.005)
                near.send_datagram(b"late")
                assert await far.receive(deadline=engine.now() + FAR) == b"late"

        run(engine, place, test)

    def test_cancelled_receive_loses_no_datagram(self, engine: Engine, place: Address) -> None:
        """A cancelled receive loses no datagram."""

        async def test(left: DatagramStream, right: DatagramStream) -> None:
            chance = random.Random(3)
            for near, far in ((left, right), (right, left)):
                came: list[bytes] = []

                async def receive(far: DatagramStream = far, came: list[bytes] = came) -> None:
                    while True:
                        came.append(await far.receive())

                sent: list[bytes] = []
                while len(sent) < 60:
                    receiving = Running(engine, receive())
                    for _ in range(chance.randrange(4)):
                        if chance.random() < 0.6:
                            sent.append(b"%d" % len(sent))
                            while not near.send_datagram(sent[-1]):  # the receiver has not run yet
                                await near.wait_writable(deadline=engine.now() + FAR)
                        if chance.random() < 0.6:
                            await engine.sleep(0)
                    receiving.cancel()
                    assert isinstance(await receiving.outcome(), engine.cancelled)
                while len(came) < len(sent):
                    came.append(await far.receive(deadline=engine.now() + FAR))
                assert came == sent

        run(engine, place, test)

    def test_receive_nowait_takes_what_is_there(self, engine: Engine, place: Address) -> None:
        """`receive_nowait` returns what has arrived, in order, then None; an end is left to `receive`."""

        async def test(left: DatagramStream, right: DatagramStream) -> None:
            for near, far in ((left, right), (right, left)):
                sent = [b"1", b"", b"3"]
                for data in sent:
                    await near.send(data)
                got = [await far.receive()]
                while len(got) < len(sent):  # a listener's sessions get theirs in a later turn
                    data = far.receive_nowait()
                    if data is None:
                        await turns(engine)
                    else:
                        got.append(data)
                assert got == sent
                assert far.receive_nowait() is None
            if place.scheme == "unixpacket":
                await left.send_eof()
                assert right.receive_nowait() is None
                with pytest.raises(EndOfStream):
                    await right.receive()

        run(engine, place, test)

    def test_oversized_datagram_then_next(self, engine: Engine, place: Address) -> None:
        """A datagram larger than the buffer is an error, and the next one is received."""

        async def test(left: DatagramStream, right: DatagramStream) -> None:
            for near, far in ((left, right), (right, left)):
                near.send_datagram(b"x" * 100)
                near.send_datagram(b"x" * 101)
                near.send_datagram(b"next")
                assert await far.receive() == b"x" * 100
                with pytest.raises(FrameTooLongError, match="a datagram of 101 bytes came, and the buffer holds 100"):
                    await far.receive()
                assert await far.receive() == b"next"

        run(engine, place, test, receive_size=100)

    def test_unsendable_datagram_both_sizes(self, engine: Engine, place: Address) -> None:
        """A datagram that no socket takes is refused; the error holds both sizes."""

        async def test(left: DatagramStream, right: DatagramStream) -> None:
            for near, far in ((left, right), (right, left)):
                size = near.max_size + 1
                with pytest.raises(FrameTooLongError, match=rf"of {size} bytes is too long, \d+ go into one") as caught:
                    near.send_datagram(bytes(size))
                assert (caught.value.size, caught.value.max_size) == (size, near.max_size)
                near.send_datagram(b"short")
                assert await far.receive() == b"short"

        run(engine, place, test)

    def test_the_largest_datagram_arrives_whole(self, engine: Engine, place: Address) -> None:
        async def test(left: DatagramStream, right: DatagramStream) -> None:
            data = random.Random(4).randbytes(min(left.max_size, 65507))
            for near, far in ((left, right), (right, left)):
                await near.send(data)
                assert await far.receive() == data

        run(engine, place, test)

    def test_send_waits_for_room(self, engine: Engine, place: Address) -> None:
        """Where the system makes the sender wait (UNIX sockets), all arrives; UDP takes all, and may drop."""

        async def test(left: DatagramStream, right: DatagramStream) -> None:
            is_unix = "unix" in left.peer
            count = 500 if is_unix else 20
            for near, far in ((left, right), (right, left)):

                async def send(near: DatagramStream = near) -> None:
                    for number in range(count):
                        await near.send(b"%d" % number)

                sending = Running(engine, send())
                assert [int(await far.receive()) for _ in range(count)] == list(range(count))
                assert await sending.outcome() is None

        run(engine, place, test)

    def test_send_stops_at_its_deadline(self, engine: Engine, place: Address) -> None:
        if place.scheme == "unixpacket":

            async def test(left: DatagramStream, right: DatagramStream) -> None:
                for near in (left, right):
                    with pytest.raises(DeadlineError):
                        for _ in range(100_000):
                            await near.send(bytes(1000), deadline=engine.now() + 0.01)

            run(engine, place, test)

    def test_send_eof_blocks_sending_only(self, engine: Engine, place: Address) -> None:
        """After `send_eof` nothing can be sent, and everything can be received."""

        async def test(left: DatagramStream, right: DatagramStream) -> None:
            for near, far in ((left, right), (right, left)):
                await near.send_eof()
                await near.send_eof()  # a second call does nothing
                with pytest.raises(ClosedError, match="our direction was ended by send_eof"):
                    near.send_datagram(b"more")
                if near is left:
                    assert far.send_datagram(b"fine")
                    assert await near.receive() == b"fine"

        run(engine, place, test)

    def test_stop_receiving_keeps_arrived(self, engine: Engine, place: Address) -> None:
        """What arrived before `stop_receiving` is still received."""

        async def test(left: DatagramStream, right: DatagramStream) -> None:
            for near, far in ((left, right), (right, left)):
                near.send_datagram(b"")
                near.send_datagram(b"arrived")
                assert await far.receive() == b""
                await turns(engine, 20)
                far.stop_receiving()
                with contextlib.suppress(EndOfStream):
                    assert await far.receive() == b"arrived"
                for _ in range(3):
                    with pytest.raises(EndOfStream):
                        await far.receive()
                far.stop_receiving()  # a second call does nothing

        run(engine, place, test)

    def test_stop_receiving_wakes_receive(self, engine: Engine, place: Address) -> None:
        """`stop_receiving` wakes `receive` with the end of stream."""

        async def test(left: DatagramStream, right: DatagramStream) -> None:
            for far in (right, left):
                receiving = Running(engine, far.receive())
                await turns(engine)
                far.stop_receiving()
                assert isinstance(await receiving.outcome(), EndOfStream)

        run(engine, place, test)

    @pytest.mark.parametrize("verb", ["close", "abort"])
    def test_closed_by_us_in_every_call(self, engine: Engine, place: Address, verb: str) -> None:
        """After closing, every call raises ClosedError."""

        async def test(left: DatagramStream, right: DatagramStream) -> None:
            for near in (right, left):
                receiving = Running(engine, near.receive())
                await turns(engine)
                getattr(near, verb)()
                assert isinstance(await receiving.outcome(), (ClosedError, EndOfStream))
                near.close()
                near.abort()
                near.stop_receiving()
                for _ in range(2):
                    with pytest.raises(ClosedError, match="was closed at this end"):
                        await near.receive()
                    with pytest.raises(ClosedError, match="was closed at this end"):
                        near.send_datagram(b"data")
                    with pytest.raises(ClosedError, match="was closed at this end"):
                        await near.wait_writable()
                    with pytest.raises(ClosedError, match="was closed at this end"):
                        await near.send_eof()

        run(engine, place, test)

    def test_nothing_is_left_open(self, engine: Engine, place: Address) -> None:
        async def main() -> None:
            for _ in range(3):
                async with ends(engine, place):
                    pass
            await engine.sleep(0.001)  # a thread of the blocking engine has its waker from now on
            before = open_descriptors()
            for _ in range(5):
                async with ends(engine, place) as (left, right):
                    left.send_datagram(b"data")
                    await right.receive()
            await until(engine, lambda: open_descriptors() <= before)  # a thread reports its end before it is over

        engine.run(main())

    def test_it_says_who_it_is_and_how_it_stands(self, engine: Engine, place: Address) -> None:
        async def test(left: DatagramStream, right: DatagramStream) -> None:
            assert left.engine is right.engine is engine
            assert left.peer == right.local
            if place.scheme != "unixpacket":  # whose clients have no name
                assert left.local == right.peer
            assert "open" in repr(left) and "open" in repr(right)
            left.close()
            assert "closed" in repr(left)

        run(engine, place, test)
