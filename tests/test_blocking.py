"""The same verbs without `await`: every one returns when it is done, from any thread."""

from __future__ import annotations

import inspect
import os
import socket
import threading
from contextlib import ExitStack

import pytest

from socketkit import BlockingConnection, BlockingListener, Connection, Listener, Server, connect, listen, pair, serve
from socketkit.blocking import BlockingServer
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
from support.connections import PATIENCE, call
from support.streams import reset


def in_thread(function):
    """Run it in a thread; the list gets what it returns or raises."""
    outcome: list[object] = []

    def live() -> None:
        try:
            outcome.append(function())
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=live, daemon=True)
    thread.start()
    return thread, outcome


@pytest.mark.parametrize(
    ("plain", "with_await"),
    [(BlockingConnection, Connection), (BlockingListener, Listener), (BlockingServer, Server)],
    ids=["connection", "listener", "server"],
)
def test_the_words_are_the_same(plain, with_await):
    for name, verb in vars(plain).items():
        if name.startswith("_") or not inspect.isfunction(verb) or (plain, name) == (BlockingServer, "open"):
            continue  # a server in a thread is given no descriptors of another process
        theirs = inspect.signature(getattr(with_await, name)).parameters
        assert list(inspect.signature(verb).parameters) == list(theirs), name


def test_send_has_sent_when_it_returns():
    with pair(framing="lines") as (left, right):
        left.send("one")
        left.send_many(["two", "three"])
        assert left.statistics().unsent_size == 0
        left.flush()
        assert right.receive_many() == ["one", "two", "three"]
        right.send("back")
        assert left.receive(timeout=5) == "back"


def test_iteration_and_batches_end_at_eof():
    """Iteration and batches end with the peers direction."""
    with pair(framing="lines") as (left, right):
        left.send_many(["1", "2"])
        left.send_eof()
        assert list(right) == ["1", "2"]
        assert list(right.batches()) == []
        with pytest.raises(EndOfStream):
            right.receive()
        with pytest.raises(EndOfStream):
            right.receive_many()


def test_whole_messages_come_before_a_reset():
    with listen("tcp://127.0.0.1:0", framing="lines") as listener:
        client = call(listener.addresses[0])
        with listener.accept(timeout=PATIENCE) as connection:
            client.sendall(b"one\ntwo\nthr")
            reset(client)
            seen = []
            with pytest.raises(BrokenError):
                for message in connection:
                    seen.append(message)
            assert seen == ["one", "two"]


def test_a_deadline_is_told_and_nothing_lost():
    with pair(framing="lines") as (left, right):
        with pytest.raises(DeadlineError, match=r"no message within 0\.01 s"):
            right.receive(timeout=0.01)
        left.send("late")
        assert right.receive() == "late"


def test_a_framing_error_sends_nothing():
    with pair(framing="lines") as (left, right):
        with pytest.raises(FramingError):
            left.send_many(["good", "b\nad"])
        left.send("fine")
        assert right.receive() == "fine"


def test_second_receiving_thread_is_busy():
    """One thread receives and a second is reported that it is busy."""
    with pair(framing="lines") as (left, right):
        thread, outcome = in_thread(right.receive)
        error = None
        while error is None:  # until the other has begun
            try:
                right.receive(timeout=0)
            except BusyError as busy:
                error = busy
            except DeadlineError:
                pass
        left.send("for the first")
        thread.join(PATIENCE)
        assert outcome == ["for the first"]
        assert "one at a time" in str(error)


def test_thread_frames_do_not_interleave():
    """Frames of many threads never interleave."""
    with pair(framing="lines") as (left, right):
        threads = [
            in_thread(lambda letter=letter: [left.send(letter * 3000) for _ in range(30)])[0] for letter in "abcd"
        ]
        lines = [right.receive(timeout=PATIENCE) for _ in range(120)]
        for thread in threads:
            thread.join(PATIENCE)
    assert sorted(lines) == sorted(letter * 3000 for letter in "abcd" for _ in range(30))


def test_stop_receiving_after_what_has_arrived():
    with pair(framing="lines") as (left, right):
        right.send_many(["a", "b"])
        left.stop_receiving()
        assert list(left) == ["a", "b"]
        left.send("c")
        assert right.receive(timeout=PATIENCE) == "c"


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:0", "udp://127.0.0.1:0", "tcp://localhost:0"])
def test_listener_sockets(address):
    """They are the real ones, one for each address."""
    with listen(address) as listener:
        assert [sock.getsockname()[1] for sock in listener.sockets] == [each.port for each in listener.addresses]
        for sock in listener.sockets:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)


def test_send_while_receiving():
    """One thread sends while another receives."""
    data = os.urandom(1_000_000)
    with pair() as (left, right):

        def copy() -> None:
            for piece in right:
                right.send(piece)
            right.send_eof()

        copying, _ = in_thread(copy)
        sending, _ = in_thread(lambda: (left.send(data), left.send_eof()))
        assert b"".join(left) == data
        sending.join(PATIENCE)
        copying.join(PATIENCE)


@pytest.mark.parametrize("end", ["abort", "close"])
def test_another_thread_can_end_a_receive(end):
    with pair() as (left, _):
        thread, outcome = in_thread(left.receive)
        getattr(left, end)()
        thread.join(PATIENCE)
        assert [type(each) for each in outcome] == [ClosedError]


