"""The contract of every bus: the one inside a process, and those of real brokers, which are killed in the middle."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from socketkit.apps.chat.bus.bus import Bus, BusError
from socketkit.apps.chat.bus.memory_bus import MemoryBus, MemoryLog
from socketkit.apps.chat.bus.url import BusAddress
from socketkit.errors import OptionError
from support.brokers import PASSWORD, broker, wire_to

T = TypeVar("T")
KINDS = ["memory", "redis", "forgetful-redis", "nats", "plain-nats"]
KEEPING = ["memory", "redis", "nats"]
PATIENCE = 20.0


class Place:
    """A bus of one kind, with its broker."""

    def __init__(
        self,
        make: Callable[[], Bus],
        stop: Callable[[], object],
        start: Callable[[], object],
        lose: Callable[[], object],
    ) -> None:
        self.make = make
        self.stop = stop
        self.start = start
        self.lose = lose

    def run(self, work: Awaitable[T]) -> T:
        async def within() -> T:
            async with asyncio.timeout(PATIENCE):
                return await work

        return asyncio.run(within())


@contextlib.contextmanager
def place_of(kind: str, folder: Path) -> Iterator[Place]:
    if kind == "memory":
        log = MemoryLog()

        def set_away(is_away: bool) -> None:
            log.is_away = is_away

        yield Place(lambda: MemoryBus(log), lambda: set_away(True), lambda: set_away(False), log.lose)
        return
    with broker(kind, folder) as server:
        yield Place(BusAddress.parse(server.url()).make, server.kill, server.start, server.forget)


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with place_of(request.param, tmp_path) as found:
        yield found


@pytest.fixture(params=KEEPING)
def keeping(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with place_of(request.param, tmp_path) as found:
        yield found


@contextlib.asynccontextmanager
async def opened(place: Place, after: str = "", *, is_there: bool | None = True) -> AsyncIterator[Bus]:
    bus = place.make()
    for _ in range(200):  # a broker that was just started may refuse for a moment
        try:
            found = await bus.open(after)
            break
        except BusError:
            await bus.close()
            await asyncio.sleep(0.05)
    else:
        raise AssertionError("the bus does not open")
    assert is_there is None or found is is_there
    try:
        yield bus
    finally:
        await bus.close()


async def read_until(bus: Bus, last: bytes) -> list[tuple[str, bytes]]:
    entries: list[tuple[str, bytes]] = []
    while not entries or entries[-1][1] != last:
        entries += [(each.id, each.data) for each in await bus.read()]
    return entries


def test_own_entries_come_back_in_order(place: Place) -> None:
    async def work() -> None:
        async with opened(place) as bus:
            sent = [b"%d" % number + bytes(range(256)) for number in range(50)]
            for data in sent:
                await bus.publish(data)
            assert [data for _, data in await read_until(bus, sent[-1])] == sent

    place.run(work())


def test_all_read_one_order(keeping: Place) -> None:
    async def work() -> None:
        async with opened(keeping) as one, opened(keeping) as other:

            async def publish(bus: Bus, mark: bytes) -> None:
                for number in range(100):
                    await bus.publish(b"%s%d" % (mark, number))

            await asyncio.gather(publish(one, b"a"), publish(other, b"b"))
            await one.publish(b"end")
            first, second = await read_until(one, b"end"), await read_until(other, b"end")
            assert first == second
            assert len(first) == 201
            assert [data for _, data in first if data[:1] == b"a"] == [b"a%d" % number for number in range(100)]

    keeping.run(work())


def test_open_behind_an_entry(keeping: Place) -> None:
    """What was published while we were away is read, from there on and once."""

    async def work() -> None:
        async with opened(keeping) as bus:
            for number in range(10):
                await bus.publish(b"%d" % number)
            entries = await read_until(bus, b"9")
        async with opened(keeping, entries[4][0]) as again:
            assert await read_until(again, b"9") == entries[5:]
            await again.publish(b"more")
            assert [data for _, data in await read_until(again, b"more")] == [b"more"]

    keeping.run(work())


def test_first_open_reads_what_is_recent(keeping: Place) -> None:
    async def work() -> None:
        async with opened(keeping) as bus:
            for number in range(1100):
                await bus.publish(b"%d" % number)
        async with opened(keeping) as late:
            assert [data for _, data in await read_until(late, b"1099")] == [
                b"%d" % number for number in range(100, 1100)
            ]

    keeping.run(work())


def test_restarted_broker(keeping: Place) -> None:
    """Whoever waits is told; the entries that were taken are there again, behind the one that was read last."""

    async def work() -> None:
        async with opened(keeping) as bus:
            await bus.publish(b"one")
            entries = await read_until(bus, b"one")
            await bus.publish(b"two")
            keeping.stop()
            with pytest.raises(BusError):
                await read_until(bus, b"never")
            with pytest.raises(BusError):
                await bus.publish(b"lost")
            with pytest.raises(BusError):
                await bus.present("a", 5)
        with pytest.raises(BusError):
            await bus.open("")
        await bus.close()
        keeping.start()
        async with opened(keeping, entries[-1][0]) as again:
            await again.publish(b"three")
            assert [data for _, data in await read_until(again, b"three")] == [b"two", b"three"]

    keeping.run(work())


@pytest.mark.parametrize("kind", ["memory", "redis", "nats", "forgetful-redis"])
def test_lost_log_is_told(kind: str, tmp_path: Path) -> None:
    """A log that has forgotten the entry which we read last is read whole, and that is told."""
    with place_of(kind, tmp_path) as place:

        async def work() -> None:
            async with opened(place) as bus:
                for number in range(20):
                    await bus.publish(b"%d" % number)
                place_of_last = (await read_until(bus, b"19"))[-1][0]
            place.stop()
            place.lose()
            place.start()
            async with opened(place, place_of_last, is_there=False) as bus:
                await bus.publish(b"new")
                assert [data for _, data in await read_until(bus, b"new")] == [b"new"]
                for number in range(30):  # beyond the place that we knew
                    await bus.publish(b"other %d" % number)
            async with opened(place, place_of_last, is_there=False) as bus:
                assert len(await read_until(bus, b"other 29")) == 31

        place.run(work())


def test_presence_has_a_timeout(place: Place) -> None:
    async def work() -> None:
        async with opened(place) as one, opened(place) as other:
            while "one" not in await other.present("other", 30):
                await one.present("one", 0.5)
            while "other" not in await one.present("one", 30):
                pass
            while "brief" not in await one.present("one", 30):
                await other.present("brief", 0.2)
            while "brief" in await one.present("one", 30):
                await asyncio.sleep(0.02)

    place.run(work())


@pytest.mark.parametrize("kind", ["redis", "nats"])
def test_cut_connection_is_noticed(kind: str, tmp_path: Path) -> None:
    """Nothing passes any more, and nobody says so: who waits for an answer is told within seconds."""
    with broker(kind, tmp_path) as server, wire_to(server.port) as wire:

        async def work() -> None:
            bus = BusAddress.parse(server.url(wire.port)).make()
            try:
                await bus.open("")
                await bus.publish(b"one")
                wire.cut()
                with pytest.raises(BusError):
                    await bus.present("a", 5)
                with pytest.raises(BusError):
                    await read_until(bus, b"never")
            finally:
                await bus.close()

        asyncio.run(asyncio.wait_for(work(), PATIENCE))


def test_wrong_password(tmp_path: Path) -> None:
    for kind in ("redis", "nats"):
        with broker(kind, tmp_path) as server:
            bus = BusAddress.parse(server.url().replace(PASSWORD, "other-secret")).make()

            async def work(bus: Bus = bus) -> str:
                with pytest.raises(BusError) as caught:
                    await bus.open("")
                await bus.close()
                return str(caught.value)

            problem = asyncio.run(work())
            assert "secret" not in problem
            assert problem.startswith(bus.name)


@pytest.mark.parametrize(
    "text",
    ["", "nats", "kafka://h", "nats://", "nats://u:secret@", "redis://u:secret@h:x", "redis://:secret@h/db", "nats://h/x",
     "redis://:secret@h?x=1", "redis://:secret@h?chat=a b", "secret@h", "nats://u:secret@h:70000"],
)  # fmt: skip
def test_bad_addresses(text: str) -> None:
    """One line, without the password."""
    with pytest.raises(OptionError) as caught:
        BusAddress.parse(text)
    assert "secret" not in str(caught.value)
    assert "allowed is" in str(caught.value)


def test_addresses() -> None:
    address = BusAddress.parse("redis://u:secret@[::1]:6379/2?chat=town")
    assert (address.url, address.name, address.chat) == (
        "redis://u:secret@[::1]:6379/2", "redis://[::1]:6379/2", "town",
    )  # fmt: skip
    assert "secret" not in repr(address)
    assert BusAddress.parse("NATS://h").name == "nats://h"
    assert BusAddress.parse("nats+tls://h").url == "tls://h"
