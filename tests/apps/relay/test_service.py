"""Relaying on every engine: the ends of both directions, losses, limits, and what becomes of targets."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from socketkit import Address, Connection, connect, serve
from socketkit.apps.relay.access_log import AccessLog
from socketkit.apps.relay.relay_events import RelayEnded, RelayStarted
from socketkit.apps.relay.service import Plan, Relay
from socketkit.apps.relay.upstreams import Balance
from socketkit.connection.tunnel import Limits
from socketkit.engines.engine import Engine
from socketkit.errors import BrokenError, ConnectError, EndOfStream
from socketkit.events import Closed, Connected, Received
from support.programs import PATIENCE
from support.recorder import Recorder
from support.running import until

Handler = Callable[[Connection], Coroutine[Any, Any, None]]


async def echo(connection: Connection) -> None:
    async for data in connection:
        await connection.send(data)


async def answer_at_the_end(connection: Connection) -> None:
    """Says how many bytes came, when all have come."""
    size = 0
    async for data in connection:
        size += len(data)
    await connection.send(b"%d" % size)


@contextlib.asynccontextmanager
async def relaying(
    engine: Engine, *handlers: Handler | Address, at: str = "tcp://127.0.0.1:0", target_at: str = "", **plan: Any
) -> AsyncIterator[tuple[Address, Recorder]]:
    """A relay to a target for each handler; its address, and what it tells an observer."""
    seen = Recorder()
    async with contextlib.AsyncExitStack() as stack:
        targets = []
        for handler in handlers:
            if not isinstance(handler, Address):
                place = target_at or "tcp://127.0.0.1:0"
                server = await stack.enter_async_context(serve(handler, place, engine=engine, grace=1))
                handler = server.addresses[0]
            targets.append(handler)
        observer = plan.pop("observer", None)
        relay = Relay(engine, targets, Plan(**plan), observer=observer)
        server = await stack.enter_async_context(
            serve(relay.serve_client, at, engine=engine, observer=observer or seen, grace=1)
        )
        yield server.addresses[0], seen


async def read_all(connection: Connection) -> bytes:
    return b"".join([data async for data in connection])


async def be_thrown_out(address: Address, engine: Engine) -> None:
    """Call, and be reset: so fast, perhaps, that the call itself fails."""
    with pytest.raises((BrokenError, ConnectError), match="reset"):
        async with connect(address, engine=engine) as client:
            await client.receive(timeout=PATIENCE)


def closed_address() -> Address:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return Address.parse(f"tcp://127.0.0.1:{sock.getsockname()[1]}")


def test_bytes_go_over_and_come_back(engine: Engine) -> None:
    async def main() -> None:
        async with relaying(engine, echo) as (address, _), connect(address, engine=engine) as client:
            for message in (b"hello", b"x" * 100_000, b"!"):
                await client.send(message)
                came = bytearray()
                while len(came) < len(message):
                    came += await client.receive(timeout=PATIENCE)
                assert came == message

    engine.run(main())


def test_half_close_is_relayed(engine: Engine) -> None:
    """The end of one direction is passed on and the answer still comes."""

    async def main() -> None:
        async with relaying(engine, answer_at_the_end) as (address, seen):
            async with connect(address, engine=engine) as client:
                await client.send(b"x" * 3_000_000)
                await client.send_eof()
                assert await read_all(client) == b"3000000"
            await until(engine, lambda: seen.of(Closed))
            [closed] = seen.of(Closed)
            assert (closed.received_size, closed.sent_size, closed.error) == (3_000_000, 7, None)

    engine.run(main())


def test_target_half_closes_first(engine: Engine) -> None:
    """The target may end first and still listen."""

    async def speak_then_listen(connection: Connection) -> None:
        await connection.send(b"hello")
        await connection.send_eof()
        heard.append(await read_all(connection))

    heard: list[bytes] = []

    async def main() -> None:
        async with relaying(engine, speak_then_listen) as (address, _), connect(address, engine=engine) as client:
            assert await read_all(client) == b"hello"
            await client.send(b"still here")
            await client.send_eof()
            await until(engine, lambda: heard)

    engine.run(main())
    assert heard == [b"still here"]


def test_target_reset_after_data(engine: Engine) -> None:
    """A reset by the target is a reset for the client after what came before."""

    async def speak_then_reset(connection: Connection) -> None:
        await connection.send(b"half an ans")
        await connection.receive()
        connection.abort()

    async def main() -> None:
        async with relaying(engine, speak_then_reset) as (address, _), connect(address, engine=engine) as client:
            assert await client.receive(timeout=PATIENCE) == b"half an ans"
            await client.send(b"go on")
            with pytest.raises(BrokenError):
                await client.receive(timeout=PATIENCE)

    engine.run(main())


def test_client_reset_reaches_target(engine: Engine) -> None:
    """A reset by the client is a reset for the target."""
    lost: list[type] = []

    async def listen(connection: Connection) -> None:
        await connection.send(b"ready")
        try:
            await read_all(connection)
            lost.append(EndOfStream)
        except BrokenError:
            lost.append(BrokenError)

    async def main() -> None:
        async with relaying(engine, listen) as (address, _), connect(address, engine=engine) as client:
            await client.receive(timeout=PATIENCE)
            client.abort()
            await until(engine, lambda: lost)

    engine.run(main())
    assert lost == [BrokenError]


def test_target_answer_before_reset(engine: Engine) -> None:
    """A server that refuses a long upload answers, and closes with bytes unread: a reset is right behind the answer."""

    async def refuse(connection: Connection) -> None:
        await connection.receive()
        await connection.send(b"413 too large" * 1000)
        await connection.flush()
        connection.abort()

    async def main() -> None:
        async with relaying(engine, refuse) as (address, _), connect(address, engine=engine) as client:
            came = bytearray()
            with contextlib.suppress(BrokenError):
                await client.send(b"x" * 1000)
                while len(came) < 13_000:
                    came += await client.receive(timeout=PATIENCE)
            assert bytes(came) == (b"413 too large" * 1000)[: len(came)]

    engine.run(main())


@pytest.mark.parametrize(("at", "target_at"), [("unix", "tcp"), ("tcp", "unix"), ("unix", "unix")])
def test_kinds_of_sockets_cross(engine: Engine, tmp_path: Path, at: str, target_at: str) -> None:
    places = {"tcp": "tcp://127.0.0.1:0", "unix": f"unix://{tmp_path}/in", "unix_target": f"unix://{tmp_path}/out"}
    target = places["unix_target" if target_at == "unix" else "tcp"]

    async def main() -> None:
        async with relaying(engine, answer_at_the_end, at=places[at], target_at=target) as (address, _):
            async with connect(address, engine=engine) as client:
                await client.send(b"x" * 700_000)
                await client.send_eof()
                assert await read_all(client) == b"700000"

    engine.run(main())
    assert list(tmp_path.iterdir()) == []


def test_many_at_once_each_have_their_own(engine: Engine) -> None:
    async def main() -> None:
        async with relaying(engine, echo) as (address, seen), contextlib.AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(connect(address, engine=engine)) for _ in range(40)]
            for number, client in enumerate(clients):
                await client.send(b"%d" % number)
            for number, client in enumerate(clients):
                assert await client.receive(timeout=PATIENCE) == b"%d" % number
        assert all(closed.error is None for closed in seen.of(Closed))

    engine.run(main())


def test_slow_reader_blocks_sender(engine: Engine) -> None:
    """A slow reader holds up the sender and not our memory."""
    sent = 0

    async def pour(connection: Connection) -> None:
        nonlocal sent
        with contextlib.suppress(BrokenError):
            for _ in range(2000):
                await connection.send(bytes(100_000))
                sent += 100_000

    async def main() -> None:
        async with relaying(engine, pour) as (address, _), connect(address, engine=engine) as client:
            await client.receive(timeout=PATIENCE)
            before = -1
            while before != sent:  # until nothing moves any more
                before = sent
                await engine.sleep(0.1)
            assert sent < 60_000_000, "what sockets and a pipe hold, and not all of it"
            client.abort()

    engine.run(main())


def test_no_target_resets_client(engine: Engine) -> None:
    """Where no target answers the client sees a reset."""
    lines: list[str] = []

    async def main() -> None:
        async with relaying(engine, closed_address(), report=lines.append) as (address, seen):
            for _ in range(3):
                await be_thrown_out(address, engine)
            await until(engine, lambda: len(seen.of(Closed)) == 3)
            assert {type(closed.error) for closed in seen.of(Closed)} == {ConnectError}

    engine.run(main())
    assert len(lines) == 1 and "ECONNREFUSED" in lines[0], "told once, not for each caller"


def who(name: bytes) -> Handler:
    async def say(connection: Connection) -> None:
        await connection.send(name)
        with contextlib.suppress(BrokenError):
            await read_all(connection)

    return say


@pytest.mark.parametrize(
    ("balance", "expected"),
    [(Balance.FIRST, b"aaaaaa"), (Balance.ROUND_ROBIN, b"abcabc"), (Balance.LEAST, b"abcabc")],
)
def test_several_targets(engine: Engine, balance: Balance, expected: bytes) -> None:
    async def main() -> None:
        handlers = [who(name) for name in (b"a", b"b", b"c")]
        async with relaying(engine, *handlers, balance=balance) as (address, _), contextlib.AsyncExitStack() as stack:
            answers = []
            for _ in expected:
                client = await stack.enter_async_context(connect(address, engine=engine))
                answers.append(await client.receive(timeout=PATIENCE))
            assert b"".join(answers) == expected

    engine.run(main())


def test_a_target_that_refuses_is_left_out(engine: Engine) -> None:
    lines: list[str] = []

    async def main() -> None:
        async with relaying(engine, closed_address(), who(b"b"), report=lines.append) as (address, _):
            for _ in range(3):
                async with connect(address, engine=engine) as client:
                    assert await client.receive(timeout=PATIENCE) == b"b"

    engine.run(main())
    assert len(lines) == 1 and lines[0].endswith("left alone for 1s")


def test_idle_tunnel_closes_cleanly(engine: Engine) -> None:
    """A silent conversation is ended cleanly."""

    async def main() -> None:
        limits = Limits(idle_timeout=0.4)
        async with relaying(engine, echo, limits=limits) as (address, seen), connect(address, engine=engine) as client:
            began = engine.now()
            while engine.now() < began + 0.6:  # talk keeps it open
                await client.send(b"x")
                assert await client.receive(timeout=PATIENCE) == b"x"
                await engine.sleep(0.02)
            with pytest.raises(EndOfStream):
                await client.receive(timeout=PATIENCE)
            await until(engine, lambda: seen.of(Closed))
            assert str(seen.of(Closed)[0].error) == "nothing passed for 400ms (--idle-timeout)"

    engine.run(main())


def test_tunnel_time_limit_cuts(engine: Engine) -> None:
    """A conversation that takes too long is cut."""

    async def main() -> None:
        limits = Limits(max_duration=0.2)
        async with relaying(engine, echo, limits=limits) as (address, seen), connect(address, engine=engine) as client:
            with pytest.raises(BrokenError):
                while True:
                    await client.send(b"x")
                    assert await client.receive(timeout=PATIENCE) == b"x"
            await until(engine, lambda: seen.of(Closed))
            assert str(seen.of(Closed)[0].error) == "it was open for 200ms (--max-duration)"

    engine.run(main())


def test_linger_after_one_end(engine: Engine) -> None:
    """A direction may go on for so long after the end of the other."""

    async def stay(connection: Connection) -> None:
        with contextlib.suppress(BrokenError):
            await read_all(connection)
            while True:
                await connection.send(b"x")
                await connection.engine.sleep(0.02)

    async def main() -> None:
        limits = Limits(linger=0.2)
        async with relaying(engine, stay, limits=limits) as (address, _), connect(address, engine=engine) as client:
            await client.send_eof()
            with pytest.raises(BrokenError):
                while True:
                    assert await client.receive(timeout=PATIENCE)

    engine.run(main())


@pytest.mark.parametrize("plan", [{"rate": 400_000}, {"total_rate": 400_000}])
def test_a_rate_holds(engine: Engine, plan: dict[str, int]) -> None:
    async def main() -> None:
        async with (
            relaying(engine, answer_at_the_end, **plan) as (address, _),
            connect(address, engine=engine) as client,
        ):
            began = engine.now()
            await client.send(bytes(160_000))
            await client.send_eof()
            assert await read_all(client) == b"160000"
            assert engine.now() - began >= 0.25, "160 kB at 400 kB/s, less what may pass at once"

    engine.run(main())


def test_access_log_line_per_connection(engine: Engine, tmp_path: Path) -> None:
    """The journal has a line for each conversation."""
    path = tmp_path / "log"
    log = AccessLog(path, clock=lambda: 0.5)

    async def main() -> None:
        async with relaying(engine, echo, access_log=log) as (address, seen):
            async with connect(address, engine=engine) as client:
                await client.send(b"12345")
                await client.send_eof()
                assert await read_all(client) == b"12345"
            await until(engine, lambda: seen.of(Closed))
            async with connect(address, engine=engine) as client:
                await client.send(b"12")
                assert await client.receive(timeout=PATIENCE) == b"12"
                client.abort()
            await until(engine, lambda: len(seen.of(Closed)) == 2)
        async with relaying(engine, closed_address(), access_log=log) as (address, seen):
            await be_thrown_out(address, engine)
            await until(engine, lambda: seen.of(Closed))

    engine.run(main())
    assert log.close() == 0
    first, second, third = [json.loads(line) for line in path.read_text().splitlines()]
    assert first["time"] == "1970-01-01T00:00:00.500Z"
    assert (first["end"], first["received"], first["sent"], "error" in first) == ("done", 5, 5, False)
    assert first["client"].startswith("tcp://127.0.0.1:") and first["target"].startswith("tcp://127.0.0.1:")
    assert (second["end"], second["received"], second["sent"]) == ("broken", 2, 2) and "reset" in second["error"]
    assert (third["end"], third["target"]) == ("unreachable", None)
    assert path.stat().st_mode & 0o777 == 0o600


def test_observer_sees_relayed_bytes(engine: Engine) -> None:
    """An observer that wants data is shown every byte."""
    seen = Recorder()

    async def main() -> None:
        async with relaying(engine, answer_at_the_end, observer=seen) as (address, _):
            async with connect(address, engine=engine) as client:
                await client.send(b"x" * 2_000_000)
                await client.send_eof()
                assert await read_all(client) == b"2000000"
            await until(engine, lambda: len(seen.of(Closed)) == 2)

    engine.run(main())
    assert sum(len(event.data) for event in seen.of(Received)) == 2_000_007
    assert [name for name in seen.names() if name in ("Accepted", "Connected", "Closed")] == [
        "Accepted", "Connected", "Closed", "Closed",
    ]  # fmt: skip
    assert seen.names().count("EndReceived") == seen.names().count("EndSent") == 2


def test_relay_events_tie_both_sides(engine: Engine) -> None:
    """A start and an end event name client, target and numbers; the end has the bytes and the reason."""
    seen = Recorder()

    async def main() -> None:
        async with relaying(engine, answer_at_the_end, observer=seen) as (address, _):
            async with connect(address, engine=engine) as client:
                local = str(client.local)
                await client.send(b"x" * 100)
                await client.send_eof()
                assert await read_all(client) == b"100"
            await until(engine, lambda: seen.of(RelayEnded))
        [started], [ended] = seen.of(RelayStarted), seen.of(RelayEnded)
        [connected] = [event for event in seen.of(Connected) if event.connection == started.upstream]
        assert (started.client, started.target) == (local, connected.peer)
        assert (ended.connection, ended.client, ended.target) == (started.connection, local, connected.peer)
        assert (ended.received_size, ended.sent_size, ended.end, ended.error) == (100, 3, "done", None)
        assert ended.seconds >= 0

    engine.run(main())


def test_relay_ended_without_a_target(engine: Engine) -> None:
    """A client without a target has an end event too, with the reason."""
    seen = Recorder()

    async def main() -> None:
        async with relaying(engine, closed_address(), observer=seen) as (address, _):
            await be_thrown_out(address, engine)
            await until(engine, lambda: seen.of(RelayEnded))
        [ended] = seen.of(RelayEnded)
        assert (ended.target, ended.end, type(ended.error)) == (None, "unreachable", ConnectError)
        assert seen.of(RelayStarted) == []

    engine.run(main())
