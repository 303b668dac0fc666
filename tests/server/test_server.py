"""A server lets callers in, survives its handlers, and stops within its time whatever they do; on every engine."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import threading
import time

import pytest

from socketkit import Address, connect, serve
from socketkit.errors import (
    BrokenError,
    BusyError,
    ClosedError,
    DeadlineError,
    EndOfStream,
    FramingError,
    ListenError,
    OptionError,
)
from socketkit.events import Accepted, Closed, HandlerFailed, Listening, StoppedListening
from support.connections import PATIENCE, ask, call, read_all, read_to_reset
from support.recorder import Recorder
from support.running import until
from support.streams import descriptor_count, why_not

ANY = "tcp://127.0.0.1:0"
SLOW = 1.0
"""Seconds that a machine with much else to do may take longer than was promised."""


async def echo(connection):
    async for message in connection:
        if message == "fail":
            raise ZeroDivisionError("as it was told")
        await connection.send(message)


class Stubborn:
    """A handler that does not end, whatever is asked of it, until it is let go."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.free = threading.Event()

    async def __call__(self, connection):
        self.begun.release()
        while not self.free.is_set():
            with contextlib.suppress(BaseException):
                await connection.engine.sleep(0.01 if self.free.is_set() else 0.05)


def lives(recorder: Recorder) -> dict[int, list[str]]:
    """The start and end events of each connection."""
    found: dict[int, list[str]] = {}
    for event in list(recorder.events):
        if isinstance(event, (Accepted, Closed)):
            found.setdefault(event.connection, []).append(type(event).__name__)
    return found


def test_raising_handler_ends_its_own(engine_name):
    """A handler that raises ends its own conversation and nothing else."""
    recorder = Recorder()
    with serve(echo, ANY, framing="lines", engine=engine_name, observer=recorder) as server:
        with call(server.addresses[0]) as unlucky, call(server.addresses[0]) as other:
            assert ask(unlucky, b"hello") == b"hello"
            assert ask(other, b"hello") == b"hello"
            unlucky.sendall(b"fail\n")
            assert read_to_reset(unlucky) == b""
            assert ask(other, b"still here") == b"still here"
        with call(server.addresses[0]) as next_one:
            assert ask(next_one, b"me too") == b"me too"
        server.wait_idle(timeout=PATIENCE)
        facts = server.statistics()
    assert (facts.accepted_count, facts.active_count, facts.failed_count) == (3, 0, 1)
    assert list(lives(recorder).values()) == [["Accepted", "Closed"]] * 3
    (failed,) = recorder.of(HandlerFailed)
    assert isinstance(failed.error, ZeroDivisionError)
    (closed,) = [event for event in recorder.of(Closed) if event.connection == failed.connection]
    assert closed.error is failed.error


def test_cancelling_in_a_group_ends_its_own(engine_name):
    """A group of exceptions with a cancellation in it, which no one has asked for, ends one conversation, and is
    reported."""
    if engine_name == "trio":
        pytest.skip("trio makes its Cancelled itself")

    async def handler(connection):
        async for message in connection:
            if message == "fail":
                raise BaseExceptionGroup("both", [connection.engine.cancelled(), ZeroDivisionError()])
            await connection.send(message)

    recorder = Recorder()
    with serve(handler, ANY, framing="lines", engine=engine_name, observer=recorder) as server:
        with call(server.addresses[0]) as unlucky, call(server.addresses[0]) as other:
            assert ask(other, b"hello") == b"hello"
            unlucky.sendall(b"fail\n")
            assert read_to_reset(unlucky) == b""
            assert ask(other, b"still here") == b"still here"
        with call(server.addresses[0]) as next_one:
            assert ask(next_one, b"me too") == b"me too"
    (failed,) = recorder.of(HandlerFailed)
    assert [type(error) for error in failed.error.exceptions] == [ZeroDivisionError]


def test_exit_in_a_group_ends_the_run(engine):
    """^C in a group of exceptions ends the program, as it does alone."""
    if engine.blocks:
        pytest.skip("a handler's thread ends no program")

    async def handler(connection):
        raise BaseExceptionGroup("both", [ExceptionGroup("inner", [ZeroDivisionError()]), KeyboardInterrupt()])

    async def main():
        async with serve(handler, ANY, engine=engine) as server, connect(server.addresses[0], engine=engine):
            await engine.sleep(PATIENCE)

    with pytest.raises(BaseException) as raised:
        engine.run(main())
    error = raised.value
    while isinstance(error, BaseExceptionGroup):  # trio's nursery makes one of its own
        error = error.exceptions[0]
    assert type(error) is KeyboardInterrupt


