"""Dialling with real sockets: a name's addresses are raced on every engine, and nothing is left behind."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import resource
import signal
import socket
import struct
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from socketkit import engines
from socketkit.client.dial import Sockets, open_stream
from socketkit.config.address import Address
from socketkit.config.options import Options
from socketkit.engines.engine import Engine
from socketkit.errors import BrokenError, ConnectError, DeadlineError, ResolveError
from socketkit.events import Connecting, Failed, Resolved
from socketkit.sockets.resolver import Candidate
from socketkit.streams.stream import Stream
from support.dead_ports import black_hole, refusing_port
from support.recorder import Recorder
from support.running import FAR, Running, turns, until
from support.streams import open_descriptors

NAME = Address.parse("tcp://name.test:1")

NUMBER = Address.parse("tcp://127.0.0.1:1")
"""Answered by the table at once, where a thread would take time: for tests that look at the clock."""


class Names:
    """A resolver with a table of one name: where it really is. Counts how often it was asked."""

    def __init__(self, *places: tuple[str, int]) -> None:
        self._places = places
        self.questions: list[Any] = []

    def __call__(self, host: Any, port: Any, *rest: Any) -> list[Any]:
        self.questions.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", place) for place in self._places]


@pytest.fixture
def port() -> Iterator[int]:
    """A port at which callers are let in by the system."""
    with socket.create_server(("127.0.0.1", 0), backlog=2000) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def hole() -> Iterator[int]:
    """A port that is silent."""
    with black_hole() as port:
        yield port


@pytest.fixture
def holes() -> Iterator[list[tuple[str, int]]]:
    """Three places that are silent."""
    with black_hole() as first, black_hole() as second, black_hole() as third:
        yield [("127.0.0.1", port) for port in (first, second, third)]


def dialled(
    engine: Engine, names: Any = socket.getaddrinfo, *, observer: Any = None, address: Address = NAME, **options: Any
) -> str:
    """Dial and hang up; who answered."""

    async def main() -> str:
        stream = await open_stream(engine, address, Options(**options), observer=observer, lookup=names)
        stream.close()
        return stream.peer

    return engine.run(main())


def test_silent_first_address_costs_delay(engine: Engine, hole: int, port: int) -> None:
    """A silent first address costs a quarter of a second."""
    before = engine.now()
    names = Names(("127.0.0.1", hole), ("127.0.0.1", port))
    assert dialled(engine, names, address=NUMBER) == f"tcp://127.0.0.1:{port}"
    assert 0.25 <= engine.now() - before < 1  # more than enough, also on a busy machine


def test_refused_first_address_costs_nothing(engine: Engine, port: int) -> None:
    """A refused first address costs nothing."""
    names = Names(("127.0.0.1", refusing_port()), ("127.0.0.1", port))
    assert dialled(engine, names, happy_eyeballs_delay=FAR) == f"tcp://127.0.0.1:{port}"


def test_all_at_once_the_good_one_answers(engine: Engine, holes: list[tuple[str, int]], port: int) -> None:
    names = Names(*holes, ("127.0.0.1", port))
    assert dialled(engine, names, happy_eyeballs_delay=0.0) == f"tcp://127.0.0.1:{port}"


def test_sequential_share_of_the_deadline(engine: Engine, hole: int, port: int) -> None:
    """One after another a silent one has its share of the time: half of it, and the next one has the rest.

    A connection takes longer than its share on a machine that is busy enough; then more time is given.
    """
    names = Names(("127.0.0.1", hole), ("127.0.0.1", port))
    for limit in (0.4, 4.0):
        with contextlib.suppress(DeadlineError):
            peer = dialled(engine, names, address=NUMBER, happy_eyeballs_delay=None, connect_timeout=limit)
            break
    else:
        peer = dialled(engine, names, address=NUMBER, happy_eyeballs_delay=None, connect_timeout=40.0)
    assert peer == f"tcp://127.0.0.1:{port}"


def test_error_lists_every_address(engine: Engine) -> None:
    """The error names every address with its reason."""
    ports = refusing_port(), refusing_port()
    with pytest.raises(ConnectError) as caught:
        dialled(engine, Names(*(("127.0.0.1", port) for port in ports)))
    error = caught.value
    assert [attempt.address for attempt in error.attempts] == [f"tcp://127.0.0.1:{port}" for port in ports]
    assert [attempt.errno for attempt in error.attempts] == [errno.ECONNREFUSED] * 2
    assert error.errno == errno.ECONNREFUSED
    assert str(error) == (
        f"cannot connect to tcp://name.test:1: tcp://127.0.0.1:{ports[0]}: Connection refused (ECONNREFUSED): nobody "
        f"listens there; tcp://127.0.0.1:{ports[1]}: Connection refused (ECONNREFUSED): nobody listens there"
    )


def test_refused_outranks_unreachable(engine: Engine) -> None:
    """A machine that refuses reports more than one that was not reached."""
    with pytest.raises(ConnectError) as caught:  # a broadcast address, tcp(7): unreachable at once
        dialled(engine, Names(("255.255.255.255", 1), ("127.0.0.1", refusing_port())))
    assert [attempt.errno for attempt in caught.value.attempts][1] == errno.ECONNREFUSED
    assert caught.value.errno == errno.ECONNREFUSED


def test_one_deadline_for_all_attempts(engine: Engine, holes: list[tuple[str, int]]) -> None:
    """The time is one for all and each is reported."""
    with pytest.raises(DeadlineError) as caught:
        dialled(engine, Names(*holes), address=NUMBER, connect_timeout=0.1, happy_eyeballs_delay=FAR)
    addresses = [f"tcp://127.0.0.1:{port}" for _, port in holes]
    assert [attempt.address for attempt in caught.value.attempts] == addresses
    reasons = ["no answer in time", *["not tried: the time was over"] * 2]
    assert [attempt.reason for attempt in caught.value.attempts] == reasons
    assert "no answer within 0.1 s (connect_timeout)" in str(caught.value)


def test_single_address_times_out(engine: Engine, hole: int) -> None:
    """A single silent address is given up in time."""
    with pytest.raises(DeadlineError) as caught:
        dialled(engine, address=Address.parse(f"tcp://127.0.0.1:{hole}"), connect_timeout=0.02)
    assert [attempt.reason for attempt in caught.value.attempts] == ["no answer in time"]


def test_the_story_of_a_dial_is_told(engine: Engine, port: int) -> None:
    seen = Recorder()
    bad = refusing_port()
    dialled(engine, Names(("127.0.0.1", bad), ("127.0.0.1", port)), observer=seen)
    assert seen.names() == ["Resolved", "Connecting", "Failed", "Connecting"]
    assert seen.of(Resolved)[0].candidates == (f"tcp://127.0.0.1:{bad}", f"tcp://127.0.0.1:{port}")
    assert [event.candidate for event in seen.of(Connecting)] == list(seen.of(Resolved)[0].candidates)
    assert seen.of(Failed)[0].error.errno == errno.ECONNREFUSED


def test_a_name_is_asked_for_once(engine: Engine) -> None:
    names = Names(("127.0.0.1", refusing_port()), ("127.0.0.1", refusing_port()))
    with pytest.raises(ConnectError):
        dialled(engine, names)
    assert names.questions == ["name.test"]


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[fe80::1%lo]"])
def test_a_number_never_reaches_the_resolver(engine: Engine, host: str) -> None:
    flags: list[int] = []

    def lookup(*question: Any) -> list[Any]:
        flags.append(question[5])
        return socket.getaddrinfo(*question)

    with pytest.raises((ConnectError, DeadlineError, ResolveError)):
        dialled(engine, lookup, address=Address.parse(f"tcp://{host}:{refusing_port()}"), connect_timeout=0.2)
    assert flags and all(each & socket.AI_NUMERICHOST for each in flags)  # getaddrinfo(3): no lookup then


def test_resolver_shares_the_deadline(engine: Engine) -> None:
    """The resolver has no more time than the dial."""
    answer = threading.Event()
    gone = threading.Event()

    def lookup(*question: Any) -> list[Any]:
        answer.wait(FAR)
        gone.set()
        return []

    with pytest.raises(DeadlineError, match=r"'name\.test' was not resolved in time"):
        dialled(engine, lookup, connect_timeout=0.02)
    answer.set()
    assert gone.wait(FAR)


@pytest.mark.parametrize(
    "failure", [socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), OSError(errno.EMFILE, "Too many open files")]
)
def test_resolver_failure_is_resolve_error(engine: Engine, failure: OSError) -> None:
    """A resolver that fails is a resolve error."""

    def lookup(*question: Any) -> list[Any]:
        raise failure.with_traceback(None)

    with pytest.raises(ResolveError, match=r"name\.test"):
        dialled(engine, lookup)


def leaves_nothing_open(engine: Engine, dial: Any, times: int) -> None:
    """Dial and cancel, many times; nothing is open then that was not open before."""

    async def main() -> tuple[set[str], set[str]]:
        async def cancelled() -> None:
            task = Running(engine, dial())
            await turns(engine, 2)
            task.cancel()
            assert isinstance(await task.outcome(), engine.cancelled)

        await cancelled()  # by now the engine has what it keeps
        await turns(engine)
        before = open_descriptors()
        for _ in range(times):
            await cancelled()
        await engine.sleep(0.01)  # a thread gives its waker back after it has told its end
        return before, open_descriptors()

    before, after = engine.run(main())
    assert after <= before  # another test's thread may end meanwhile


@pytest.mark.slow
def test_thousand_cancelled_connects_leak_nothing(engine: Engine, hole: int) -> None:
    """A thousand cancelled connects leave nothing open."""
    address = Address.parse(f"tcp://127.0.0.1:{hole}")
    leaves_nothing_open(engine, lambda: open_stream(engine, address, Options()), 1000)


@pytest.mark.slow
def test_cancelled_races_leak_nothing(engine: Engine, holes: list[tuple[str, int]]) -> None:
    """Hundreds of cancelled races leave nothing open."""
    names = Names(holes[0], ("127.0.0.1", refusing_port()), *holes[1:])
    options = Options(happy_eyeballs_delay=0.0)
    leaves_nothing_open(engine, lambda: open_stream(engine, NUMBER, options, lookup=names), 300)


@pytest.mark.slow
def test_cancelled_busy_unix_connects_leak_nothing(engine: Engine, tmp_path: Path) -> None:
    """Hundreds of cancelled calls of a busy unix server leave nothing open."""
    path = os.fspath(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as caller:
        listener.bind(path)
        listener.listen(0)
        caller.connect(path)  # now the queue is full: connect(2) says EAGAIN
        address = Address.parse(f"unix://{path}")
        leaves_nothing_open(engine, lambda: open_stream(engine, address, Options()), 300)


@pytest.mark.parametrize("turn", range(10))
def test_cancel_after_any_turn_leaks_nothing(
    engine: Engine, holes: list[tuple[str, int]], port: int, turn: int
) -> None:
    """The name is asked for in a thread, the first address is silent, the second refuses, the third answers."""
    names = Names(holes[0], ("127.0.0.1", refusing_port()), ("127.0.0.1", port))

    async def main() -> None:
        await engine.run_in_thread(lambda: None, deadline=engine.now() + FAR)  # the engine has by now what it keeps
        before = open_descriptors()
        task = Running(engine, open_stream(engine, NAME, Options(happy_eyeballs_delay=0.001), lookup=names))
        await turns(engine, turn)
        task.cancel()
        outcome = await task.outcome()
        if isinstance(outcome, Stream):
            outcome.close()
        else:
            assert isinstance(outcome, engine.cancelled)
        await until(engine, lambda: open_descriptors() <= before)  # a thread tells its end before it is over

    engine.run(main())


@pytest.mark.parametrize("count", [1, 3])
def test_emfile_is_reported_and_leaks_nothing(engine: Engine, holes: list[tuple[str, int]], count: int) -> None:
    """Without descriptors the error says so and none is lost."""
    names = Names(*holes[:count])

    async def main() -> ConnectError:
        await engine.sleep(0.001)  # the engine has by now what it keeps
        before = open_descriptors()
        with no_descriptors_left():
            with pytest.raises(ConnectError) as caught:
                await open_stream(engine, NUMBER, Options(), lookup=names)
        await until(engine, lambda: open_descriptors() <= before)
        return caught.value

    error = engine.run(main())
    assert error.errno == errno.EMFILE
    assert "Too many open files (EMFILE)" in str(error)


@contextlib.contextmanager
def no_descriptors_left() -> Iterator[None]:
    """While the block runs, the process can open nothing."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, open_descriptors())) + 1, limits[1]))
    held: list[int] = []
    try:
        with contextlib.suppress(OSError):
            while True:
                held.append(os.dup(0))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for descriptor in held:
            os.close(descriptor)


