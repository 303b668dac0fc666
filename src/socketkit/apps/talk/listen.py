"""`listen`: standard input and output against the first client, or against one after another."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import closing, suppress
from typing import Any

from socketkit.api import listen
from socketkit.apps.talk.conversation import AbandonedError, TalkOptions, converse
from socketkit.apps.talk.datagrams import receive_from_all
from socketkit.apps.talk.line_messages import message_format
from socketkit.config.address import Address
from socketkit.connection.connection import Connection
from socketkit.datagrams.open import open_datagrams
from socketkit.engines.engine import Engine
from socketkit.engines.group import Group
from socketkit.errors import ClosedError, FramingError, OptionError, SocketkitError, StreamError
from socketkit.events import Observer
from socketkit.server.listener import Listener
from socketkit.streams.stream import Stream
from socketkit.values import replace

__all__ = ["answer"]


async def answer(
    engine: Engine,
    address: Address,
    person: Callable[[Engine], Stream],
    *,
    keep: bool = False,
    accept_timeout: float | None = None,
    talk: TalkOptions = TalkOptions(),  # noqa: B008 - a value
    listening: Callable[[tuple[Address, ...]], object] = lambda addresses: None,
    is_named: bool = False,
    lost: Callable[[SocketkitError], object] = lambda error: None,
    framing: str | None = None,
    observer: Observer | None = None,
    **options: Any,
) -> None:
    """Listen at an address, and converse with the first client, to the end; see `converse`. Others are refused.

    Args:
        engine: runs already.
        address: where.
        person: makes the stream of standard input and output, anew for each client.
        keep: go on with the next client, until our output is closed. Clients wait in the backlog meanwhile. Senders of
            datagrams are received side by side; the input goes to the first of them. With an option of connections each
            has a session; else there is none, and senders are not limited in number.
        accept_timeout: seconds to wait for a client; with `keep`, for the first and for each next one. None: no limit.
        talk: as for `converse`.
        listening: called with the real addresses once clients can connect.
        is_named: with `keep`, whether datagrams are shown with their senders, from the second sender on.
        lost: with `keep`, called with the reason for each lost connection, and for each datagram that was refused.
        framing: by name; None: as the address says, else bytes as they come.
        observer: receives the events.
        options: by the names of `Options`.

    Raises:
        AddressError, OptionError: before anything is opened.
        ResolveError, ListenError: the address cannot be listened at.
        DeadlineError: no client came within `accept_timeout`.
        SocketkitError, OSError: without `keep`, as `converse`.
    """
    framing = framing or dict(address.options).get("framing")
    message_format(framing)  # a mistake shows before anything is opened
    is_heard = True

    async def receive(connection: Connection, talk: TalkOptions = talk) -> bool:
        try:
            async with connection:
                with closing(person(engine)) as stream:
                    return await converse(
                        connection,
                        stream,
                        messages=message_format(framing, is_websocket=connection.request is not None),
                        talk=talk,
                    )
        except (StreamError, FramingError, AbandonedError) as error:
            if not keep:
                raise
            lost(error)
            return True

    context = None
    is_shared = keep and talk.only != "send" and address.transport.kind == "SOCK_DGRAM"
    if is_shared and not talk.telnet:
        with suppress(OptionError):  # an option of sessions; or a wrong one, which `listen` refuses too
            context = open_datagrams(address, framing=framing, engine=engine, observer=observer, **options)
    if context is not None:
        async with context as datagrams:
            listening(datagrams.addresses)
            await receive_from_all(
                datagrams,
                engine,
                person,
                messages=message_format(framing),
                talk=talk,
                timeout=accept_timeout,
                is_named=is_named,
                report=lost,
                observer=observer,
            )
        return
    async with listen(address, framing=framing, engine=engine, observer=observer, **options) as listener:
        listening(listener.addresses)
        if is_shared:
            await _receive_from_all(engine, listener, receive, talk, accept_timeout)
            return
        while is_heard:
            connection = await listener.accept(timeout=accept_timeout)
            if not keep:
                listener.close()
            is_heard = await receive(connection) and keep


async def _receive_from_all(
    engine: Engine,
    listener: Listener,
    receive: Callable[[Connection, TalkOptions], Coroutine[Any, Any, bool]],
    talk: TalkOptions,
    accept_timeout: float | None,
) -> None:
    """Receive from every sender of datagrams at the same time: a sender without an end must not delay the others.

    The input is sent to the first sender, and to the next new one after that one's session has ended.
    """
    async with Group(engine) as group:
        has_input = False

        async def serve(connection: Connection, how: TalkOptions) -> None:
            nonlocal has_input
            if not await receive(connection, how):
                listener.close()  # standard output has no reader
            if how is talk:
                has_input = False

        with suppress(ClosedError):
            while True:
                connection = await listener.accept(timeout=accept_timeout)
                how = replace(talk, only="receive") if has_input else talk
                has_input = True
                group.start(serve(connection, how))
        group.cancel()