def test_sums_count_each_connection_once(engine_name):
    """Another thread that asks while connections leave finds no byte twice, and none that was lost."""
    size, sent, found = 1000, 0, []
    is_over = threading.Event()
    before = sys.getswitchinterval()

    async def handler(connection):
        await connection.receive()

    def ask_often(server):
        while not is_over.is_set():
            found.append((server.statistics().received_size, sent))

    with serve(handler, ANY, framing="lines", engine=engine_name) as server:
        asking = threading.Thread(target=ask_often, args=(server,))
        asking.start()
        sys.setswitchinterval(1e-6)
        try:
            for _ in range(100):
                sent += size
                with call(server.addresses[0]) as client:
                    client.sendall(b"x" * (size - 1) + b"\n")
                    assert client.recv(1) == b""
            server.wait_idle(timeout=PATIENCE)
        finally:
            sys.setswitchinterval(before)
            is_over.set()
            asking.join()
        assert server.statistics().received_size == sent
    sums = [received for received, _ in found]
    assert sums == sorted(sums)
    assert all(received <= sent for received, sent in found)


class Foreign(BaseException):
    """What a library raises that is not for `except Exception`, as another event loop's cancellation."""


def test_base_exception_ends_its_own(engine_name):
    """Not even what no except is meant to catch ends more than its conversation."""

    async def handler(connection):
        async for message in connection:
            if message == "fail":
                raise Foreign
            await connection.send(message)

    recorder = Recorder()
    with serve(handler, ANY, framing="lines", engine=engine_name, observer=recorder) as server:
        with call(server.addresses[0]) as unlucky, call(server.addresses[0]) as other:
            assert ask(other, b"hello") == b"hello"
            unlucky.sendall(b"fail\n")
            assert read_to_reset(unlucky) == b""
            assert ask(other, b"still here") == b"still here"
            with call(server.addresses[0]) as next_one:
                assert ask(next_one, b"me too") == b"me too"
    assert [type(event.error) for event in recorder.of(HandlerFailed)] == [Foreign]
    assert list(lives(recorder).values()) == [["Accepted", "Closed"]] * 3


def test_what_ends_a_thread_ends_no_server():
    def talk(connection):
        connection.receive()
        raise SystemExit(1)

    recorder = Recorder()
    with serve(talk, ANY, framing="lines", observer=recorder) as server:
        for _ in range(2):
            with call(server.addresses[0]) as client:
                client.sendall(b"hello\n")
                assert read_to_reset(client) == b""
    assert len(recorder.of(HandlerFailed)) == 2


@pytest.mark.parametrize(
    "error",
    [BrokenError("lost"), EndOfStream("over"), ClosedError("closed"), FramingError("garbled"), DeadlineError("late")],
    ids=lambda error: type(error).__name__,
)
def test_peer_errors_are_no_handler_failure(error):
    """What the peer or the network did is no failure of the handler."""

    async def handler(connection):
        raise error

    recorder = Recorder()
    with serve(handler, ANY, engine="poll", observer=recorder) as server, call(server.addresses[0]) as client:
        assert read_all(client) == b""
        server.wait_idle(timeout=PATIENCE)
        assert server.statistics().failed_count == 0
    assert recorder.of(HandlerFailed) == []
    assert [event.error for event in recorder.of(Closed)] == [error]


def test_group_of_peer_errors_is_no_handler_failure(engine_name):
    """A handler may receive and send in tasks of a group: the peer's errors are still the peer's."""
    lost = BrokenError("lost")

    async def handler(connection):
        raise BaseExceptionGroup("of a group", [ExceptionGroup("inner", [lost]), EndOfStream("over")])

    recorder = Recorder()
    with serve(handler, ANY, engine=engine_name, observer=recorder) as server, call(server.addresses[0]) as client:
        assert read_all(client) == b""
        server.wait_idle(timeout=PATIENCE)
        assert server.statistics().failed_count == 0
    assert recorder.of(HandlerFailed) == []
    assert [event.error for event in recorder.of(Closed)] == [lost]


