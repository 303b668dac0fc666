"""Every kind of stream that keeps boundaries, as connected pairs."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import pytest
from _pytest.mark import ParameterSet

from socketkit import Address
from socketkit.client.dial import open_stream
from socketkit.config.options import Options
from socketkit.engines.engine import Engine
from socketkit.server.bind import listen_at
from socketkit.streams.stream import DatagramStream
from support.streams import why_not

Ends = tuple[DatagramStream, DatagramStream]

HELLO = b"hello"

ADDRESSES = {
    "udp4": "udp4://127.0.0.1:0",
    "udp6": "udp6://[::1]:0",
    "udp-any": "udp4://:0",
    "unixgram": "unixgram:{folder}/g",
    "unixgram-abstract": "unixgram://@socketkit-{folder}",
    "unixpacket": "unixpacket:{folder}/p",
}


def kinds_here(kinds: Iterable[str]) -> list[ParameterSet]:
    """The kinds as parameters of a fixture; one that this machine does not have skips, and says why."""
    return [
        pytest.param(
            kind,
            id=kind,
            marks=[pytest.mark.skip(reason=reason)]
            if (reason := why_not({"udp6": "tcp6", "unixgram-abstract": "abstract"}.get(kind, kind)))
            else [],
        )
        for kind in kinds
    ]


@pytest.fixture(params=kinds_here(ADDRESSES))
def place(request: pytest.FixtureRequest, tmp_path: object) -> Address:
    """Where to listen, of each kind in turn."""
    return Address.parse(ADDRESSES[request.param].format(folder=tmp_path))


def to_dial(address: Address) -> Address:
    """Where a client reaches what listens everywhere."""
    return address.replace(host="127.0.0.1") if address.host == "0.0.0.0" else address


@asynccontextmanager
async def ends(
    engine: Engine, place: Address, options: Options | None = None, client: Options | None = None
) -> AsyncIterator[Ends]:
    """A client, and what the server has for it; the first datagram, which it takes to be let in, was received."""
    [door] = await listen_at(engine, place, options or Options())
    left = await open_stream(engine, to_dial(door.address), client or options or Options())
    assert isinstance(left, DatagramStream)
    left.send_datagram(HELLO)
    await door.wait_incoming()
    right = door.accept_nowait().open()
    assert isinstance(right, DatagramStream)
    try:
        assert await right.receive() == HELLO
        yield left, right
    finally:
        left.close()
        right.close()
        door.close()


def buffer_of(stream: DatagramStream, size: int) -> None:
    """Make what the system holds for it small."""
    sock: socket.socket = stream.socket  # type: ignore[attr-defined]
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)
