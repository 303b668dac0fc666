"""Echo: whatever comes goes back, message by message. The handler is one coroutine, for every engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from socketkit.api import serve
from socketkit.apps.single_client import SingleClient
from socketkit.apps.talk.conversation import AbandonedError
from socketkit.config.address import Address
from socketkit.connection.connection import Connection
from socketkit.engines.engine import Engine
from socketkit.errors import DeadlineError, EndOfStream
from socketkit.events import Observer
from socketkit.server.run import OpenUntilSignal, serve_until_signal

__all__ = ["echo", "serve_echo"]


async def echo(connection: Connection) -> None:
    """Send back every message, as many at a time as came at a time, until the peer ends."""
    while True:
        try:
            messages = await connection.receive_many()
        except EndOfStream:
            return
        await connection.send_many(messages)
        del messages  # or an idle connection would hold them


async def _echo_to_the_end(connection: Connection) -> None:
    """The same, then close: what the peer did not accept by then is a failure too."""
    await echo(connection)
    try:
        await connection.close()
    except DeadlineError as error:
        raise AbandonedError(str(error)) from None


async def serve_echo(
    engine: Engine,
    *addresses: str | Address,
    once: bool = False,
    listening: Callable[[tuple[Address, ...]], object] = lambda addresses: None,
    framing: str | None = None,
    observer: Observer | None = None,
    **options: Any,
) -> None:
    """Serve the echo until SIGINT or SIGTERM, then drain; a second signal ends it at once.

    Args:
        engine: runs already.
        addresses: at least one.
        once: serve the first connection only; others are refused, and the server ends with it.
        listening: called with the real addresses once clients can connect.
        framing: by name; what a message is.
        observer: receives the events.
        options: by the names of `Options`.

    Raises:
        AddressError, OptionError: at once, before anything is opened.
        ResolveError, ListenError: an address cannot be listened at.
        BrokenError, FramingError: with `once`, how the connection was lost.
        OSError: accepting failed for good.
    """
    only = SingleClient(engine, _echo_to_the_end)
    if once:
        options |= only.limit(addresses)
    handler = only.talk if once else echo
    how = serve(handler, *addresses, framing=framing, engine=engine, observer=observer, **options)
    async with OpenUntilSignal(engine, how) as server:
        if server is None:
            return

        def begin(addresses: tuple[Address, ...]) -> None:
            listening(addresses)
            only.open(server)

        await serve_until_signal(server, listening=begin)
    if only.failure is not None:
        raise only.failure.with_traceback(None)
