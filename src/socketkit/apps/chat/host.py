"""Serve a chat: listen, open the page and the bus where they are asked for, and end with the person at the host."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from socketkit.api import serve
from socketkit.apps.chat.chat_host import MAX_UNSENT_SIZE, ChatHost
from socketkit.apps.chat.limits import Limits
from socketkit.apps.chat.line_reader import CHAT_FRAMING
from socketkit.apps.chat.participant import Participant
from socketkit.apps.chat.wait_budget import WaitBudget
from socketkit.config.address import Address
from socketkit.config.time_limits import UNFINISHED_LINE_TIMEOUT
from socketkit.engines.engine import Engine
from socketkit.engines.group import Group
from socketkit.errors import OptionError
from socketkit.events import Observer
from socketkit.server.run import OpenUntilSignal, serve_until_signal

if TYPE_CHECKING:
    from socketkit.apps.chat.bus.bus import Bus
    from socketkit.apps.chat.store import Store

__all__ = ["MAX_UNSENT_SIZE", "SPARE_CONNECTIONS", "ChatHost", "WaitBudget", "host"]

SPARE_CONNECTIONS: Final = 256
"""Connections beyond the guests: those of clients that are told that the chat is full, 5000 a second where they send
nothing. More wait in the backlog."""


async def host(
    engine: Engine,
    address: str | Address,
    person: Participant,
    *,
    name: str = "host",
    once: bool = False,
    language: str = "en",
    password: str | None = None,
    limits: Limits = Limits(),  # noqa: B008 - a value
    store: Store | None = None,
    web: str | Address | None = None,
    page_language: str | None = None,
    bus: Bus | None = None,
    listening: Callable[[tuple[Address, ...]], object] = lambda addresses: None,
    observer: Observer | None = None,
    unfinished_timeout: float = UNFINISHED_LINE_TIMEOUT,
    **options: Any,
) -> None:
    """Serve a room until the person at the host, a signal, or with `once` its guest, ends it.

    Args:
        engine: runs already; not one that blocks.
        address: where to listen, for connections.
        person: the person at the host.
        name: the name of that person.
        once: for one guest; the chat ends when the guest leaves.
        language: of the chat's notices, for guests that ask for no other: "en" or "ru".
        password: what a guest has to type first; None: nothing.
        limits: what is bounded.
        store: keeps what is said; it is open, and the caller closes it.
        web: where the page is served, as `web_page.page_address` reads it; None: nowhere.
        page_language: of the page; None: what each browser asks for.
        bus: connects this host with others to one chat; it is not open, and is closed at the end.
        listening: called with the real addresses once clients can connect.
        observer: called with each event.
        unfinished_timeout: seconds without a byte after which a guest's text without a line end is a line.
        options: by the names of `Options`.

    Raises:
        ValueError: the name is not valid.
        AddressError, OptionError: at once, before anything is opened. Datagrams are refused too.
        ResolveError, ListenError: the address cannot be listened at.
        OSError: no more connections can be accepted.
    """
    chat = ChatHost(
        engine,
        person,
        name=name,
        once=once,
        language=language,
        password=password,
        limits=limits,
        store=store,
        bus=bus,
        unfinished_timeout=unfinished_timeout,
    )
    address = Address.parse(address)
    _refuse_datagrams(address)
    if "max_connections" not in dict(address.options) and address.scheme not in ("stdio", "exec"):
        options.setdefault("max_connections", limits.max_guests + SPARE_CONNECTIONS)
    addresses = [address]
    if web is not None or address.transport.is_websocket:
        from socketkit.apps.chat.web import open_web

        addresses, more = open_web(
            engine,
            chat,
            address,
            web,
            ended=chat.ended,
            password=password,
            store=store,
            language=page_language,
            default_language=language,
        )
        options |= more
    how = serve(chat.serve_guest, *addresses, framing=CHAT_FRAMING, engine=engine, observer=observer, **options)
    async with OpenUntilSignal(engine, how) as server:
        if server is None:
            return
        for real in server.addresses:  # `fd:` and `systemd:` show only now what they are
            _refuse_datagrams(real)
        shared = [] if chat.web is None else chat.web.shared_pages(server.addresses)

        chat.server = server

        async def until_end() -> None:
            async with Group(engine) as group:
                group.start(chat.read_person())
                group.start(chat.watch(server))
                await chat.wait_end()
                group.cancel()

        def told(real: tuple[Address, ...]) -> None:
            listening((*real, *shared))

        if chat.link is not None:
            await chat.link.start()
        try:
            await serve_until_signal(server, listening=told, stopping=lambda number: chat.end(), until=until_end)
        finally:
            if chat.link is not None:
                await engine.shielded(chat.link.close())


def _refuse_datagrams(address: Address) -> None:
    """The source of a datagram is not proven: one forged datagram would send the whole chat to a stranger.

    Raises:
        OptionError: the address is one of datagrams.
    """
    if address.transport.kind in ("SOCK_DGRAM", "SOCK_RAW"):
        raise OptionError(
            f"{address}: a chat takes connections only: each line goes to all guests, and the source of a datagram "
            "can be forged, so a stranger would be flooded"
        )
