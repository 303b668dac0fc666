"""The chat host: a hub, the connections of its guests, and the person at the host.

The hub decides which line goes to which member; the host carries that out, in order. It never waits for a guest that
does not read: the unsent bytes of each guest are bounded, and a guest beyond the bound is disconnected.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from socketkit.apps.chat.decisions import HOST, Decision, Disconnect, EndChat, Pause, Search, ShowLine, ShowMany
from socketkit.apps.chat.fanout import Fanout
from socketkit.apps.chat.http_refusal import is_http_request, refuse_http
from socketkit.apps.chat.hub import NO_WISH, Hub, Wish
from socketkit.apps.chat.join_turns import JoinTurns
from socketkit.apps.chat.limits import Limits
from socketkit.apps.chat.line_reader import CHAT_FRAMING, LineReader, framing_of
from socketkit.apps.chat.members import Members
from socketkit.apps.chat.outlets import SLOW_READER_SIZE, ConnectedGuest, LineGuest, Outlet
from socketkit.apps.chat.participant import Participant
from socketkit.apps.chat.sources import source_of
from socketkit.apps.chat.telnet import strip_telnet
from socketkit.apps.chat.wait_budget import WaitBudget
from socketkit.config.time_limits import COMMIT_TIMEOUT, FIRST_BYTES_TIMEOUT, PASSWORD_TIMEOUT, UNFINISHED_LINE_TIMEOUT
from socketkit.connection.connection import Connection
from socketkit.engines.engine import Engine, Event
from socketkit.engines.group import Group
from socketkit.errors import BrokenError, DeadlineError, EndOfStream
from socketkit.server.server import Server

if TYPE_CHECKING:
    from socketkit.apps.chat.bus.bus import Bus
    from socketkit.apps.chat.bus.link import BusLink
    from socketkit.apps.chat.store import Store
    from socketkit.apps.chat.web import WebSide

__all__ = ["MAX_UNSENT_SIZE", "ChatHost"]

MAX_UNSENT_SIZE: Final = 1024 * 1024
"""Unsent bytes at which a guest is disconnected; beyond what the system's own buffers hold, mostly megabytes. With
`Limits.max_guests` this bounds the memory of the host."""

TURN_LINES: Final = 64
"""Lines of one guest that are handled before the other guests have their turn."""

MANY_LINES: Final = 256
"""The same, where they are handled at once: 16 KiB of usual lines, in a room of a thousand 5 ms."""

TURN_SENDS: Final = 2000
"""Lines sent to members that end a turn earlier: about 10 ms. In a full room that is two lines."""

FOUND_COUNT: Final = 20
"""Messages that a search shows, the latest: a screen."""

# Lines are bytes, so that a guest with another encoding gets a notice and is not disconnected. The framing cuts lines
# that are too long for the room, and the room refuses them with a notice. Escaped, a byte becomes at most four.
GUEST_LINES: Final = "lines:encoding=none,max_size=64KiB,oversize=truncate"


class ChatHost:
    """A hub, the connections of its guests, and the person at the host.

    Attributes:
        ended: is set when the chat is over.
        server: accepts its guests, once it is open; None: they are added by `add`.
        web: takes the guests of WebSockets; None: there are none.

    Concurrency: one thread; an engine that blocks cannot run it.
    """

    def __init__(
        self,
        engine: Engine,
        person: Participant,
        *,
        name: str = "host",
        once: bool = False,
        language: str = "en",
        password: str | None = None,
        limits: Limits = Limits(),  # noqa: B008 - a value
        store: Store | None = None,
        bus: Bus | None = None,
        unfinished_timeout: float = UNFINISHED_LINE_TIMEOUT,
    ) -> None:
        """The arguments are those of `host`; the store is open.

        Raises:
            ValueError: the name is not valid.
        """
        self._unfinished_timeout = unfinished_timeout
        self._engine = engine
        self._person = person
        earlier = () if store is None else store.latest(limits.history_count)
        self._hub = Hub(
            host_name=name,
            once=once,
            language=language,
            password=password,
            limits=limits,
            earlier=earlier,
            next_id=1 if store is None else store.next_id,
        )
        self._store = store
        self.link = None if bus is None else _link(engine, self._hub, bus, self._carry_out_here, store)
        if store is not None:
            store.changed = lambda: engine.from_thread(self._store_changed)
        self._once = once
        self._outlets: dict[int, Outlet] = {}
        self._fanout = Fanout(engine, self._outlets)
        self._join_turns = JoinTurns(engine)
        self._undone: deque[Decision] = deque()
        self._is_busy = False
        self.ended = engine.event()
        self.web: WebSide | None = None
        self._caught_up: Event | None = None
        self._is_watching_commit = False
        self._budget = WaitBudget(engine.now())
        self._sent_size = 0  # bytes of lines sent since the last look for slow readers
        self._has_slow_reader = False  # found since a speaker has waited
        self._slow: list[Outlet] = []
        self._unshown_count = 0
        self._is_gathering = False
        self._searches: dict[int, Event] = {}  # of members whose next line waits for the result
        self.server: Server | None = None

    async def serve_guest(self, connection: Connection) -> None:
        """Run the conversation with one guest to its end: the server's handler, whatever the server's framing is."""
        if self.web is not None and connection.request is not None:
            await self.web.serve(connection, source_of(connection))
            return
        connection.reframe(framing_of(CHAT_FRAMING))
        reader = LineReader(connection, GUEST_LINES, unfinished_timeout=self._unfinished_timeout)
        data = await reader.wait_data(FIRST_BYTES_TIMEOUT)
        if is_http_request(data):
            if self.web is None or not self.web.is_shared:
                await refuse_http(connection)
            elif await self.web.accept(connection, data):
                await self.web.serve(connection, source_of(connection))
            return
        await self.wait_join()
        guest = LineGuest(self._engine, connection)
        member = self.add(guest, source_of(connection))
        how = "{name} has left"
        try:
            await self._receive_lines(member, guest, reader)
        except BrokenError:
            how = "{name} was lost"
        finally:
            self.remove(member, how)
        await self.wait_farewell(member, guest)

    async def wait_join(self) -> None:
        """Wait until one more guest may be added: so many are in each turn that the others still have theirs."""
        await self._join_turns.wait()

    async def wait_farewell(self, member: int, guest: ConnectedGuest) -> None:
        """Wait until the last lines of a guest that has gone are queued: they may wait for the store."""
        await guest.wait_disconnected()

    @property
    def members(self) -> Members:
        """Who is where, as the hub has it."""
        return self._hub.members

    def is_waiting(self, member: int) -> bool:
        """Whether this guest has still to give the password."""
        return self._hub.is_waiting(member)

    def add(self, outlet: Outlet, source: str, *, wish: Wish = NO_WISH, is_trusted: bool = False) -> int:
        """Add a guest: of any kind, a bridge to another chat too.

        Args:
            outlet: the way to it.
            source: where it comes from: what a ban keeps out.
            wish: what it asks for.
            is_trusted: it has proven that it knows the password.

        Returns:
            Its number, for `receive` and `remove`.
        """
        now, at = self._engine.now(), time.time()
        member, decisions = self._hub.join(source, now, at, wish=wish, is_trusted=is_trusted)
        self._outlets[member] = outlet
        if self._once and self.server is not None:
            self.server.suspend()  # further clients are refused, and need not wait in vain
        self._carry_out(decisions)
        return member

    def receive(self, member: int, line: bytes) -> int:
        """Handle a line of a member; the number of lines that were sent to others."""
        if self.link is not None:
            return self._carry_out_here(self.link.receive(member, line))
        return self._carry_out_here(self._hub.receive(member, line, self._engine.now(), time.time()))

    def remove(self, member: int, how: str = "{name} has left") -> None:
        """Remove a member that has gone; harmless where it is not here. `how` is a text of `texts`."""
        if self.link is not None:
            self._carry_out_here(self.link.leave(member, how))
        else:
            self._carry_out_here(self._hub.leave(member, how=how, now=self._engine.now()))

    def give_up(self, member: int) -> None:
        """Disconnect a guest that has given no password in time."""
        self._carry_out(self._hub.give_up(member, PASSWORD_TIMEOUT))

    async def take(self, member: int, guest: ConnectedGuest, line: bytes) -> bool:
        """Handle a line of a member, as `receive`; then wait as long as its writer has to.

        It waits for its rate, for the turn of the others, and for readers that are slow.

        Returns:
            Whether it is still in the chat.
        """
        guest.turn_sends += self.receive(member, line)
        if (search := self._searches.get(member)) is not None:
            await search.wait()
        if not self._hub.is_here(member):
            return False
        guest.turn_lines += 1
        if guest.pause:
            seconds, guest.pause = guest.pause, 0.0
            await guest.wait_disconnected(seconds)
        if guest.turn_lines >= TURN_LINES or guest.turn_sends >= TURN_SENDS or self._has_slow_reader:
            guest.turn_lines = guest.turn_sends = 0
            await self._wait_for_readers()
        return True

    async def _receive_lines(self, member: int, guest: LineGuest, reader: LineReader) -> None:
        password_deadline = self._engine.now() + PASSWORD_TIMEOUT
        is_first = True
        while True:
            try:
                received = await reader.receive(deadline=password_deadline if self._hub.is_waiting(member) else None)
            except EndOfStream:
                return
            except DeadlineError:
                self.give_up(member)
                return
            if is_first and is_http_request(received):
                await refuse_http(guest.connection)
                return
            is_first = False
            line, answer = strip_telnet(received)
            guest.telnet_answer = answer or guest.telnet_answer
            if received and not line:
                continue  # telnet's commands alone
            if await self._take_many(member, guest, reader, line):
                continue
            if not await self.take(member, guest, line):
                return

    async def _take_many(self, member: int, guest: LineGuest, reader: LineReader, first: bytes) -> bool:
        """Handle this line with those that are here behind it, at once; whether that was possible.

        A store, a bus and guests with a page need a message of each line.
        """
        if self._store is not None or self.link is not None or self.web is not None or guest.telnet_answer:
            return False
        more = reader.waiting(MANY_LINES - 1)
        if not more:
            return False
        many = self._hub.say_many(member, [first, *more], self._engine.now(), time.time())
        if many is None:
            return False
        reader.drop(len(more))
        self._carry_out_here((many,))
        guest.turn_lines = guest.turn_sends = 0
        await self._wait_for_readers()
        return True

    async def _wait_for_readers(self) -> None:
        """Give the others their turn, then wait for slow readers within the budget; only this speaker waits."""
        self._has_slow_reader = False
        await self._engine.sleep(0)
        await self._store_caught_up()
        if self.link is not None:
            await self.link.wait_caught_up(TURN_LINES)
        before = self._engine.now()
        left = self._budget.left(before)
        slow = self._slow = [outlet for outlet in self._slow if outlet.is_worth_waiting_for()]
        if not slow or not left:
            return
        async with Group(self._engine) as group:
            for outlet in slow:
                group.start(outlet.catch_up(left))
        self._budget.spend(self._engine.now() - before)

    async def read_person(self) -> None:
        """Handle the lines of the person at the host, until the input ends.

        The end of a terminal's input ends the chat. The end of another input (a file, `/dev/null`, a pipe) does not:
        the room stays, without a person in it.
        """
        try:
            while self._hub.is_here(HOST):
                self.receive(HOST, await self._person.read())
        except EndOfStream:
            if self._person.is_terminal:
                self.end()
            else:
                self.remove(HOST)
        except BaseException:
            self.ended.set()  # else `wait_end` would wait on
            raise

    def end(self) -> None:
        """End the chat, for all members. Harmless twice."""
        self._carry_out(self._hub.end())

    async def wait_end(self) -> None:
        """Wait until the chat is over."""
        await self.ended.wait()

    async def watch(self, server: Server) -> None:
        """End the chat when its server closes; raises the server's error where it cannot accept any more."""
        try:
            await server.wait_closed()
        finally:
            self.ended.set()

    def _carry_out(self, decisions: Iterable[Decision]) -> int:
        """Do what the hub has decided, and tell the other hosts; the number of lines that were sent."""
        return self._carry_out_here(decisions if self.link is None else self.link.absorb(decisions))

    def _carry_out_here(self, decisions: Iterable[Decision]) -> int:
        """Do what was decided for this host, after what was decided before; the number of lines that were sent.

        With a store, what was said is shown when it is kept; what was decided later stands behind it.
        """
        for decision in decisions:
            if isinstance(decision, Pause):
                if outlet := self._outlets.get(decision.member):
                    outlet.pause = decision.seconds
                continue
            if isinstance(decision, ShowLine) and decision.message is not None and self._store is not None:
                origin = None if self.link is None else self.link.take_origin(decision.message.id)
                self._store.put(decision.message, origin)
            elif isinstance(decision, Search) and decision.member not in self._searches:
                self._searches[decision.member] = self._engine.event()
            self._undone.append(decision)
        return self._do_all()

    def _do_all(self) -> int:
        if self._is_busy:
            return 0  # a decision that follows from another one: the loop below comes to it
        self._is_busy = True
        count = 0
        try:
            while self._undone:
                decision = self._undone[0]
                if isinstance(decision, ShowMany):
                    self._undone.popleft()
                    self._show_many(decision)
                elif isinstance(decision, ShowLine):
                    message = decision.message
                    if message is not None and self._store is not None and not self._store.is_settled(message.id):
                        self._watch_commit(decision)
                        break
                    self._undone.popleft()
                    count += self._show_line(decision)
                else:
                    self._undone.popleft()
                    self._do(decision)
        finally:
            self._is_busy = False
        if self._hub.members.arrivals.due is not None and not self._is_gathering:
            self._is_gathering = True
            self._engine.background(self._tell_arrivals())
        return count

    async def _tell_arrivals(self) -> None:
        """Tell of those that came and went together, when it is due."""
        while (due := self._hub.members.arrivals.due) is not None and not self.ended.is_set():
            await self._engine.sleep(max(0.0, due - self._engine.now()))
            self._carry_out(self._hub.tick(self._engine.now(), time.time()))
        self._is_gathering = False

    def _do(self, decision: Decision) -> None:
        if isinstance(decision, Disconnect):
            outlet = self._outlets.pop(decision.member, None)
            if outlet is not None:
                self._fanout.disconnect(outlet)
        elif isinstance(decision, Search):
            self._engine.background(self._search(decision))
        elif isinstance(decision, EndChat):
            self._carry_out(self._hub.end())
            self._fanout.flush()
            self.ended.set()

    def _show_line(self, shown: ShowLine) -> int:
        """Show a line; the number of sends that it costs."""
        message_id = None
        if shown.message is not None and (self._store is None or self._store.is_kept(shown.message.id)):
            message_id = shown.message.id
        if shown.members[:1] == (HOST,) or HOST in shown.members:
            self._show(shown.line)
        if self.web is not None:
            self.web.changed()
        size, count = self._fanout.show(shown, message_id)
        if len(shown.members) == 1:
            self._look_at(shown.members[0])
        else:
            self._count_sent(size)
        return count

    def _show_many(self, shown: ShowMany) -> None:
        if HOST in shown.members:
            lines = shown.lines.split("\n")
            if self._person.is_terminal:
                for line in lines:
                    self._show(line)
            else:
                self._show(shown.lines, count=len(lines))
        size, _ = self._fanout.show(ShowLine(shown.members, shown.lines, None, None, shown.writer), None)
        self._count_sent(size)

    def _count_sent(self, size: int) -> None:
        self._sent_size += size
        if self._sent_size >= SLOW_READER_SIZE:
            self._sent_size = 0
            self._fanout.flush()
            self._disconnect_stalled()

    def _disconnect_stalled(self) -> None:
        """Look for slow readers, after so many bytes that there may be one; those far behind are disconnected."""
        sizes = [(member, outlet, outlet.unsent_size) for member, outlet in self._outlets.items()]
        slow = [each for each in sizes if each[2] >= SLOW_READER_SIZE]
        self._slow = [outlet for _, outlet, _ in slow]
        self._has_slow_reader |= bool(slow)
        for member, _, size in slow:
            if size > MAX_UNSENT_SIZE:
                self._disconnect_slow(member)

    def _look_at(self, member: int) -> None:
        """The same after a line to one guest: thousands that join at once are greeted without a look at all others."""
        outlet = self._outlets.get(member)
        if outlet is not None and (size := outlet.unsent_size) >= SLOW_READER_SIZE:
            self._has_slow_reader = True
            if outlet not in self._slow:
                self._slow.append(outlet)
            if size > MAX_UNSENT_SIZE:
                self._disconnect_slow(member)

    def _disconnect_slow(self, member: int) -> None:
        if self._hub.is_here(member):
            self.remove(member, "{name} was disconnected: it has stopped reading")

    def _show(self, text: str, *, count: int = 1) -> None:
        """Show a line, or so many, to the person at the host; those beyond the bound are left out, and counted for the
        next line."""
        if self._person.unshown_size > MAX_UNSENT_SIZE:
            self._unshown_count += count
            return
        try:
            if self._unshown_count:
                missed, self._unshown_count = self._unshown_count, 0
                reason = "{count} lines were not shown: this end was not read"
                for notice in self._hub.tell(HOST, reason, count=missed):
                    if isinstance(notice, ShowLine):
                        self._person.show(notice.line)
            self._person.show(text)
        except BrokenPipeError:
            self._carry_out(self._hub.end())

    async def _search(self, search: Search) -> None:
        try:
            await self._show_found(search)
        finally:
            if (waiting := self._searches.pop(search.member, None)) is not None:
                waiting.set()

    async def _show_found(self, search: Search) -> None:
        text = search.text
        if self._store is None:
            found = self._hub.members.history.search(search.room, text, FOUND_COUNT)
            self._carry_out(self._hub.found(search.member, found))
            return
        store = self._store
        try:
            found = await self._engine.run_in_thread(lambda: store.search(search.room, text, FOUND_COUNT))
        except Exception as error:
            text = "nothing could be searched: {problem}"
            self._carry_out(self._hub.tell(search.member, text, problem=str(error)))
        else:
            self._carry_out(self._hub.found(search.member, found))

    def _store_changed(self) -> None:
        """Show what was kept meanwhile, and tell the host where the store fails or works again."""
        assert self._store is not None
        for text, fields in self._store.take_news():
            self._carry_out(self._hub.tell(HOST, text, **fields))
        self._do_all()
        if self._caught_up is not None and len(self._undone) <= TURN_LINES:
            self._caught_up.set()
            self._caught_up = None

    def _watch_commit(self, waiting: Decision) -> None:
        """See to it that a disk which does not answer stops the chat for a moment only."""
        if not self._is_watching_commit and not self.ended.is_set():
            self._is_watching_commit = True
            self._engine.background(self._wait_commit(waiting))

    async def _wait_commit(self, waiting: Decision) -> None:
        try:
            await self.ended.wait(deadline=self._engine.now() + COMMIT_TIMEOUT)
        except DeadlineError:
            pass
        self._is_watching_commit = False
        if self._store is not None and self._undone and self._undone[0] is waiting:
            self._store.stall()
            self._store_changed()
        else:
            self._do_all()  # watches the next one, where there is one

    async def _store_caught_up(self) -> None:
        """Wait while too much waits for the store: so speakers are no faster than the disk."""
        if len(self._undone) > TURN_LINES:
            if self._caught_up is None:
                self._caught_up = self._engine.event()
            await self._caught_up.wait()


def _link(
    engine: Engine, hub: Hub, bus: Bus, carry_out: Callable[[Iterable[Decision]], object], store: Store | None
) -> BusLink:
    from socketkit.apps.chat.bus.link import BusLink  # loads asyncio and json
    from socketkit.apps.chat.bus.origin import State

    return BusLink(engine, hub, bus, carry_out, (lambda host: State()) if store is None else store.begin_run)