def test_group_with_a_bug_is_a_handler_failure():
    """One error in the group that is not the peer's makes it the handler's."""
    group = ExceptionGroup("of a group", [BrokenError("lost"), ZeroDivisionError("a bug")])

    async def handler(connection):
        await connection.receive()  # a reset before connect(2) has returned would be its error
        raise group

    recorder = Recorder()
    with serve(handler, ANY, engine="poll", observer=recorder) as server, call(server.addresses[0]) as client:
        client.sendall(b"x")
        assert read_to_reset(client) == b""
        server.wait_idle(timeout=PATIENCE)
        assert server.statistics().failed_count == 1
    assert [event.error for event in recorder.of(HandlerFailed)] == [group]


@pytest.mark.parametrize("junk", [b"GET / HTTP/1.0\r\n\r\n", b""], ids=["garbage", "end of stream"])
def test_failed_starttls_is_no_handler_failure(junk):
    """A peer that asks for TLS and then fails the handshake cannot fill the log with tracebacks."""

    async def handler(connection):
        assert await connection.receive() == "STARTTLS"
        await connection.start_tls()

    recorder = Recorder()
    options = {"framing": "lines", "self_signed": True, "observer": recorder}
    with serve(handler, ANY, engine="poll", **options) as server, call(server.addresses[0]) as client:
        client.sendall(b"STARTTLS\n")
        client.sendall(junk)
        client.shutdown(socket.SHUT_WR)
        read_all(client)
        server.wait_idle(timeout=PATIENCE)
        assert (server.statistics().failed_count, server.statistics().handshake_failed_count) == (0, 1)
    assert recorder.of(HandlerFailed) == []
    assert len(recorder.of(Closed)) == 1


def test_failed_handler_cuts_visibly(engine_name):
    """A handler that fails in the middle of its answer resets the connection: half an answer does not look whole."""

    async def handler(connection):
        await connection.send(b"half an answer")
        await connection.flush()
        await connection.receive()
        raise ZeroDivisionError("a bug")

    recorder = Recorder()
    with serve(handler, ANY, engine=engine_name, observer=recorder) as server, call(server.addresses[0]) as client:
        assert client.recv(100) == b"half an answer"
        client.sendall(b"go on")
        assert read_to_reset(client) == b""
        server.wait_idle(timeout=PATIENCE)
    (closed,) = recorder.of(Closed)
    assert (closed.reason, closed.received_size, closed.sent_size) == ("failed", 5, 14)


def test_failed_handler_sends_no_close_notify(engine_name, tmp_path):
    """Over TLS the peer gets no close_notify for half an answer, on a UNIX socket too, where there is no reset."""
    pytest.importorskip("cryptography")

    async def handler(connection):
        await connection.send(b"half an answer")
        await connection.flush()
        await connection.receive()
        raise ZeroDivisionError("a bug")

    addresses = [ANY, f"unix://{tmp_path}/s"]
    with serve(handler, *addresses, engine=engine_name, self_signed=True, tls=True, observer=Recorder()) as server:
        for address in server.addresses:
            with connect(address, tls=True, verify=False, server_name="localhost") as client:
                assert client.receive(timeout=PATIENCE) == b"half an answer"
                client.send(b"go on")
                with pytest.raises(BrokenError):
                    client.receive(timeout=PATIENCE)
                client.abort()


