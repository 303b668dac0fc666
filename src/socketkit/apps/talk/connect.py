"""Connect: a person's input to a socket, and the socket to the person's output."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from socketkit.apps.talk.conversation import TalkOptions, converse
from socketkit.apps.talk.line_messages import message_format
from socketkit.client.connect import open_connection
from socketkit.config.address import Address
from socketkit.endpoint import Endpoint
from socketkit.engines.engine import Engine
from socketkit.errors import SocketkitError
from socketkit.events import Observer
from socketkit.streams.stream import Stream

__all__ = ["call"]


async def call(
    engine: Engine,
    address: Address,
    person: Callable[[Engine], Stream],
    *,
    talk: TalkOptions = TalkOptions(),  # noqa: B008 - a value
    framing: str | None = None,
    starttls: str | None = None,
    observer: Observer | None = None,
    **options: object,
) -> int:
    """Connect to an address, and converse with the peer, to the end; see `converse`.

    Args:
        engine: runs already.
        address: where.
        person: makes the stream of standard input and output, once the connection is open.
        talk: as for `converse`.
        framing: by name; None: as the address says, else bytes as they come.
        starttls: the protocol in which TLS is asked for first; see `apps.talk.starttls`.
        observer: receives the events.
        options: by the names of `Options`.

    Returns:
        The status of the child at the other end (`exec:`), else 0. A child that has failed says more than whatever
        became of the conversation: its status is returned then too.

    Raises:
        AddressError, OptionError: before anything is opened.
        ResolveError, ConnectError, DeadlineError: no connection could be opened.
        SocketkitError, OSError: as `converse`.
    """
    place = Endpoint(address, framing, options)  # not `api.connect`, which imports the servers too
    is_websocket = place.options.websocket is not False
    messages = message_format(framing or dict(address.options).get("framing"), is_websocket=is_websocket)
    connection = await open_connection(engine, place.address, place.framing, place.options, observer=observer)
    try:
        async with connection:
            if starttls is not None:
                from socketkit.apps.talk.starttls import negotiate

                await negotiate(connection, starttls, place.options.server_name or address.host)
            with closing(person(engine)) as stream:
                await converse(connection, stream, messages=messages, talk=talk)
    except SocketkitError:
        if not connection.child_status:
            raise
    return connection.child_status or 0
