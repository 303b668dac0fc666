"""Connect: from an address to a connection."""

from __future__ import annotations

from socketkit.address import Address
from socketkit.connection import Connection
from socketkit.dial import open_stream
from socketkit.engines.engine import Engine
from socketkit.events import Connected, Observer
from socketkit.framing.codec import Framing
from socketkit.options import Options

__all__ = ["open_connection"]


async def open_connection(
    engine: Engine, address: Address, framing: Framing, options: Options, *, observer: Observer | None = None
) -> Connection:
    """Dial, and begin the conversation.

    Raises, and what is true after a cancellation: as `dial.open_stream` says.
    """
    stream = await open_stream(engine, address, options, observer=observer)
    connection = Connection(stream, framing, options=options, observer=observer)
    if observer is not None:
        observer(Connected(connection.number, stream.local, stream.peer))
    return connection
