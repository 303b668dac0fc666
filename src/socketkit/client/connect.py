"""Connect: from an address to a connection, and to the next one after its loss."""

from __future__ import annotations

from socketkit.client.dial import Ends, open_stream
from socketkit.client.reconnect import Reconnect
from socketkit.config.address import Address
from socketkit.config.options import Options
from socketkit.config.retry import Retry
from socketkit.connection.connection import Connection
from socketkit.engines.engine import Engine
from socketkit.events import Connected, Observer, Secured
from socketkit.framing.codec import Framing
from socketkit.sockets.resolver import Lookup, ask_system
from socketkit.values import replace

__all__ = ["open_connection", "reconnect"]


async def open_connection(
    engine: Engine,
    address: Address,
    framing: Framing,
    options: Options,
    *,
    observer: Observer | None = None,
    on_behalf: Ends | None = None,
    lookup: Lookup = ask_system,
) -> Connection:
    """Dial, with `options.retry`, and return the connection. A proxy names its client in `on_behalf`, and may pass the
    addresses of the name as `lookup`.

    Raises, and what is true after a cancellation: as `dial.open_stream` says, and `Reconnect.open`.
    """
    if options.retry is not None:
        return await reconnect(
            engine, address, framing, options, observer=observer, on_behalf=on_behalf, lookup=lookup
        ).open()
    return await _open_once(engine, address, framing, options, observer, on_behalf, lookup)


def reconnect(
    engine: Engine,
    address: Address,
    framing: Framing,
    options: Options,
    *,
    observer: Observer | None = None,
    on_behalf: Ends | None = None,
    lookup: Lookup = ask_system,
) -> Reconnect:
    """Connections to one address, one after the other; for ever where `options.retry` says nothing else."""

    async def dial(left: float | None) -> Connection:
        own = options.connect_timeout
        is_cut = left is not None and (own is None or left < own)
        how = replace(options, connect_timeout=left) if is_cut else options
        return await _open_once(engine, address, framing, how, observer, on_behalf, lookup)

    retry = Retry() if options.retry is None else options.retry
    return Reconnect(engine, address, retry, dial, observer=observer)


async def _open_once(
    engine: Engine,
    address: Address,
    framing: Framing,
    options: Options,
    observer: Observer | None,
    on_behalf: Ends | None,
    lookup: Lookup,
) -> Connection:
    stream = await open_stream(engine, address, options, observer=observer, on_behalf=on_behalf, lookup=lookup)
    connection = Connection(stream, framing, options=options, observer=observer, dialled=address)
    if observer is not None:
        observer(Connected(connection.number, stream.local, stream.peer))
        if connection.tls is not None:
            observer(Secured(connection.number, connection.tls))
        connection.internals.report_upgrade()
    return connection