def test_end_event_has_access_log_facts(engine_name):
    """The end event says who, how long, how much, and in a word how it ended."""

    async def handler(connection):
        async for message in connection:
            if message == "close":
                return
            if message == "abort":
                connection.abort()
            if message == "wait":
                await connection.receive(timeout=0.01)
            await connection.send(message)

    recorder, found = Recorder(), {}
    with serve(handler, ANY, framing="lines:max_size=1000", engine=engine_name, observer=recorder) as server:
        for last in (b"", b"close\n", b"abort\n", b"wait\n", b"x" * 70_000):
            recorder.clear()
            with call(server.addresses[0]) as client:
                name = f"tcp://127.0.0.1:{client.getsockname()[1]}"
                assert ask(client, b"one") == b"one"
                assert ask(client, b"two") == b"two"
                client.sendall(last)
                if not last:
                    client.shutdown(socket.SHUT_WR)
                with contextlib.suppress(ConnectionResetError):
                    read_all(client)
                server.wait_idle(timeout=PATIENCE)
            (closed,) = recorder.of(Closed)
            assert (closed.peer, closed.local) == (name, str(server.addresses[0]))
            assert (closed.sent_count, closed.sent_size) == (2, 8)
            assert closed.received_count == 2 + last.endswith(b"\n")
            assert 0 < closed.seconds < PATIENCE
            found[last[:5]] = closed.reason
    assert found == {b"": "peer", b"close": "closed", b"abort": "aborted", b"wait\n": "timeout", b"xxxxx": "framing"}


def test_unobserved_failure_is_logged(engine_name, caplog):
    """A failure that no one observes is logged."""
    with serve(echo, ANY, framing="lines", engine=engine_name) as server:
        with call(server.addresses[0]) as client:
            client.sendall(b"fail\n")
            assert read_to_reset(client) == b""
        server.wait_idle(timeout=PATIENCE)
    (record,) = caplog.records
    assert record.name == "socketkit"
    assert "the handler of <Connection" in record.getMessage()
    assert record.exc_info[0] is ZeroDivisionError


def test_sent_before_return_arrives(engine_name):
    """What a handler sent arrives also when it returns at once."""

    async def greet(connection):
        connection.send(b"x" * 300_000)

    with serve(greet, ANY, engine=engine_name) as server, call(server.addresses[0]) as client:
        assert read_all(client) == b"x" * 300_000


def test_handler_closing_ends_once(engine_name):
    """A handler that closes by itself ends once."""

    async def handler(connection):
        await connection.close()

    recorder = Recorder()
    with serve(handler, ANY, engine=engine_name, observer=recorder) as server, call(server.addresses[0]) as client:
        assert read_all(client) == b""
        server.wait_idle(timeout=PATIENCE)
    assert list(lives(recorder).values()) == [["Accepted", "Closed"]]


def test_instant_disconnect_one_start_one_end(engine_name):
    """A client that is gone at once has one start and one end."""
    recorder = Recorder()
    with serve(echo, ANY, framing="lines", engine=engine_name, observer=recorder) as server:
        for _ in range(20):
            call(server.addresses[0]).close()
        with call(server.addresses[0]) as client:
            assert ask(client, b"hello") == b"hello"
        server.wait_idle(timeout=PATIENCE)
    assert set(map(tuple, lives(recorder).values())) == {("Accepted", "Closed")}


def test_thread_per_connection():
    """A plain function has a thread for each conversation."""
    threads = []

    def talk(connection):
        threads.append(threading.current_thread())
        for message in connection:
            connection.send(message.upper())

    with serve(talk, ANY, framing="lines") as server:
        with call(server.addresses[0]) as one, call(server.addresses[0]) as two:
            assert ask(one, b"a") == b"A"
            assert ask(two, b"b") == b"B"
    assert len(set(threads)) == 2
    assert threading.current_thread() not in threads


def test_a_free_port_serves_both_families(engine_name):
    if reason := why_not("tcp6"):
        pytest.skip(reason)
    with serve(echo, "tcp://:0", framing="lines", engine=engine_name) as server:
        (port,) = {address.port for address in server.addresses}
        assert {address.host for address in server.addresses} == {"0.0.0.0", "::"}
        for host in ("127.0.0.1", "::1"):
            with call(Address("tcp", host, port)) as client:
                assert ask(client, b"hello") == b"hello"


def test_several_addresses(engine_name, tmp_path):
    """Several addresses are served at once."""
    path = tmp_path / "s"
    with serve(echo, ANY, f"unix://{path}", framing="lines", engine=engine_name) as server:
        assert [address.scheme for address in server.addresses] == ["tcp", "unix"]
        for address in server.addresses:
            with call(address) as client:
                assert ask(client, b"hello") == b"hello"
    assert not path.exists()


