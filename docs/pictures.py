"""Draw the pictures of docs/learn/ from real runs: `make pictures`. A test runs them again and compares.

Each scene runs clients and a server in this process, with an observer at each. The observers give the system calls as
they were made; only calls that change nothing on the wire (socket options, calls that would have blocked) are left out.
An arrow leads from each send to the receive that returned its bytes. Rows follow from causes, not from clocks, so that
a run gives the same picture each time.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from socketkit import connect, listen, serve
from socketkit.events import Accepted, Called, Closed, Connected, EndReceived, EndSent, Received, Secured, Sent

HERE = Path(__file__).parent / "learn"
TITLES = {
    "en": {
        "client": "client",
        "server": "server",
        "guest": "guest",
        "host": "host",
        "first": "client 1",
        "second": "client 2",
    },
    "ru": {
        "client": "клиент",
        "server": "сервер",
        "guest": "гость",
        "host": "хозяин",
        "first": "клиент 1",
        "second": "клиент 2",
    },
}
RUSSIAN = {
    "(end)": "(конец)",
    "→ end": "→ конец",
    "TLS: certificate": "TLS: сертификат",
    "TLS: verified": "TLS: проверен",
}
"""What stands in the Russian pictures for the words in the boxes; calls and data stay as they are."""

ROW, LANE, TOP, CHARACTER = 34, 225, 54, 7.3


@dataclass
class Step:
    """One call: its lane, its text, what it moves on which connection."""

    lane: str
    text: str
    moves: str = ""
    connection: str = ""
    size: int = 0
    needs: list[Step] = field(default_factory=list)
    number: int = 0


class Side:
    """An observer that notes the calls of one side. `scene.peers` says whose connection a descriptor is."""

    wants_calls = True

    def __init__(self, scene: Scene, lane: str) -> None:
        self.scene, self.lane, self.owner = scene, lane, {}
        self.steps: list[Step] = []
        self.is_server = lane in ("server", "host")

    def __call__(self, event: Any) -> None:
        """Note a call."""
        if isinstance(event, Called):
            self.call(event)
        elif isinstance(event, Connected):
            self.scene.peers[event.local] = self.lane

    def add(self, text: str, moves: str = "", connection: str = "", size: int = 0) -> None:
        """Note a step of this lane."""
        self.steps.append(Step(self.lane, text, moves, connection, size, number=next(self.scene.numbers)))

    def call(self, event: Called) -> None:
        """Note a call that can be seen from outside."""
        name, result, of = event.name, event.result, self.owner.get(event.descriptor, "")
        if not self.is_server:
            of = self.lane
        if name == "accept" and "tcp://" in result:
            descriptor, _, peer = result.partition(", ")
            self.owner[int(descriptor)] = of = peer
            self.add("accept()", "accept", of)
        elif name in ("socket", "bind", "listen") and self.scene.has_setup:
            self.add({"socket": "socket()", "bind": "bind(address)", "listen": "listen(backlog)"}[name])
        elif name == "connect":
            self.add("connect(address)", "connect", of)
        elif name == "send" and event.data:
            self.add(f"send {shown(event.data)}", "send", of, len(event.data))
        elif name == "recv" and event.data:
            self.add(f"recv → {shown(event.data)}", "receive", of, len(event.data))
        elif name == "recv" and result.startswith("0"):
            self.add('recv → "" (end)', "end received", of)
        elif name == "recv" and "ECONNRESET" in result:
            self.add("recv → ECONNRESET", "end received", of)
        elif name == "shutdown" and event.arguments == ("SHUT_WR",):
            self.add("shutdown(SHUT_WR)", "end sent", of)
        elif name == "close":
            is_listener = self.is_server and event.descriptor not in self.owner
            self.owner.pop(event.descriptor, None)
            if not is_listener:
                self.add("close()", "end sent", of)


class Plain(Side):
    """The same by events, where the calls carry TLS records: what the program sees."""

    wants_calls = False

    def __call__(self, event: Any) -> None:
        """Note an event."""
        if isinstance(event, Connected):
            self.add("connect(address)", "connect", "client")
        elif isinstance(event, Accepted):
            self.add("accept()", "accept", "client")
        elif isinstance(event, Secured):
            self.add("TLS: verified" if self.lane == "client" else "TLS: certificate", "secured" + self.lane, "client")
        elif isinstance(event, Sent):
            self.add(f"send {shown(event.data)}", "send", "client", len(event.data))
        elif isinstance(event, Received):
            self.add(f"receive → {shown(event.data)}", "receive", "client", len(event.data))
        elif isinstance(event, EndSent):
            self.add("close_notify", "end sent", "client")
        elif isinstance(event, EndReceived):
            self.add("receive → end", "end received", "client")
        elif isinstance(event, Closed):
            self.add("close()", "end sent", "client")


def shown(data: bytes) -> str:
    """Data as a program would write it."""
    text = data.decode()
    return '"' + text.replace("\n", "\\n").replace("\r", "\\r") + '"' if len(text) <= 24 else f"{len(data)} bytes"


class Scene:
    """A run with its observers, and the drawing of it."""

    def __init__(self, *lanes: str, has_setup: bool = False, kind: type[Side] = Side) -> None:
        self.lanes, self.has_setup, self.peers = lanes, has_setup, {}
        self.numbers = itertools.count()
        self.sides = {lane: kind(self, lane) for lane in lanes}
        self.server = next(lane for lane in lanes if lane in ("server", "host"))

    def arrows(self) -> Iterator[tuple[Step, Step]]:
        """From each step that moves something to the one of the peer that got it."""
        for step in self.sides[self.server].steps:
            step.connection = self.peers.get(step.connection, step.connection)
        for lane in self.lanes:
            if lane == self.server:
                continue
            own = [step for step in self.sides[lane].steps if step.connection == lane]
            far = [step for step in self.sides[self.server].steps if step.connection == lane]
            yield from pairs(own, far, "connect", "accept")
            yield from pairs(far, own, "securedserver", "securedclient")
            for here, there in ((own, far), (far, own)):
                yield from bytes_moved(here, there)
                yield from itertools.islice(pairs(here, there, "end sent", "end received"), 1)

    def order(self, arrows: list[tuple[Step, Step]]) -> list[Step]:
        """The steps of all lanes, each after those that it needs."""
        for cause, effect in arrows:
            effect.needs.append(cause)
        clients = [step for lane in self.lanes if lane != self.server for step in self.sides[lane].steps]
        clients.sort(key=lambda step: step.number)  # one thread made them
        for before, after in itertools.pairwise(clients):
            after.needs.append(before)
        clients[0].needs += [step for step in self.sides[self.server].steps if step.text.startswith("listen")]
        waiting = {lane: list(side.steps) for lane, side in self.sides.items()}
        ordered: list[Step] = []
        while any(waiting.values()):
            for lane in self.lanes:
                steps = waiting[lane]
                while steps and all(any(need is done for done in ordered) for need in steps[0].needs):
                    ordered.append(steps.pop(0))
        return ordered

    def draw(self, language: str) -> str:
        """The picture as SVG."""
        arrows = list(self.arrows())
        rows = self.order(arrows)
        said = {id(step): worded(step.text, language) for step in rows}
        x = {lane: LANE // 2 + number * LANE for number, lane in enumerate(self.lanes)}
        y = {id(step): TOP + ROW * number + ROW // 2 for number, step in enumerate(rows)}
        width, height = LANE * len(self.lanes), TOP + ROW * len(rows) + 16
        out = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            'font-family="ui-monospace, DejaVu Sans Mono, monospace" font-size="12">',
            '<defs><marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
            '<path d="M0 0L8 4L0 8z" fill="#3f51b5"/></marker></defs>',
            f'<rect width="{width}" height="{height}" rx="8" fill="#f6f7fb"/>',
        ]
        for lane in self.lanes:
            title = escape(TITLES[language][lane])
            out.append(
                f'<line x1="{x[lane]}" y1="40" x2="{x[lane]}" y2="{height - 12}" stroke="#9aa3c7" '
                'stroke-dasharray="3 4"/>'
            )
            out.append(
                f'<text x="{x[lane]}" y="26" text-anchor="middle" font-size="14" font-weight="bold" fill="#1a237e" '
                f'font-family="sans-serif">{title}</text>'
            )
        for cause, effect in arrows:
            sign = 1 if x[effect.lane] > x[cause.lane] else -1
            x1, x2 = x[cause.lane] + sign * half(said[id(cause)]), x[effect.lane] - sign * (half(said[id(effect)]) + 2)
            out.append(
                f'<line x1="{x1:.0f}" y1="{y[id(cause)]}" x2="{x2:.0f}" y2="{y[id(effect)]}" stroke="#3f51b5" '
                'stroke-width="1.4" marker-end="url(#a)"/>'
            )
        for step in rows:
            text = said[id(step)]
            left, top = x[step.lane] - half(text), y[id(step)] - 11
            bad = "ECONNRESET" in step.text
            out.append(
                f'<rect x="{left:.0f}" y="{top}" width="{2 * half(text):.0f}" height="22" rx="6" '
                f'fill="{"#ffe3e0" if bad else "#fff"}" stroke="{"#c62828" if bad else "#9aa3c7"}"/>'
            )
            out.append(
                f'<text x="{x[step.lane]}" y="{y[id(step)] + 4}" text-anchor="middle" fill="#1b1f33">'
                f"{escape(text)}</text>"
            )
        return "\n".join([*out, "</svg>", ""])


def worded(text: str, language: str) -> str:
    """The text of a box in this language."""
    if language == "ru":
        for english, russian in RUSSIAN.items():
            text = text.replace(english, russian)
    return text


def half(text: str) -> float:
    """Half the width of the box of a text."""
    return len(text) * CHARACTER / 2 + 9


def pairs(here: list[Step], there: list[Step], cause: str, effect: str) -> Iterator[tuple[Step, Step]]:
    """The steps of these two kinds, one by one."""
    return zip(
        [step for step in here if step.moves == cause], [step for step in there if step.moves == effect], strict=False
    )


def bytes_moved(here: list[Step], there: list[Step]) -> Iterator[tuple[Step, Step]]:
    """From each send to every receive that returned bytes of it."""
    sent_to = 0
    for send in [step for step in here if step.moves == "send"]:
        first, sent_to, got_to = sent_to, sent_to + send.size, 0
        for receive in [step for step in there if step.moves == "receive"]:
            begin, got_to = got_to, got_to + receive.size
            if begin < sent_to and got_to > first:
                yield send, receive


# The scenes


def _answer_once(scene: Scene, message: bytes, address: str, **options: Any) -> Scene:
    """One client of a blocking echo server: a message, its echo, and both ends."""

    def answer(connection: Any) -> None:
        for data in connection:
            connection.send(data)

    with serve(answer, address, observer=scene.sides["server"], **options) as server:
        pin = {"pin": server.pins[0]} if server.pins else {}
        with connect(server.addresses[0], observer=scene.sides["client"], **pin) as connection:
            connection.send(message)
            connection.receive()
            connection.send_eof()
            for _ in connection:
                pass
        server.wait_idle()
    return scene


def echo() -> Scene:
    """One client of a blocking server."""
    return _answer_once(Scene("client", "server", has_setup=True), b"hello", "tcp://127.0.0.1:0")


def pieces() -> Scene:
    """An answer that comes in three pieces."""
    scene = Scene("client", "server")
    taken = threading.Semaphore(1)

    def answer(connection: Any) -> None:
        connection.receive()
        for piece in (b"an answer ", b"in three ", b"pieces"):
            taken.acquire()
            connection.send(piece)
        connection.send_eof()
        for _ in connection:
            pass

    with serve(answer, "tcp://127.0.0.1:0", observer=scene.sides["server"]) as server:
        with connect(server.addresses[0], observer=scene.sides["client"]) as connection:
            connection.send(b"question")
            for _ in connection:
                taken.release()
            connection.send_eof()
        server.wait_idle()
    return scene


def chat() -> Scene:
    """Two sends of a guest, which the host receives as one."""
    scene = Scene("guest", "host")
    both_sent = threading.Event()

    def host(connection: Any) -> None:
        connection.receive()
        connection.send(b"hello, guest")
        both_sent.wait()
        for _ in connection:
            pass

    with serve(host, "tcp://127.0.0.1:0", observer=scene.sides["host"]) as server:
        with connect(server.addresses[0], observer=scene.sides["guest"]) as connection:
            connection.send(b"hello")
            connection.receive()
            connection.send(b"one more thing")
            connection.send(b"bye")
            connection.send_eof()
            both_sent.set()
            for _ in connection:
                pass
        server.wait_idle()
    return scene


def two_clients() -> Scene:
    """A silent client does not keep another one waiting."""
    scene = Scene("first", "server", "second")

    async def answer(connection: Any) -> None:
        async for data in connection:
            await connection.send(data)

    with serve(answer, "tcp://127.0.0.1:0", engine="select", observer=scene.sides["server"]) as server:
        address = server.addresses[0]
        with connect(address, observer=scene.sides["first"]) as first:
            with connect(address, observer=scene.sides["second"]) as second:
                second.send(b"two")
                second.receive()
                second.send_eof()
                for _ in second:
                    pass
            first.send(b"one")
            first.receive()
            first.send_eof()
            for _ in first:
                pass
        server.wait_idle()
    return scene


def work_in_thread() -> Scene:
    """A long computation for one client, in a thread; the other one is answered meanwhile."""
    scene = Scene("first", "server", "second")
    other_is_done = threading.Event()

    async def main() -> None:
        has_begun = asyncio.Event()

        async def answer(connection: Any) -> None:
            async for data in connection:
                if data == b"work":
                    has_begun.set()
                    await connection.engine.run_in_thread(other_is_done.wait)
                    data = b"done"
                await connection.send(data)

        async with serve(answer, "tcp://127.0.0.1:0", observer=scene.sides["server"]) as server:
            address = server.addresses[0]
            async with connect(address, observer=scene.sides["first"]) as first:
                await first.send(b"work")
                await first.flush()
                await has_begun.wait()
                async with connect(address, observer=scene.sides["second"]) as second:
                    await second.send(b"ping")
                    await second.receive()
                    await second.send_eof()
                    async for _ in second:
                        pass
                other_is_done.set()
                await first.receive()
                await first.send_eof()
                async for _ in first:
                    pass
            await server.wait_idle()

    asyncio.run(main())
    return scene


def framing() -> Scene:
    """Three lines in two sends; the receives cut them otherwise."""
    scene = Scene("client", "server")
    cut = threading.Event()

    with listen("tcp://127.0.0.1:0", observer=scene.sides["server"], receive_size=6) as listener:
        with connect(listener.addresses[0], observer=scene.sides["client"]) as connection:
            connection.send(b"one\ntwo\nth")
            connection.send(b"ree\n")
            connection.send_eof()
            cut.set()
            with listener.accept() as accepted:
                for _ in accepted:
                    pass
            for _ in connection:
                pass
    return scene


def tls() -> Scene:
    """A verified connection."""
    return _answer_once(Scene("client", "server", kind=Plain), b"secret", "tls://127.0.0.1:0", self_signed=True)


def half_close() -> Scene:
    """The request ends, the answer comes after it."""
    scene = Scene("client", "server")

    def sort(connection: Any) -> None:
        connection.send(b" ".join(sorted(b"".join(connection).split())))

    with serve(sort, "tcp://127.0.0.1:0", observer=scene.sides["server"]) as server:
        with connect(server.addresses[0], observer=scene.sides["client"]) as connection:
            connection.send(b"pear apple fig")
            connection.send_eof()
            for _ in connection:
                pass
        server.wait_idle()
    return scene


SCENES: dict[str, Callable[[], Scene]] = {
    "echo": echo,
    "pieces": pieces,
    "chat": chat,
    "two-clients": two_clients,
    "work-in-thread": work_in_thread,
    "framing": framing,
    "tls": tls,
    "half-close": half_close,
}


def drawn(name: str) -> dict[str, str]:
    """Run a scene; its picture in each language, by the name of the file."""
    scene = SCENES[name]()
    pictures = {}
    for language, end in (("en", ".svg"), ("ru", ".ru.svg")):
        for side in scene.sides.values():
            for step in side.steps:
                step.needs.clear()
        pictures[name + end] = scene.draw(language)
    return pictures


def main() -> None:
    """Run all scenes, and write the pictures."""
    for name in SCENES:
        for file, text in drawn(name).items():
            (HERE / file).write_text(text)
            print(f"wrote {file}", file=sys.stderr)


if __name__ == "__main__":
    main()
