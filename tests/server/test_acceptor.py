"""Limits on real sockets, on every engine; and a machine that runs out of descriptors."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import textwrap
import threading

import pytest

from socketkit import connect, serve
from socketkit.config.address import Address
from socketkit.config.options import Options
from socketkit.errors import BrokenError, ConnectError, EndOfStream
from socketkit.events import Accepted, Closed, EndReceived, HandlerFailed, Listening, Received, Refused, Sent
from socketkit.framing.chunks import Chunks
from socketkit.server.acceptor import TURN_CONNECTIONS, Acceptor
from socketkit.server.stream_listener import OpenIncoming, StreamListener
from socketkit.streams.memory import memory_pair
from support.clock import virtual_engine
from support.connections import PATIENCE, ask, call, read_all
from support.recorder import Recorder

ANY = "tcp://127.0.0.1:0"


async def echo(connection):
    async for message in connection:
        await connection.send(message)


def is_reset(address):
    """Whether a caller is taken back before a byte: as he connects, or when he reads."""
    try:
        with call(address) as client:
            client.recv(1)
    except ConnectionResetError:
        return True
    return False


def serving(engine_name, recorder, handler=echo, place=ANY, **options):
    return serve(handler, place, framing="lines", engine=engine_name, observer=recorder, **options)


def test_overload_reject_and_recover(engine_name):
    """Overload rejects whatever is too many and lets in again."""
    recorder = Recorder()
    with serving(engine_name, recorder, max_connections=2, overload="reject") as server:
        address = server.addresses[0]
        with call(address) as one, call(address) as two:
            assert (ask(one, b"1"), ask(two, b"2")) == (b"1", b"2")
            assert is_reset(address)
            one.close()
            server_is_free(server, 1)
            with call(address) as four:
                assert ask(four, b"4") == b"4"
        server.wait_idle(timeout=PATIENCE)
        facts = server.statistics()
    assert (facts.accepted_count, facts.refused_count, facts.active_count) == (3, 1, 0)
    (refused,) = recorder.of(Refused)
    assert refused.reason == "2 conversations, and max_connections is 2"
    assert len(recorder.of(Accepted)) == len(recorder.of(Closed)) == 3


def server_is_free(server, count):
    while server.statistics().active_count > count:
        threading.Event().wait(0.001)


def test_max_per_peer(engine_name):
    """One peer has so many and others are not disturbed."""
    recorder = Recorder()
    with serving(engine_name, recorder, max_per_peer=1) as server:
        address = server.addresses[0]
        with call(address) as one:
            assert ask(one, b"1") == b"1"
            assert is_reset(address)
            with pytest.raises((BrokenError, ConnectError)), connect(address, framing="lines") as again:
                again.receive(timeout=PATIENCE)
        server_is_free(server, 0)
        with call(address) as three:
            assert ask(three, b"3") == b"3"
        assert server.statistics().refused_count == 2


def test_denied_reset_before_any_byte(engine_name):
    """Who is denied is reset before a byte."""
    recorder = Recorder()
    with serving(engine_name, recorder, deny="127.0.0.0/8", allow="127.0.0.1") as server:
        assert is_reset(server.addresses[0])
        assert server.statistics().refused_count == 1
    assert [event.reason for event in recorder.of(Refused)] == ["its network is denied (deny)"]
    assert recorder.of(Accepted) == []


def test_each_address_has_its_own_lists(tmp_path):
    with serve(
        echo, f"{ANY}?allow=10.0.0.0/8", f"unix://{tmp_path}/s?allow=unix", framing="lines", engine="poll"
    ) as server:
        assert is_reset(server.addresses[0])
        with call(server.addresses[1]) as client:
            assert ask(client, b"1") == b"1"


def test_accept_rate_waits(engine_name):
    """Clients beyond the rate wait for their turn."""
    with serving(engine_name, None, accept_rate=20) as server:
        clients = [call(server.addresses[0]) for _ in range(25)]  # the last five wait in the backlog
        for client in clients:
            assert ask(client, b"1") == b"1"
            client.close()


def test_accept_rate_rejects():
    """Clients beyond the rate are rejected where it is asked for."""
    recorder = Recorder()
    with serving("poll", recorder, accept_rate=1, overload="reject") as server:
        with call(server.addresses[0]) as client:
            assert ask(client, b"1") == b"1"
            assert [is_reset(server.addresses[0]) for _ in range(3)] == [True] * 3
    assert "accept_rate" in recorder.of(Refused)[0].reason


def test_accept_burst_does_not_starve():
    """Turns go round: between two answers to a guest inside, only so many callers are let in."""
    begun, go_on = threading.Event(), threading.Event()

    async def handler(connection):
        if not begun.is_set():
            begun.set()
            go_on.wait(PATIENCE)  # the whole engine stands still meanwhile
        async for _message in connection:
            await connection.send(str(server.statistics().accepted_count))

    with serving("poll", None, handler, max_connections=5000) as server:
        guest = call(server.addresses[0])
        assert begun.wait(PATIENCE)
        crowd = [call(server.addresses[0]) for _ in range(300)]
        guest.sendall(b"?\n")
        go_on.set()
        assert int(guest.recv(100)) < 100
        for client in (guest, *crowd):
            client.close()


class Crowd(StreamListener):
    """A listener at which many wait, on a busy engine: each look at it takes a turn of 30 ms, and finds `at_once`."""

    def __init__(self, engine, count, *, at_once):
        self.address = Address.parse("tcp://127.0.0.1:1")
        self.engine, self.left, self.at_once, self.there = engine, count, at_once, 0
        self.turn_count = self.failed_count = 0

    async def wait_incoming(self, *, deadline=None):
        self.turn_count += 1
        self.there = max(self.there, min(self.at_once, self.left))
        await self.engine.sleep(0.03)

    def accept_nowait(self):
        if not self.there:
            self.failed_count += 1
            raise BlockingIOError
        self.there -= 1
        self.left -= 1
        return OpenIncoming(memory_pair(self.engine)[0])

    def pending(self):
        return self.left

    def close(self):
        self.left = 0

    @property
    def is_closed(self):
        return not self.left


def test_slow_turns_take_bursts():
    """However long the turns of a busy loop are, those who wait are accepted in bursts, and not one a turn."""
    engine, _ = virtual_engine()
    crowd = Crowd(engine, 1000, at_once=1000)
    acceptor = Acceptor(engine, Options(), lambda stream, options, framing, entry: True)
    engine.run(acceptor.run(crowd, Options(), Chunks()))
    assert not crowd.left
    assert crowd.turn_count <= 1000 / TURN_CONNECTIONS + 5


def test_connections_one_by_one_cost_one_accept_each():
    """Where one comes after the other, however fast, few calls of accept(2) find none."""
    engine, _ = virtual_engine()
    crowd = Crowd(engine, 1000, at_once=1)
    acceptor = Acceptor(engine, Options(), lambda stream, options, framing, entry: True)
    engine.run(acceptor.run(crowd, Options(), Chunks()))
    assert not crowd.left
    assert crowd.failed_count < 1000 / 12


def test_failing_codec_costs_one_connection():
    """A codec that cannot be made costs one client."""

    class Broken:
        made = 0

        def __init__(self):
            Broken.made += 1
            if Broken.made == 2:  # the first is only looked at
                raise ZeroDivisionError

        def encode(self, messages):
            return b"".join(messages)

        def feed(self, data):
            return [data] if data else []

        def feed_eof(self):
            return []

    recorder = Recorder()
    with serve(echo, ANY, framing=Broken, engine="poll", observer=recorder) as server:
        assert is_reset(server.addresses[0])
        with call(server.addresses[0]) as client:
            assert ask(client, b"hello") == b"hello"
    (refused,) = recorder.of(Refused)
    assert "ZeroDivisionError" in refused.reason


class Stop(Exception):
    pass


async def returns(connection):
    await connection.receive()


async def raises(connection):
    await connection.receive()
    raise Stop


async def cancels_itself(connection):
    await connection.receive()
    raise connection.engine.cancelled


async def aborts(connection):
    await connection.receive()
    connection.abort()


async def closes(connection):
    await connection.receive()
    await connection.close()


async def receives_too_much(connection):
    await connection.receive()
    await connection.receive()


def returns_plainly(connection):
    connection.receive()


def raises_plainly(connection):
    connection.receive()
    raise Stop


def exits_plainly(connection):
    connection.receive()
    sys.exit(3)


ENDS = {
    returns: type(None),
    raises: Stop,
    cancels_itself: BaseException,
    aborts: type(None),
    closes: type(None),
    receives_too_much: EndOfStream,
}
PLAIN_ENDS = {returns_plainly: type(None), raises_plainly: Stop, exits_plainly: SystemExit}


def check_the_end(server, recorder, kind):
    """One conversation of five bytes has ended so; and the next one is served."""
    for _ in range(2):
        with call(server.addresses[0]) as client:
            client.sendall(b"hello\nrest")
            with contextlib.suppress(OSError):  # where it ends by a reset
                client.shutdown(socket.SHUT_WR)
                assert read_all(client) == b""
        server.wait_idle(timeout=PATIENCE)
    accepted, closed = recorder.of(Accepted), recorder.of(Closed)
    assert [event.connection for event in accepted] == [event.connection for event in closed]
    assert len(closed) == 2
    for event in closed:
        assert isinstance(event.error, kind)
        assert (event.received_size, event.sent_size) == (10, 0)
    failed = recorder.of(HandlerFailed)
    # trio's Cancelled cannot be made by anybody else: whoever tries has failed
    assert len(failed) == (2 if isinstance(closed[0].error, (Stop, SystemExit, TypeError)) else 0)


@pytest.mark.parametrize("handler", ENDS, ids=lambda handler: handler.__name__)
def test_one_start_one_end_any_handler(engine_name, handler):
    """However a handler ends there is one start and one end."""
    recorder = Recorder()
    place = ANY if handler is not receives_too_much else f"{ANY}?framing=fixed:10"
    with serve(
        handler,
        place,
        framing="lines" if place == ANY else None,
        engine=engine_name,
        observer=recorder,
    ) as server:
        check_the_end(server, recorder, ENDS[handler])


@pytest.mark.parametrize("handler", PLAIN_ENDS, ids=lambda handler: handler.__name__)
def test_one_start_one_end_plain_handler(handler):
    """However a plain handler ends there is one start and one end."""
    recorder = Recorder()
    with serve(handler, ANY, framing="lines", observer=recorder) as server:
        check_the_end(server, recorder, PLAIN_ENDS[handler])


def test_cancelled_at_grace_end_event(engine_name):
    """Who is cut off at the end of the grace is reported so."""
    recorder = Recorder()

    async def stays(connection):
        await connection.engine.sleep(1000)

    with serving(engine_name, recorder, stays) as server:
        with call(server.addresses[0]):
            while not recorder.of(Accepted):
                threading.Event().wait(0.001)
            server.close(grace=0)
    (closed,) = recorder.of(Closed)
    assert "the server stops" in str(closed.error)


def test_raising_observer_is_logged_once(engine_name, caplog):
    """An observer that raises hurts no connection; the log says so once."""

    def observer(event):
        if isinstance(event, Accepted) and event.connection % 2:
            raise Stop

    with serve(echo, ANY, framing="lines", engine=engine_name, observer=observer, max_connections=1) as server:
        answers = []
        for _ in range(4):
            with call(server.addresses[0]) as client:
                answers.append(ask(client, b"hello"))
        assert answers == [b"hello"] * 4
        server.wait_idle(timeout=PATIENCE)
    assert [record.message.count("failed at Accepted") for record in caplog.records] == [1]


@pytest.mark.parametrize("kind", [Accepted, Closed, HandlerFailed, Refused, Listening, Received, Sent, EndReceived])
def test_observer_raising_at_any_event(engine_name, kind, caplog):
    """Whatever the event, the connection and the server go on."""

    def observer(event):
        if isinstance(event, kind):
            raise Stop

    async def handler(connection):
        await echo(connection)
        raise ZeroDivisionError

    with serve(handler, ANY, framing="lines", engine=engine_name, observer=observer, max_per_peer=1) as server:
        for _ in range(2):
            with call(server.addresses[0]) as client:
                assert ask(client, b"hello") == b"hello"
                assert is_reset(server.addresses[0])
            server.wait_idle(timeout=PATIENCE)
    assert len(caplog.records) == 1


EXHAUST = """
import resource, socket, sys, threading
from socketkit import serve
from socketkit.events import AcceptPaused, AcceptResumed