def test_one_failed_address_opens_none(engine_name, tmp_path):
    """When one address cannot be had none is listened at."""
    path, counts = tmp_path / "s", []
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for _ in range(3):
            recorder = Recorder()
            with pytest.raises(ListenError, match="Address already in use"):
                serve(
                    echo,
                    f"unix://{path}",
                    f"tcp://127.0.0.1:{taken.getsockname()[1]}",
                    engine=engine_name,
                    observer=recorder,
                ).open()
            assert not path.exists()
            assert type(recorder.events[-1]) is StoppedListening
            counts.append(descriptor_count())
    assert counts[-1] <= counts[0]


def test_max_connections_waits(engine_name):
    """Clients beyond the limit wait until one has gone."""
    recorder = Recorder()
    with (
        serve(echo, ANY, framing="lines", engine=engine_name, observer=recorder, max_connections=1) as server,
        call(server.addresses[0]) as first,
    ):
        assert ask(first, b"one") == b"one"
        with call(server.addresses[0]) as second:
            second.sendall(b"hello\n")
            assert ask(first, b"two") == b"two"
            assert server.statistics().active_count == 1
            first.close()
            assert second.recv(100) == b"hello\n"
        server.wait_idle(timeout=PATIENCE)
    names = [name for name in recorder.names() if name in ("Accepted", "Closed")]
    assert names == ["Accepted", "Closed"] * 2


def test_max_connections_spans_listeners(engine_name, tmp_path):
    """The limit holds over all listeners together."""
    recorder = Recorder()
    with (
        serve(
            echo, ANY, f"unix://{tmp_path}/s", framing="lines", engine=engine_name, observer=recorder, max_connections=1
        ) as server,
        call(server.addresses[0]) as first,
    ):
        assert ask(first, b"one") == b"one"
        with call(server.addresses[1]) as second:
            second.sendall(b"hello\n")
            for _ in range(20):
                assert ask(first, b"two") == b"two"
            first.close()
            assert second.recv(100) == b"hello\n"
        server.wait_idle(timeout=PATIENCE)
    names = [name for name in recorder.names() if name in ("Accepted", "Closed")]
    assert names == ["Accepted", "Closed"] * 2


@pytest.mark.parametrize("place", [ANY, "unix"])
def test_suspend_and_resume(engine_name, place, tmp_path):
    """Suspended it refuses clients keeps its clients and resumes at the same place."""
    place = f"unix://{tmp_path}/s" if place == "unix" else place
    with serve(echo, place, framing="lines", engine=engine_name) as server:
        (address,) = server.addresses
        with call(address) as guest:
            assert ask(guest, b"before") == b"before"
            server.suspend()
            server.suspend()
            assert server.addresses == (address,)
            with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
                call(address)
            assert ask(guest, b"meanwhile") == b"meanwhile"
            server.resume()
            server.resume()
            assert server.addresses == (address,)
            with call(address) as new:
                assert ask(new, b"hello") == b"hello"
            assert ask(guest, b"after") == b"after"


def test_resume_fails_when_port_taken(engine_name):
    """What somebody else took meanwhile cannot be resumed."""
    with serve(echo, ANY, framing="lines", engine=engine_name) as server:
        (address,) = server.addresses
        server.suspend()
        with socket.create_server((address.host, address.port)):
            with pytest.raises(ListenError):
                server.resume()
        server.resume()
        with call(address) as client:
            assert ask(client, b"hello") == b"hello"


def test_wait_idle_has_an_end(engine_name):
    with serve(echo, ANY, framing="lines", engine=engine_name) as server:
        server.wait_idle()
        with call(server.addresses[0]) as guest:
            ask(guest, b"hello")
            with pytest.raises(DeadlineError):
                server.wait_idle(timeout=0.02)
        server.wait_idle(timeout=PATIENCE)
        assert server.statistics().active_count == 0


def test_addresses_in_order(engine_name):
    """The listeners are reported from first to last."""
    recorder = Recorder()
    with serve(echo, ANY, engine=engine_name, observer=recorder) as server:
        address = str(server.addresses[0])
    assert recorder.names()[-3:] == ["Bound", "Listening", "StoppedListening"]
    assert recorder.of(Listening)[0].local == recorder.of(StoppedListening)[0].local == address