@pytest.mark.parametrize("count", [1, 3])
def test_interrupt_ends_connect(holes: list[tuple[str, int]], count: int) -> None:
    """An interrupt ends a dial at once and leaves nothing open."""
    engine = engines.make("blocking")  # which the signal finds in its wait
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))

    async def main() -> tuple[set[str], set[str]]:
        await engine.sleep(0.001)
        before = open_descriptors()
        timer.start()
        try:
            await open_stream(
                engine,
                NUMBER,
                Options(happy_eyeballs_delay=0.0),
                lookup=Names(*holes[:count]),
            )
        except KeyboardInterrupt:
            return before, open_descriptors()
        raise AssertionError("nobody should have answered")

    try:
        before, after = engine.run(main())
    finally:
        timer.join()
        signal.signal(signal.SIGINT, handler)
    assert after <= before


@pytest.mark.parametrize("count", [1, 2])
def test_a_failed_dial_leaves_no_circle(no_gc: None, engine: Engine, count: int) -> None:
    places = [("127.0.0.1", refusing_port()) for _ in range(count)]

    async def main() -> weakref.ref[Any]:
        names = Names(*places)
        try:
            await open_stream(engine, NUMBER, Options(), lookup=names)
        except ConnectError as error:
            assert error.__traceback__ is not None
        gone = weakref.ref(names)  # which the frames of the dial have held
        del names
        return gone

    assert engine.run(main())() is None
    gc.collect()


