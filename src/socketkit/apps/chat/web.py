"""The web side of a chat: a page, and the WebSocket through which its guests take part in the hub.

The hub decides about these guests as about all others. Here is what only they have: a first message with wishes, tokens
instead of a password, what they have missed, older messages on demand, and the list of rooms.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from socketkit.apps.chat.commands import room_of
from socketkit.apps.chat.export import message_fields
from socketkit.apps.chat.hub import Wish
from socketkit.apps.chat.members import Members
from socketkit.apps.chat.message import Message
from socketkit.apps.chat.outlets import ConnectedGuest
from socketkit.apps.chat.web_address import SOCKET_PATH, page_address
from socketkit.apps.chat.web_guest import WebGuest, send_event
from socketkit.apps.chat.web_origin import is_rebound
from socketkit.apps.chat.web_page import respond
from socketkit.apps.chat.web_protocol import SUBPROTOCOL, Hello, encode, lines_of, parse, read_hello
from socketkit.apps.chat.web_tokens import Tokens
from socketkit.config.address import Address
from socketkit.config.options import Options
from socketkit.config.time_limits import PASSWORD_TIMEOUT
from socketkit.config.websocket_settings import WebSocket
from socketkit.connection.connection import Connection
from socketkit.engines.engine import Engine, Event
from socketkit.errors import (
    BrokenError,
    DeadlineError,
    EndOfStream,
    FramingError,
    HandshakeError,
    OptionError,
    SocketkitError,
    StreamError,
)
from socketkit.values import replace

if TYPE_CHECKING:
    from socketkit.apps.chat.store import Store

__all__ = ["Chat", "WebSide", "open_web"]

MAX_MISSED_COUNT: Final = 1000
"""Messages that a guest is shown at most of what it has missed; it can ask for older ones."""

EARLIER_COUNT: Final = 200
"""Messages of one answer about older ones: a few screens."""

ROOMS_INTERVAL: Final = 1.0
"""Seconds between two lists of rooms at least."""

MAX_ROOM_COUNT: Final = 100
"""Rooms of the list: those with the most members."""


OWN_OPTIONS: Final = {"max_size": "64KiB", "subprotocols": SUBPROTOCOL, "compression": "none"}
"""Of the WebSocket. A message of a guest may be a pasted page. Compression would cost 300 KiB for each guest."""

WEBSOCKET_OPTIONS: Final = (*OWN_OPTIONS, "origins", "ping_interval", "ping_timeout")
"""Options that act also where the page shares an address: those of a socket are of that address."""


class Chat(Protocol):
    """What the web side needs of the host.

    Attributes:
        web: the web side, once it is open.
    """

    web: WebSide | None

    @property
    def members(self) -> Members:
        """Who is where."""

    async def wait_join(self) -> None:
        """Wait until one more guest may be added."""

    def add(self, outlet: Any, source: str, *, wish: Wish, is_trusted: bool) -> int:
        """Add a guest; its number."""

    async def take(self, member: int, guest: ConnectedGuest, line: bytes) -> bool:
        """Handle a line, and wait as long as its writer has to; whether it is still in the chat."""

    def remove(self, member: int, how: str = ...) -> None:
        """Remove a guest that has gone."""

    def is_waiting(self, member: int) -> bool:
        """Whether this guest has still to give the password."""

    def give_up(self, member: int) -> None:
        """Disconnect a guest that has given no password in time."""

    async def wait_farewell(self, member: int, guest: ConnectedGuest) -> None:
        """Wait until the last lines of a guest that has gone are sent."""


class WebSide:
    """The guests of one chat that came through the web.

    Concurrency: one thread.
    """

    def __init__(self, engine: Engine, chat: Chat, ended: Event, *, password: str | None, store: Store | None) -> None:
        """Args:
        engine: runs already.
        chat: the host.
        ended: is set when the chat is over.
        password: of the chat; None: there is none.
        store: of the chat; None: what was said is in memory.
        """
        self._engine = engine
        self._chat = chat
        self._ended = ended
        self._tokens = None if password is None else Tokens(password)
        self._store = store
        self._chat_id = secrets.token_hex(8) if store is None else store.chat_id
        self._guests: dict[int, WebGuest] = {}
        self._sessions: dict[str, int] = {}
        self._is_telling = self._has_changed = False
        self._told: list[dict[str, Any]] = []
        self._shared: WebSocket | None = None
        self._shared_options: dict[str, Any] = {}

    @property
    def is_shared(self) -> bool:
        """Whether the page is at the address of the guests with plain lines."""
        return self._shared is not None

    def share(self, websocket: WebSocket, options: dict[str, Any]) -> None:
        """Have requests answered that come to the address of the guests with plain lines.

        Args:
            websocket: the path, and what answers plain requests.
            options: of the WebSocket, by the names of `Options`.
        """
        self._shared, self._shared_options = websocket, options

    def shared_pages(self, addresses: Iterable[Address]) -> list[Address]:
        """The addresses of the page where it shares those of the guests with plain lines: these."""
        return [page_address(each) for each in addresses] if self.is_shared else []

    async def accept(self, connection: Connection, data: bytes) -> bool:
        """Answer a request at the shared address; whether it was for a WebSocket, and the connection is one now.

        Args:
            connection: carries plain bytes.
            data: its first bytes, a request or the beginning of one.
        """
        from socketkit.websocket.handshake import server_handshake

        options = replace(connection.internals.options, websocket=self._shared, **self._shared_options)
        deadline = self._engine.deadline(options.handshake_timeout)
        try:
            return await connection.internals.upgrade(
                lambda stream: server_handshake(stream, options, deadline, early=data)
            )
        except (HandshakeError, StreamError, DeadlineError) as error:
            connection.internals.set_cause(error)
            return False

    async def serve(self, connection: Connection, source: str) -> None:
        """Run the conversation with one guest to its end.

        Args:
            connection: a WebSocket whose handshake is done.
            source: where it comes from: what a ban keeps out.
        """
        origins = self._shared_options["origins"] if self.is_shared else connection.internals.options.origins
        if is_rebound(connection, origins):
            await connection.send(encode(_error("the name of this host is not the chat's (origins)")))
            return
        hello = await _receive_hello(connection)
        if hello is None:
            return
        session, is_trusted = secrets.token_urlsafe(16), self._is_trusted(hello)
        wish = await self._wish(hello, is_trusted=is_trusted)
        await self._chat.wait_join()
        if hello.session is not None and (former := self._sessions.pop(hello.session, None)) is not None:
            self._chat.remove(former)  # the same person: a page that was loaded anew, a connection that was lost
        guest = WebGuest(self._engine, connection, lambda: self._ready(session), wants_lines=hello.wants_lines)
        member = self._chat.add(guest, source, wish=wish, is_trusted=is_trusted)
        self._guests[member], self._sessions[session] = guest, member
        how = "{name} has left"
        try:
            await self._receive(member, guest, hello)
        except (BrokenError, FramingError):
            how = "{name} was lost"
        finally:
            self._guests.pop(member, None)
            self._sessions.pop(session, None)
            self._chat.remove(member, how)
        await self._chat.wait_farewell(member, guest)

    def changed(self) -> None:
        """Tell the guests soon which rooms there are, if that has changed."""
        self._has_changed = True
        if self._guests and not self._is_telling and not self._ended.is_set():
            self._is_telling = True
            self._engine.background(self._tell_rooms())

    def _is_trusted(self, hello: Hello) -> bool:
        return self._tokens is None or (hello.token is not None and self._tokens.is_good(hello.token, time.time()))

    def _ready(self, session: str) -> dict[str, Any]:
        more: dict[str, Any] = {"chat": self._chat_id, "session": session, "rooms": self._rooms()}
        return more if self._tokens is None else more | {"token": self._tokens.make(time.time())}

    async def _wish(self, hello: Hello, *, is_trusted: bool) -> Wish:
        after = hello.after if hello.chat == self._chat_id else None
        missed: list[Message] = []
        if after is not None and is_trusted and self._store is not None:
            room = room_of(self._chat.members, hello.room or "lobby")[0]
            store, since = self._store, after
            missed = await self._look_up(lambda: store.since(room, since, MAX_MISSED_COUNT + 1))
        is_cut = len(missed) > MAX_MISSED_COUNT
        return Wish(hello.name, hello.room, hello.language, after, tuple(missed[is_cut:]), is_cut)

    async def _look_up(self, read: Any) -> list[Message]:
        try:
            found: list[Message] = await self._engine.run_in_thread(read)
        except SocketkitError:
            return []  # a store that cannot be read now: the memory has the last ones
        return found

    async def _receive(self, member: int, guest: WebGuest, hello: Hello) -> None:
        engine, connection = self._engine, guest.connection
        deadline = engine.now() + PASSWORD_TIMEOUT
        if self._chat.is_waiting(member) and hello.password is not None:
            first = {"type": "password", "password": hello.password}
            if not await self._handle(member, guest, first):
                return
        while True:
            timeout = max(0.0, deadline - engine.now()) if self._chat.is_waiting(member) else None
            try:
                value = parse(await connection.receive(timeout=timeout))
            except EndOfStream:
                return
            except DeadlineError:
                self._chat.give_up(member)
                return
            if not await self._handle(member, guest, value):
                return

    async def _handle(self, member: int, guest: WebGuest, value: Any) -> bool:
        """Handle a message; whether its guest is still in the chat."""
        kind = value.get("type") if isinstance(value, dict) else None
        if kind == "earlier":
            await self._send_earlier(member, guest, value.get("before"))
            return True
        if kind == "ping":  # a page cannot send those of WebSocket
            await guest.connection.send(encode({"type": "pong"}))
            return True
        lines = lines_of(value)
        if not lines:
            await guest.connection.send(encode(_error("allowed are objects of type line, password, earlier and ping")))
        for line in lines:
            if not await self._chat.take(member, guest, line):
                return False
        return True

    async def _send_earlier(self, member: int, guest: WebGuest, before: Any) -> None:
        speaker = self._chat.members.by_number.get(member)
        if speaker is None or not isinstance(before, int) or not 0 < before < 2**63:
            return
        room, count, history = speaker.room, EARLIER_COUNT + 1, self._chat.members.history
        if self._store is not None:
            store = self._store
            found = await self._look_up(lambda: store.before(room, before, count))
        else:
            found = history.before(room, before, count)
        has_more = len(found) > EARLIER_COUNT
        messages = [message_fields(each) for each in found[has_more:]]
        event = {"type": "earlier", "room": room, "messages": messages, "more": has_more}
        await guest.connection.send(encode(event))

    def _rooms(self) -> list[dict[str, Any]]:
        members = self._chat.members
        counts = [(room, len(here) + members.elsewhere.count_in(room)) for room, here in members.rooms.items()]
        largest = sorted(counts, key=lambda each: (-each[1], each[0]))[:MAX_ROOM_COUNT]
        last_id = members.history.last_id
        return [{"name": room, "people": count, "last": last_id(room)} for room, count in largest]

    async def _tell_rooms(self) -> None:
        while self._has_changed and not self._ended.is_set():
            self._has_changed = False
            rooms = self._rooms()
            if rooms != self._told:
                self._told = rooms
                guests = [guest for guest in self._guests.values() if guest.is_ready and not guest.wants_lines]
                send_event(guests, {"type": "rooms", "rooms": rooms})
            try:
                await self._ended.wait(deadline=self._engine.now() + ROOMS_INTERVAL)
            except DeadlineError:
                pass
        self._is_telling = False


def open_web(
    engine: Engine,
    chat: Chat,
    address: Address,
    web: str | Address | None,
    *,
    ended: Event,
    password: str | None,
    store: Store | None,
    language: str | None,
    default_language: str,
) -> tuple[list[Address], dict[str, Any]]:
    """Give a chat its web side; what is to be served.

    Args:
        engine, chat, ended, password, store: as of `WebSide`.
        address: of the chat; it may be that of the page too.
        web: where the page is served; None: at the address of the chat alone.
        language, default_language: as of `web_page.respond`.

    Returns:
        The addresses, and the options of `serve` that they need.

    Raises:
        AddressError, OptionError: no page can be served there.
    """
    side = chat.web = WebSide(engine, chat, ended, password=password, store=store)
    http = partial(respond, language=language, default=default_language)
    if address.transport.is_websocket:
        address = page_address(address)
    at = None if web is None else page_address(web)
    if at is not None and is_same_place(address, at):
        if not address.transport.is_websocket:
            side.share(WebSocket(SOCKET_PATH, http), _websocket_options(at))
            return [address], {}
        at = None
    addresses = [address] if at is None else [address, at]
    given = {name for each in addresses if each.transport.is_websocket for name, _ in each.options}
    own = {name: value for name, value in OWN_OPTIONS.items() if name not in given}
    return addresses, {"http": http, **own}


def _websocket_options(address: Address) -> dict[str, Any]:
    from socketkit.websocket.handshake import check_installed

    check_installed()
    given = dict(address.options)
    for name in given:
        if name not in WEBSOCKET_OPTIONS:
            raise OptionError(f"{name}: the page shares the address of the chat: give it there")
    options = Options.make(OWN_OPTIONS | given)
    return {name: getattr(options, name) for name in WEBSOCKET_OPTIONS}


def is_same_place(address: Address, at: Address) -> bool:
    """Whether the page is to be at the address of the guests with plain lines. Port 0 is another port each time."""
    if address.transport.is_secure != at.transport.is_secure or not (address.port or address.path):
        return False
    return (address.host, address.port, address.path) == (at.host, at.port, at.path)


async def _receive_hello(connection: Connection) -> Hello | None:
    """The first message; None: the guest has gone, or has sent something else."""
    try:
        hello = read_hello(parse(await connection.receive(timeout=PASSWORD_TIMEOUT)))
    except (DeadlineError, EndOfStream, FramingError, BrokenError):
        return None
    if hello is None:
        await connection.send(encode(_error("the first message has to be an object of type hello")))
    return hello


def _error(text: str) -> dict[str, Any]:
    return {"type": "error", "text": text}