def test_idle_connections_end_cleanly(engine_name):
    """Idle clients are closed with a clean end."""
    with serve(echo, ANY, framing="lines", engine=engine_name) as server:
        guests = [call(server.addresses[0]) for _ in range(5)]
        for guest in guests:
            assert ask(guest, b"hello") == b"hello"
        began = time.monotonic()
        server.close(grace=20)
        assert time.monotonic() - began < 10
        for guest in guests:
            assert guest.recv(1) == b""
            guest.close()


def test_a_handler_at_work_ends_its_work(engine_name):
    begun, go_on = threading.Event(), threading.Event()

    async def handler(connection):
        message = await connection.receive()
        begun.set()
        await connection.engine.run_in_thread(lambda: go_on.wait(PATIENCE))
        await until(connection.engine, lambda: connection.server_closing)
        await connection.send(f"answer to {message}")

    with serve(handler, ANY, framing="lines", engine=engine_name) as server, call(server.addresses[0]) as client:
        client.sendall(b"question\n")
        assert begun.wait(PATIENCE)
        closing = threading.Thread(target=server.close, kwargs={"grace": PATIENCE})
        closing.start()
        with pytest.raises(ConnectionRefusedError):
            while True:  # until the door is closed
                with contextlib.suppress(ConnectionResetError):
                    call(server.addresses[0]).close()
        go_on.set()
        assert read_all(client) == b"answer to question\n"
        closing.join()


@pytest.mark.parametrize("grace", [0, 0.2])
def test_stops_within_grace(engine_name, grace):
    """It stops within grace and half a second whatever the handlers do."""
    handler = Stubborn()
    server = serve(handler, ANY, engine=engine_name).open()
    guests = [call(server.addresses[0]) for _ in range(3)]
    for _ in guests:
        assert handler.begun.acquire(timeout=PATIENCE)
    began = time.monotonic()
    server.close(grace=grace)
    took = time.monotonic() - began
    handler.free.set()
    for guest in guests:
        with contextlib.suppress(ConnectionResetError):
            assert guest.recv(1) == b""
        guest.close()
    assert grace <= took + 0.01
    assert took < grace + 0.5 + SLOW


def test_cancelled_handlers_clean_up(engine_name):
    """Handlers that are cancelled clean up."""
    cleaned = threading.Event()
    begun = threading.Event()

    async def handler(connection):
        try:
            begun.set()
            await connection.engine.sleep(1000)
        finally:
            cleaned.set()

    with serve(handler, ANY, engine=engine_name) as server, call(server.addresses[0]):
        assert begun.wait(PATIENCE)
        server.close(grace=0)
    assert cleaned.wait(PATIENCE)


def test_one_end_event_when_cut(engine_name):
    """Each conversation ends once also when it is cut."""
    recorder = Recorder()

    async def handler(connection):
        await connection.send("begun")
        await connection.engine.sleep(1000)

    with serve(handler, ANY, framing="lines", engine=engine_name, observer=recorder) as server:
        guests = [call(server.addresses[0]) for _ in range(3)]
        for guest in guests:
            assert guest.recv(100) == b"begun\n"
        server.close(grace=0)
        for guest in guests:
            guest.close()
    assert list(lives(recorder).values()) == [["Accepted", "Closed"]] * 3


def test_second_close_harmless_third_hurries(engine_name):
    """A second close is harmless and a third from elsewhere hurries."""
    with serve(echo, ANY, framing="lines", engine=engine_name) as server:
        with call(server.addresses[0]) as guest:
            guest.sendall(b"half a mess")  # it is in the midst of something: not idle
            while not server.statistics().active_count:
                pass
            slow = threading.Thread(target=server.close, kwargs={"grace": 30})
            slow.start()
            began = time.monotonic()
            server.close(grace=0)
            slow.join(PATIENCE)
            assert not slow.is_alive()
            assert time.monotonic() - began < 10
        server.close()


def test_verbs_after_close_raise(engine_name):
    """After the end its verbs say that it is over."""
    server = serve(echo, ANY, engine=engine_name).open()
    server.close()
    with pytest.raises(ClosedError, match="the server was closed: make a new one"):
        server.resume()
    server.suspend()
    server.wait_idle(timeout=1)
    server.close()
    assert server.statistics().active_count == 0
    assert "closed" in repr(server)