def test_missing_unix_path(engine: Engine, tmp_path: Path) -> None:
    """A unix path that is not there says so."""
    with pytest.raises(ConnectError) as caught:
        dialled(engine, address=Address.parse(f"unix://{tmp_path}/none"))
    assert caught.value.errno == errno.ENOENT
    assert str(caught.value).endswith("No such file or directory (ENOENT): there is no such file")


@pytest.mark.parametrize("kind", ["file", "datagram", "denied"])
def test_unix_path_without_listener(engine: Engine, tmp_path: Path, kind: str) -> None:
    """A unix path that is no listener says so."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM if kind == "datagram" else socket.SOCK_STREAM) as sock:
        path.touch() if kind == "file" else sock.bind(os.fspath(path))
        if kind == "denied":
            if os.geteuid() == 0:
                pytest.skip("root has every right")
            path.chmod(0)
        expected = {"file": errno.ECONNREFUSED, "datagram": errno.EPROTOTYPE, "denied": errno.EACCES}[kind]
        with pytest.raises(ConnectError) as caught:
            dialled(engine, address=Address.parse(f"unix://{path}"))
    assert caught.value.errno == expected


def test_reset_after_accept_delivers_data_first(engine: Engine) -> None:
    """However late we look: a connection that stood is no failure to connect."""

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            name = listener.getsockname()
            candidate = Candidate(socket.AF_INET, socket.SOCK_STREAM, 0, name)
            sockets = Sockets(engine, Address.parse(f"tcp://127.0.0.1:{name[1]}"), Options(), None)
            sock = sockets.begin(candidate)
            accepted, _ = listener.accept()
            accepted.sendall(b"too many")
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            accepted.close()
            stream = sockets.finish(candidate, sock)
            assert stream.peer == f"tcp://127.0.0.1:{name[1]}"
            assert await stream.receive() == b"too many"
            for _ in range(2):
                with pytest.raises(BrokenError, match="ECONNRESET"):
                    await stream.receive()
            stream.close()

    engine.run(main())