def test_abort_ends_a_send_that_waits():
    with pair() as (left, _):
        thread, outcome = in_thread(lambda: left.send(bytes(10_000_000)))
        while not left.statistics().unsent_size:
            pass
        left.abort()
        thread.join(PATIENCE)
        assert [type(each) for each in outcome] == [ClosedError]


def test_close_waits_for_sending_thread():
    """A frame is never cut by the end of the stream."""
    with pair() as (left, right):
        sending, outcome = in_thread(lambda: left.send(bytes(3_000_000)))
        while not left.statistics().unsent_size:
            pass
        closing, _ = in_thread(left.close)
        assert sum(map(len, right)) == 3_000_000
        sending.join(PATIENCE)
        closing.join(PATIENCE)
        assert outcome == [None]


@pytest.mark.parametrize("kind", ["pair", "tcp"])
@pytest.mark.parametrize("way", ["close", "exit"])
def test_close_bounded_behind_blocked_send(kind, way):
    """Closing resets the connection after `close_timeout` where another thread's send waits for the peer."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as stack:
        if kind == "pair":
            left, right = pair(close_timeout=0.05).open()
            stack.callback(right.abort)
        else:
            left = connect(f"tcp://127.0.0.1:{listener.getsockname()[1]}", close_timeout=0.05).open()
            stack.enter_context(listener.accept()[0])
        thread, outcome = in_thread(lambda: left.send(bytes(50_000_000)))
        while not left.statistics().unsent_size:
            pass
        with pytest.raises(DeadlineError, match=r"bytes were left unsent, .* within 0\.05 s \(close_timeout\)"):
            left.close() if way == "close" else left.__exit__(None, None, None)
        thread.join(PATIENCE)
        assert [type(each) for each in outcome] == [ClosedError]
        assert left.is_closed
        left.close()


@pytest.mark.parametrize("timeout", ["1ms", 0.001])
def test_timeout_as_text(timeout):
    """A time-out of a verb is taken as options take it, and the error names it in seconds."""
    with pair() as (left, _), pytest.raises(DeadlineError, match=r"no message within 0\.001 s"):
        left.receive(timeout=timeout)
    with listen("tcp://127.0.0.1:0") as listener:
        with pytest.raises(DeadlineError, match=r"no connection within 0\.001 s"):
            listener.accept(timeout=timeout)


@pytest.mark.parametrize("grace", [float("nan"), -1, "soon"])
def test_bad_grace_is_option_error(grace):
    """The server goes on, and can be closed with a right one."""
    with serve(lambda connection: None, "tcp://127.0.0.1:0") as server:
        with pytest.raises(OptionError, match=r"^grace: "):
            server.close(grace=grace)
        server.close(grace="1s")


def test_verbs_bounded_behind_blocked_send():
    """Other verbs raise DeadlineError there, and the connection stays as it is."""
    with pair(close_timeout=0.05) as (left, right):
        thread, outcome = in_thread(lambda: left.send(bytes(3_000_000)))
        while not left.statistics().unsent_size:
            pass
        for verb in (left.send_eof, left.start_tls, lambda: left.reframe("lines")):
            with pytest.raises(DeadlineError, match=r"another thread's send was not done within 0\.05 s"):
                verb()
        size = 0
        while size < 3_000_000:
            size += len(right.receive(timeout=PATIENCE))
        thread.join(PATIENCE)
        assert outcome == [None]


def test_after_close_every_verb_says_so():
    with pair() as (left, right):
        left.close()
        left.close()
        for verb in (left.receive, left.receive_many, left.send_eof, lambda: left.send(b"x"), lambda: list(left)):
            with pytest.raises(ClosedError, match="was closed at this end"):
                verb()
        assert left.is_closed
        assert list(right) == []


def test_facts_are_those_of_the_connection():
    with pair(framing="lines") as (left, right):
        left.send("x")
        right.receive()
        assert right.statistics().received_count == 1
        assert right.number != left.number
        assert isinstance(left.socket, socket.socket)
        assert left.peer_credentials.pid == os.getpid()
        assert not left.server_closing
        assert repr(left).startswith(f"<BlockingConnection {left.number} ")


def test_listener_closed_by_other_thread():
    """A listener accepts one by one and can be closed by another thread."""
    with listen("tcp://127.0.0.1:0", framing="lines") as listener:
        with connect(listener.addresses[0], framing="lines") as client:
            assert listener.pending() == 1
            with listener.accept() as connection:
                client.send("hello")
                assert connection.receive() == "hello"
        with pytest.raises(DeadlineError, match=r"no connection within 0\.01 s"):
            listener.accept(timeout=0.01)
        thread, outcome = in_thread(listener.accept)
        listener.close()
        thread.join(PATIENCE)
        assert [type(each) for each in outcome] == [ClosedError]


def test_failed_server_leaves_no_thread():
    """A server that cannot start says so and leaves no thread."""
    before = threading.active_count()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(ListenError):
            with serve(lambda connection: None, f"tcp://127.0.0.1:{taken.getsockname()[1]}"):
                raise AssertionError("it started")
    assert threading.active_count() == before


def test_error_in_block_closes_server():
    """An error of the block goes on and the server is closed."""
    with pytest.raises(ZeroDivisionError):
        with serve(lambda connection: None, "tcp://127.0.0.1:0") as server:
            (address,) = server.addresses
            raise ZeroDivisionError
    with pytest.raises(ConnectionRefusedError):
        call(address)
