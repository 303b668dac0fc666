"""Bursts: the same handler, served on every engine and family that the system has, each timed for a moment."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from typing import Final

from socketkit import engines
from socketkit.api import connect, pair, serve
from socketkit.connection.connection import Connection
from socketkit.engines.engine import Engine
from socketkit.engines.group import Group
from socketkit.errors import DeadlineError, OpenError
from socketkit.values import Value

__all__ = ["ENGINES", "FAMILIES", "MESSAGE_SIZE", "Burst", "echo", "measure"]

ENGINES: Final = ("epoll", "kqueue", "poll", "select", "blocking", "asyncio", "uvloop", "trio")
"""Every engine: first those of the system, then the loops."""

FAMILIES: Final = (
    "tcp4", "tcp6", "udp4", "udp6", "unix", "unix @", "seqpkt", "unixgram", "pair", "exec"
)  # fmt: skip
"""TCP and UDP over either IP; UNIX sockets with a file, with a name only (abstract), of packets and of datagrams; a
socketpair; and a child process behind pipes. seqpkt: unixpacket."""

ANSWER_TIMEOUT: Final = 5.0
"""Seconds after which an answer counts as lost."""

MESSAGE_SIZE: Final = 64
"""Bytes of a message that goes there and back: a small one, where the calls cost more than the bytes."""

PORTION: Final = 20
"""Round trips between two looks at the clock."""


class Burst(Value):
    """The result of one: round trips a second, or the reason why there is none."""

    engine: str
    family: str
    rate: float | None
    reason: str = ""


async def echo(connection: Connection) -> None:
    """The handler: sends each message back."""
    async for message in connection:
        await connection.send(message)


GRACE: Final = 0.1
"""Seconds that closing a server may take: a datagram peer never ends."""

BUDGET: Final = 7.0
"""Seconds for all bursts together: on a busy machine the last ones are shorter."""


def measure(seconds: float) -> Iterator[Burst]:
    """Serve the echo on every engine at every family, and count round trips for so many seconds each.

    Both ends are in this process, and in one thread (in two, where the engine blocks): the numbers compare engines,
    not servers.
    """
    with tempfile.TemporaryDirectory(prefix="socketkit-") as folder:
        end = time.monotonic() + BUDGET
        for name in ENGINES:
            reason = engines.missing(name)
            for family in FAMILIES:
                if time.monotonic() > end:
                    seconds = 0.0
                yield Burst(name, family, None, reason) if reason else _burst(name, family, folder, seconds)


def _burst(name: str, family: str, folder: str, seconds: float) -> Burst:
    engine = engines.make(name)
    addresses = {
        "tcp4": "tcp4://127.0.0.1:0",
        "tcp6": "tcp6://[::1]:0",
        "udp4": "udp4://127.0.0.1:0",
        "udp6": "udp6://[::1]:0",
        "unix": f"unix://{folder}/{name}",
        "seqpkt": f"unixpacket://{folder}/{name}-packet",
        "unixgram": f"unixgram://{folder}/{name}-gram",
        "unix @": f"unix://@{os.path.basename(folder)}-{name}",
    }
    try:
        if family == "pair":
            rate = engine.run(_rate_of_pair(engine, seconds))
        elif family == "exec":
            rate = engine.run(_rate_of_child(engine, seconds))
        else:
            rate = engine.run(_rate_of_server(engine, addresses[family], seconds))
    except (OpenError, ValueError, DeadlineError) as error:  # the family, not the engine, is missing here
        return Burst(name, family, None, str(error))
    return Burst(name, family, rate)


async def _rate_of_server(engine: Engine, address: str, seconds: float) -> float:
    async with (
        serve(echo, address, engine=engine, grace=GRACE) as server,
        connect(server.addresses[0], engine=engine) as connection,
    ):
        return await _rate(connection, seconds)


async def _rate_of_pair(engine: Engine, seconds: float) -> float:
    async with Group(engine) as group, pair(engine=engine) as (left, right):
        group.start(echo(right))
        rate = await _rate(left, seconds)
        await left.close()
        await group.join()
    return rate


async def _rate_of_child(engine: Engine, seconds: float) -> float:
    async with connect("exec:cat", engine=engine) as connection:
        return await _rate(connection, seconds)


async def _rate(connection: Connection, seconds: float) -> float:
    """Round trips a second, after a few that do not count."""
    await _go_round(connection)
    now = connection.engine.now
    began, count = now(), 0
    while (spent := now() - began) < seconds or not count:
        await _go_round(connection)
        count += PORTION
    return count / spent


async def _go_round(connection: Connection) -> None:
    message = bytes(MESSAGE_SIZE)
    for _ in range(PORTION):
        await connection.send(message)
        await connection.receive(timeout=ANSWER_TIMEOUT)
