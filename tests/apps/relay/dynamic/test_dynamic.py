"""The dynamic relay on every engine: early data, refusals that arrive, silent clients, hidden passwords."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from socketkit import Address, Connection, connect, serve
from socketkit.apps.relay.access_log import AccessLog
from socketkit.apps.relay.dynamic.access import Access, parse_places
from socketkit.apps.relay.dynamic.hidden_requests import HiddenRequests
from socketkit.apps.relay.dynamic.service import DynamicRelay, Protocol
from socketkit.apps.relay.relay_events import RelayEnded
from socketkit.apps.relay.service import Plan
from socketkit.engines.engine import Engine
from socketkit.errors import ConnectError, DeadlineError, OptionError
from socketkit.events import Received
from support.dead_ports import refusing_port
from support.programs import PATIENCE
from support.recorder import Recorder
from support.running import until


async def echo(connection: Connection) -> None:
    async for data in connection:
        await connection.send(data)


@contextlib.asynccontextmanager
async def proxying(
    engine: Engine, protocol: str = "socks5", *, plan: Plan | None = None, limits: Any = None, **how: Any
) -> AsyncIterator[tuple[str, Address, Recorder]]:
    """A proxy and an echo server: the proxy's host and port, the server's address, and the events."""
    seen = Recorder()
    observer = HiddenRequests(seen)
    relay = DynamicRelay(engine, Protocol(protocol), plan=plan, observer=observer, **how)
    async with (
        serve(echo, "tcp://127.0.0.1:0", engine=engine, grace=1) as server,
        serve(
            relay.serve_client, "tcp://127.0.0.1:0", engine=engine, observer=observer, grace=1, **(limits or {})
        ) as proxy,
    ):
        yield f"127.0.0.1:{proxy.addresses[0].port}", server.addresses[0], seen


async def ended(engine: Engine, seen: Recorder) -> RelayEnded:
    await until(engine, lambda: seen.of(RelayEnded))
    event: RelayEnded = seen.of(RelayEnded)[0]
    return event


@pytest.mark.parametrize("scheme", ["socks5", "socks4a", "http"])
def test_bytes_go_over_and_come_back(engine: Engine, scheme: str) -> None:
    """By name, and with an end of each direction of its own."""

    async def main() -> None:
        async with proxying(engine, "http" if scheme == "http" else "socks5") as (proxy, server, seen):
            to = f"tcp://localhost:{server.port}"
            async with connect(to, engine=engine, proxy=f"{scheme}://{proxy}") as client:
                await client.send(b"x" * 1_000_000)
                await client.send_eof()
                assert sum([len(data) async for data in client]) == 1_000_000
            assert (await ended(engine, seen)).end == "done"

    engine.run(main())


def test_early_data(engine: Engine) -> None:
    """A client that does not wait for the reply loses nothing."""

    async def main() -> None:
        async with proxying(engine) as (proxy, server, _):
            assert server.port is not None
            request = b"\5\1\0\5\1\0\1\x7f\0\0\1" + server.port.to_bytes(2, "big")
            async with connect(f"tcp://{proxy}", engine=engine) as client:
                await client.send(request + b"early data")
                reply = await client.receive_exactly(2 + 10 + 10, timeout=PATIENCE)
                assert reply[:10] == b"\5\0\5\0\0\1\x7f\0\0\1"
                assert reply[12:] == b"early data"

    engine.run(main())


@pytest.mark.parametrize("scheme", ["socks5", "http"])
def test_refused_destination(engine: Engine, scheme: str) -> None:
    """The reply arrives before the end of the connection, and says that it is not allowed."""

    async def main() -> None:
        access = Access(deny=parse_places("127.0.0.0/8,::1"))
        async with proxying(engine, scheme, access=access) as (proxy, server, seen):
            says = "connection not allowed by ruleset" if scheme == "socks5" else "answered: 403 Forbidden"
            for host in ("localhost", "127.0.0.1"):
                with pytest.raises(ConnectError, match=says):
                    await connect(
                        f"tcp://{host}:{server.port}", engine=engine, proxy=f"{scheme}://{proxy}"
                    ).__aenter__()
            end = await ended(engine, seen)
            assert end.end == "refused"
            assert "is not allowed as a destination" in str(end.error)

    engine.run(main())


def test_unreachable_destination(engine: Engine) -> None:
    async def main() -> None:
        async with proxying(engine) as (proxy, _, seen):
            with pytest.raises(ConnectError, match="answered: connection refused"):
                await connect(
                    f"tcp://127.0.0.1:{refusing_port()}", engine=engine, proxy=f"socks5://{proxy}"
                ).__aenter__()
            assert (await ended(engine, seen)).end == "unreachable"

    engine.run(main())


def test_silent_client(engine: Engine) -> None:
    """A client that sends no whole request is closed after `handshake_timeout`."""

    async def main() -> None:
        async with proxying(engine, limits={"handshake_timeout": 0.05}) as (proxy, _, seen):
            async with connect(f"tcp://{proxy}", engine=engine) as client:
                await client.send(b"\5\2\0")
                error = (await ended(engine, seen)).error
                assert isinstance(error, DeadlineError)
                assert "(handshake_timeout)" in str(error)

    engine.run(main())


def test_users(engine: Engine) -> None:
    """The right password connects, others are refused; no event holds one."""

    async def main() -> None:
        async with proxying(engine, users={"user": "S3cret"}) as (proxy, server, seen):
            to = f"tcp://127.0.0.1:{server.port}"
            async with connect(to, engine=engine, proxy=f"socks5://user:S3cret@{proxy}") as client:
                await client.send(b"shown")
                assert await client.receive_exactly(5, timeout=PATIENCE) == b"shown"
            for wrong in ("user:S3cre", "User:S3cret", ""):
                with pytest.raises(ConnectError, match="password"):
                    await connect(to, engine=engine, proxy=f"socks5://{wrong}{'@' * bool(wrong)}{proxy}").__aenter__()
            await until(engine, lambda: len(seen.of(RelayEnded)) == 4)
            assert "S3cre" not in repr(seen.events)
            assert b"shown" in b"".join(event.data for event in seen.of(Received))

    engine.run(main())


def test_access_log(engine: Engine, tmp_path: Path) -> None:
    """The log has what was requested, and what was connected to."""
    path = tmp_path / "log"

    async def main() -> int:
        async with proxying(engine, plan=Plan(access_log=AccessLog(path))) as (proxy, server, seen):
            async with connect(f"tcp://localhost:{server.port}", engine=engine, proxy=f"socks5://{proxy}") as client:
                await client.send(b"ping")
                await client.receive_exactly(4, timeout=PATIENCE)
            await ended(engine, seen)
            await until(engine, lambda: path.read_bytes().endswith(b"\n"))
            assert server.port is not None
            return server.port

    port = engine.run(main())
    line = json.loads(path.read_text())
    assert (line["requested"], line["target"], line["end"]) == (f"localhost:{port}", f"tcp://127.0.0.1:{port}", "done")


def test_networks_beside_a_proxy() -> None:
    """Where another proxy resolves the names, networks cannot be judged: refused at the start."""
    from socketkit import engines

    with pytest.raises(OptionError, match="proxy: it resolves the names"):
        DynamicRelay(engines.make("poll"), Protocol.HTTP, Access(deny=parse_places("10.0.0.0/8")), proxy="socks5://h")