def test_handler_waiting_for_itself_refused(engine_name):
    """A handler that would wait for its own thread is reported so."""
    if engine_name == "blocking":
        pytest.skip("each handler has a thread of its own")
    servers = []

    async def handler(connection):
        for verb in (servers[0].close, servers[0].suspend, servers[0].wait_idle):
            with pytest.raises(BusyError, match="ask it from another one"):
                verb()
        await connection.send("told")

    with serve(handler, ANY, framing="lines", engine=engine_name) as server:
        servers.append(server)
        with call(server.addresses[0]) as client:
            assert read_all(client) == b"told\n"


def test_async_with_uses_running_engine(engine):
    """Async with serves in the engine that runs."""
    if engine.blocks:
        pytest.skip("a plain program opens it by `with`")

    async def main():
        async with serve(echo, ANY, framing="lines", engine=engine) as server:
            async with connect(server.addresses[0], framing="lines", engine=engine) as client:
                await client.send("hello")
                assert await client.receive() == "hello"
                await client.send_eof()
                with pytest.raises(EndOfStream):
                    await client.receive()
            await server.wait_idle(timeout=PATIENCE)
            assert repr(server).startswith(f"<Server {server.addresses[0]}, open, 0 conversations")
            server.suspend()
            assert "suspended" in repr(server)
            await server.resume()
        with pytest.raises(ClosedError):
            await server.resume()
        await server.close()

    engine.run(main())


def test_close_inside_engine_is_bounded(engine):
    """Close inside the engine is bounded too."""
    if engine.blocks:
        pytest.skip("a plain program opens it by `with`")
    handler = Stubborn()

    async def main():
        server = await serve(handler, ANY, engine=engine)
        with call(server.addresses[0]):
            await engine.run_in_thread(lambda: handler.begun.acquire(timeout=PATIENCE))
            began = engine.now()
            await server.close(grace=0.1)
            took = engine.now() - began
            handler.free.set()
        assert took < 0.1 + 0.5 + SLOW

    engine.run(main())


def test_cancelled_block_skips_draining():
    """A cancelled block does not wait for its clients."""
    asyncio.run(_cancelled_block())


async def _cancelled_block():
    loop = asyncio.get_running_loop()

    async def sleeper(connection):
        await asyncio.sleep(1000)

    began = loop.time()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            async with serve(sleeper, ANY, grace=30) as server:
                with call(server.addresses[0]):
                    await asyncio.sleep(30)
    assert loop.time() - began < 2


def test_bad_handler_or_engine_refused():
    """What is no handler or no engine for it is refused."""
    with pytest.raises(TypeError, match="the handler must be a function of one connection, not int"):
        serve(5, ANY)
    with pytest.raises(OptionError, match="a plain function needs threads"):
        serve(lambda connection: None, ANY, engine="epoll")
    with pytest.raises(OptionError, match="engine=nonsense"):
        serve(echo, ANY, engine="nonsense").open()


@pytest.mark.parametrize("how", ["lost", "ended"])
def test_lost_upstream_resets_the_client(engine, how):
    """A handler that an error of another connection ends: its client gets a reset, and no answer that looks whole."""

    async def upstream(connection):
        await connection.receive()
        await connection.send("half")
        await connection.flush()
        await connection.receive()
        if how == "lost":
            connection.abort()

    async def main():
        ends = []
        async with serve(upstream, "tcp://127.0.0.1:0", framing="lines", engine=engine) as origin:

            async def proxy(client):
                async with connect(origin.addresses[0], framing="lines", engine=engine) as source:
                    await source.send(await client.receive())
                    while True:
                        await client.send(await source.receive())
                        await client.flush()
                        await source.send(await client.receive())

            def observe(event):
                if isinstance(event, Closed):
                    ends.append(event.error)

            async with serve(proxy, "tcp://127.0.0.1:0", framing="lines", engine=engine, observer=observe) as server:
                async with connect(server.addresses[0], framing="lines", engine=engine) as client:
                    await client.send("get")
                    assert await client.receive(timeout=PATIENCE) == "half"
                    await client.send("more")
                    with pytest.raises(BrokenError):
                        await client.receive(timeout=PATIENCE)
                await server.wait_idle(timeout=PATIENCE)
                assert server.statistics().failed_count == 0
        assert [type(error) for error in ends] == [BrokenError if how == "lost" else EndOfStream]

    engine.run(main())