events = []
resource.setrlimit(resource.RLIMIT_NOFILE, (80, 80))

async def echo(connection):
    async for message in connection:
        await connection.send(message)

def calls(number, name):
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, fileno=number)
    sock.settimeout(20)
    sock.connect(name)
    return sock

with serve(echo, "tcp://127.0.0.1:0", engine=sys.argv[1], observer=events.append) as server:
    name = ("127.0.0.1", server.addresses[0].port)
    # Descriptors of the callers first, so that only the server lacks any: 80 in all, about 30 for callers.
    numbers = [socket.socket().detach() for _ in range(30)]
    spare = []
    try:
        while True:
            spare.append(socket.socket())
    except OSError:
        for _ in range(12):
            spare.pop().close()
    clients = [calls(number, name) for number in numbers]
    paused = lambda: [event for event in events if isinstance(event, AcceptPaused)]
    while not paused():
        threading.Event().wait(0.01)
    begun = len(paused())
    threading.Event().wait(0.4)  # the episode lasts: more than one pause, still one event
    assert len(paused()) == begun == 1, events
    assert server.statistics().is_paused
    for sock in spare:
        sock.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (80, 80))
    for client in clients[:10]:
        client.close()
    for client in clients[10:]:
        client.sendall(b"hello")
        assert client.recv(100) == b"hello"
        client.close()
    assert not server.statistics().is_paused
kinds = [type(event).__name__ for event in events]
assert kinds.count("AcceptPaused") == kinds.count("AcceptResumed") >= 1, kinds
assert kinds.count("Accepted") == kinds.count("Closed"), kinds
resumed = [event for event in events if isinstance(event, AcceptResumed)]
print("ok", kinds.count("AcceptPaused"), f"{resumed[0].seconds:.2f}")
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="RLIMIT_NOFILE is POSIX's")
@pytest.mark.parametrize("engine", ["epoll", "poll", "asyncio", "uvloop", "trio", "blocking"])
def test_emfile_pauses_once_then_serves_all(engine):
    """Without descriptors it pauses once and serves everybody afterwards."""
    from socketkit import engines

    if reason := engines.missing(engine):
        pytest.skip(reason)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(EXHAUST), engine],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.stdout.startswith("ok"), done.stderr[-2000:]
