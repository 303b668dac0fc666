"""A conversation in messages, on every engine: data first, then the end, then errors; nothing lost, nothing cut."""

from __future__ import annotations

import os
import socket
import weakref

import pytest

from socketkit.connection.broadcast import broadcast
from socketkit.connection.connection import Connection
from socketkit.errors import (
    BrokenError,
    BusyError,
    ClosedError,
    DeadlineError,
    EndOfStream,
    FramingError,
    TruncatedFrameError,
)
from socketkit.events import Closed, EndReceived, EndSent, FrameSkipped, Received, Sent
from support.connections import read_all, read_exactly, talk
from support.recorder import Recorder
from support.running import FAR, Running, turns, until
from support.streams import reset

SMALL = 4096
"""A socket buffer that is soon full."""


@pytest.fixture
def run(engine):
    """Run a test's conversation on the engine: `run(main)` calls `main(engine)`."""

    def run(main):
        return engine.run(main(engine))

    return run


def test_messages_in_order_any_packets(run):
    """Messages come in order whatever the packets."""

    async def main(engine):
        with talk(engine) as (connection, far):
            far.sendall(b"one\ntwo\nthr")
            assert await connection.receive() == "one"
            assert await connection.receive() == "two"
            far.sendall(b"ee\n")
            assert await connection.receive(timeout=20) == "three"

    run(main)


@pytest.mark.parametrize("verb", ["send", "send_many", "broadcast"])
@pytest.mark.parametrize("is_observed", [False, True])
def test_empty_chunk_is_nothing_and_delays_nothing(run, verb, is_observed):
    """A chunk of no bytes is no message at the other end, and what is sent later leaves as ever."""
    verbs = {
        "send": Connection.send,
        "send_many": lambda connection, data: connection.send_many([data]),
        "broadcast": lambda connection, data: broadcast([connection], data),
    }

    async def main(engine):
        with talk(engine, "chunks", observer=(lambda event: None) if is_observed else None) as (connection, far):
            verbs[verb](connection, b"")
            await turns(engine, 3)
            for data in (b"one", b"two"):
                verbs[verb](connection, data)
                await turns(engine, 3)
                assert read_exactly(far, 3) == data

    run(main)


def test_receive_many_returns_all(run):
    """Receive many gives all that is there."""

    async def main(engine):
        with talk(engine) as (connection, far):
            far.sendall(b"one\ntwo\nthree\nfo")
            assert await connection.receive_many() == ["one", "two", "three"]
            far.sendall(b"ur\n")
            assert await connection.receive_many() == ["four"]

    run(main)


def test_batches_hold_nothing(run):
    """An iteration by lists that waits for the next one holds none of the last."""

    class Message(str):
        """What a weak reference can point to."""

    class Own:
        def encode(self, messages):
            return "".join(messages).encode()

        def feed(self, data):
            return [Message(data.decode())] if data else []

        def feed_eof(self):
            return []

    async def main(engine):
        with talk(engine, Own) as (connection, far):
            seen = []

            async def iterate():
                async for messages in connection.batches():
                    seen.append(weakref.ref(messages[0]))
                    del messages

            iterating = Running(engine, iterate())
            far.sendall(b"one")
            await until(engine, lambda: seen)
            await until(engine, lambda: seen[0]() is None)
            far.close()
            assert await iterating.outcome() is None

    run(main)


def test_wait_message_takes_nothing(run):
    async def main(engine):
        with talk(engine) as (connection, far):
            far.sendall(b"one\n")
            await connection.internals.wait_message()
            await connection.internals.wait_message()
            assert connection.internals.unread_messages() == ["one"]
            assert await connection.receive() == "one"

    run(main)


def test_eof_after_data_is_half_close(run):
    """The end comes after the data stays and leaves our direction open."""

    async def main(engine):
        with talk(engine) as (connection, far):
            far.sendall(b"one\nunterminated")
            far.shutdown(socket.SHUT_WR)
            assert await connection.receive() == "one"
            assert await connection.receive() == "unterminated"
            for _ in range(2):
                with pytest.raises(EndOfStream, match=r"^tcp://127\.0\.0\.1:\d+ has ended the conversation$"):
                    await connection.receive()
            await connection.send("still here")
            await connection.flush()
            assert far.recv(100) == b"still here\n"

    run(main)


def test_iteration_just_ends(run):
    async def main(engine):
        with talk(engine) as (connection, far):
            far.sendall(b"one\ntwo\n")
            far.shutdown(socket.SHUT_WR)
            assert [message async for message in connection] == ["one", "two"]
            assert [message async for message in connection] == []
            assert [batch async for batch in connection.batches()] == []

    run(main)


def test_batches_yield_each_message_once(run):
    """Iteration by lists gives every message once."""

    async def main(engine):
        with talk(engine) as (connection, far):
            far.sendall(b"1\n2\n3\n")
            far.shutdown(socket.SHUT_WR)
            batches = [batch async for batch in connection.batches()]
            assert all(batches)
            assert [message for batch in batches for message in batch] == ["1", "2", "3"]

    run(main)


def test_messages_before_reset(run):
    """Whole messages are received before a reset is raised."""

    async def main(engine):
        with talk(engine) as (connection, far):
            far.sendall(b"one\ntwo\nthr")
            reset(far)
            seen = []
            with pytest.raises(BrokenError, match=r"receiving from tcp://.*: Connection reset by peer \(ECONNRESET\)"):
                async for message in connection:
                    seen.append(message)
            assert seen == ["one", "two"]
            with pytest.raises(BrokenError):
                await connection.receive()

    run(main)


def test_messages_before_framing_error(run):
    """Whole messages are received before a framing error is raised."""

    async def main(engine):
        with talk(engine, "netstring") as (connection, far):
            far.sendall(b"3:one,3:two,nonsense")
            assert await connection.receive() == b"one"
            assert await connection.receive() == b"two"
            for _ in range(2):
                with pytest.raises(FramingError) as caught:
                    await connection.receive()
                assert caught.value.offset == 12
            await connection.send(b"pardon?")
            await connection.flush()
            assert far.recv(100) == b"7:pardon?,"

    run(main)


def test_truncated_message_in_error(run):
    """A message cut by the end is an error that carries it."""

    async def main(engine):
        with talk(engine, "netstring") as (connection, far):
            far.sendall(b"3:one,9:tw")
            far.shutdown(socket.SHUT_WR)
            assert await connection.receive() == b"one"
            with pytest.raises(TruncatedFrameError) as caught:
                await connection.receive()
            assert caught.value.partial == b"9:tw"

    run(main)


def test_deadline_names_wait_and_loses_nothing(run):
    """A deadline says what was waited for and loses nothing."""

    async def main(engine):
        with talk(engine) as (connection, far):
            far.sendall(b"ha")
            with pytest.raises(
                DeadlineError, match=r"^receiving from tcp://127\.0\.0\.1:\d+: no message within 0\.02 s$"
            ):
                await connection.receive(timeout=0.02)
            far.sendall(b"lf\n")
            assert await connection.receive(timeout=20) == "half"

    run(main)


def test_zero_timeout_returns_buffered(run):
    """With no time at all what is there already is received or the deadline is reported."""

    async def main(engine):
        with talk(engine) as (connection, far):
            with pytest.raises(DeadlineError):
                await connection.receive(timeout=0)
            far.sendall(b"one\ntwo\n")
            await connection.internals.wait_message()
            assert await connection.receive(timeout=0) == "one"
            assert await connection.receive_many(timeout=0) == ["two"]

    run(main)


def test_a_cancelled_receive_loses_nothing(run):
    async def main(engine):
        with talk(engine) as (connection, far):
            far.sendall(b"ha")
            receiving = Running(engine, connection.receive())
            await until(engine, lambda: connection.statistics().received_size == 2)
            receiving.cancel()
            assert isinstance(await receiving.outcome(), engine.cancelled)
            far.sendall(b"lf\n")
            assert await connection.receive() == "half"

    run(main)


def test_cancelled_receive_keeps_message(run):
    """A receive that is cancelled as its message comes gives it or leaves it."""

    async def main(engine):
        with talk(engine) as (connection, far):
            for number in range(20):
                receiving = Running(engine, connection.receive())
                await turns(engine, number % 4)
                far.sendall(b"%d\n" % number)
                await turns(engine, number % 3)
                receiving.cancel()
                outcome = await receiving.outcome()
                if isinstance(outcome, engine.cancelled):
                    outcome = await connection.receive()
                assert outcome == str(number)

    run(main)


def test_one_receives_at_a_time(run):
    async def main(engine):
        with talk(engine) as (connection, far):
            first = Running(engine, connection.receive())
            await until(engine, lambda: connection.is_idle)
            with pytest.raises(
                BusyError, match=r"^another task already receives from tcp://127\.0\.0\.1:\d+: one at a time$"
            ):
                await connection.receive()
            far.sendall(b"for the first\n")
            assert await first.result() == "for the first"
            far.sendall(b"for whoever comes\n")
            assert await connection.receive() == "for whoever comes"

    run(main)


def test_stop_receiving_ends_iteration(run):
    """Our side can end the peers direction."""

    async def main(engine):
        with talk(engine) as (connection, far):
            far.sendall(b"one\n")
            assert await connection.receive() == "one"
            receiving = Running(engine, connection.receive())
            await until(engine, lambda: connection.is_idle)
            connection.stop_receiving()
            assert isinstance(await receiving.outcome(), EndOfStream)
            await connection.send("goodbye")
            await connection.close()
            assert far.recv(100) == b"goodbye\n"

    run(main)


def test_one_turn_one_system_call(run):
    """Messages of one turn leave with one call."""

    async def main(engine):
        recorder = Recorder()
        with talk(engine, observer=recorder) as (connection, far):
            for number in range(100):
                await connection.send(str(number))
            await connection.send_many([])
            await connection.flush()
            assert read_exactly(far, 290) == b"".join(b"%d\n" % number for number in range(100))
            assert len(recorder.of(Sent)) == (100 if engine.blocks else 1)

    run(main)


def test_unawaited_send_is_sent(run):
    """A message that was not awaited is sent all the same."""

    async def main(engine):
        with talk(engine) as (connection, far):
            connection.send("one")
            connection.send_many(["two", "three"])
            await turns(engine)
            assert far.recv(100) == b"one\ntwo\nthree\n"

    run(main)


def test_send_leaves_before_receive_waits(run):
    """What was sent leaves before a receive waits."""

    async def main(engine):
        with talk(engine) as (connection, far):
            connection.send("question")
            receiving = Running(engine, connection.receive())
            await until(engine, lambda: connection.is_idle)
            far.settimeout(0)
            assert far.recv(100) == b"question\n"
            far.sendall(b"answer\n")
            assert await receiving.result() == "answer"

    run(main)


def test_unencodable_message_refused_alone(run):
    """A message that cannot be framed is refused by its own send and nothing is sent."""

    async def main(engine):
        with talk(engine) as (connection, far):
            with pytest.raises(FramingError):
                connection.send("two\nlines")
            with pytest.raises(TypeError):
                connection.send(b"bytes")
            with pytest.raises(FramingError):
                connection.send_many(["good", "two\nlines"])
            await connection.send("fine")
            await connection.close()
            assert read_all(far) == b"fine\n"
            assert connection.statistics().sent_count == 1

    run(main)


def test_high_water_blocks_sender(run):
    """Over the high water mark a sender waits until the peer has read."""

    async def main(engine):
        with talk(engine, "chunks", buffer=SMALL, high_water=10_000) as (connection, far):
            data = os.urandom(400_000)

            async def sender():
                for start in range(0, len(data), 8000):
                    await connection.send(data[start : start + 8000])
                await connection.close()

            sending = Running(engine, sender())
            await until(engine, lambda: connection.statistics().unsent_size > 0)
            for _ in range(5):
                await turns(engine)
                assert connection.statistics().unsent_size < 10_000 + 8000
            assert not sending.has_ended
            assert await engine.run_in_thread(lambda: read_all(far)) == data
            await sending.result()

    run(main)


def test_cancelled_send_is_whole(run):
    """A cancelled sender has sent its message whole."""

    async def main(engine):
        if engine.blocks:
            pytest.skip("where the engine blocks, sending ends before it can be cancelled: see the next test")
        with talk(engine, "chunks", buffer=SMALL, high_water=1000) as (connection, far):
            data = os.urandom(300_000)

            async def sender():
                await connection.send(data)

            sending = Running(engine, sender())
            await until(engine, lambda: connection.statistics().unsent_size > 0)
            sending.cancel()
            assert isinstance(await sending.outcome(), engine.cancelled)
            connection.send(b"the next")
            closing = Running(engine, connection.close())
            assert await engine.run_in_thread(lambda: read_all(far)) == data + b"the next"
            await closing.result()

    run(main)


def test_concurrent_frames_do_not_interleave(run):
    """Frames of many senders never interleave."""

    async def main(engine):
        if engine.blocks:
            pytest.skip("threads share a BlockingConnection, which has a lock: see test_blocking")
        with talk(engine, "lines", buffer=SMALL, high_water=5000) as (connection, far):

            async def sender(letter):
                for _ in range(30):
                    await connection.send(letter * 2000)

            senders = [Running(engine, sender(letter)) for letter in "abcdef"]
            reading = Running(engine, engine.run_in_thread(lambda: read_exactly(far, 6 * 30 * 2001)))
            for each in senders:
                await each.result()
            lines = (await reading.result()).decode().splitlines()
            assert sorted(lines) == sorted(letter * 2000 for letter in "abcdef" for _ in range(30))

    run(main)


def test_loss_is_raised_by_next_send(run):
    """A loss is reported to the next sender and stays."""

    async def main(engine):
        with talk(engine) as (connection, far):
            reset(far)
            with pytest.raises(BrokenError):
                while True:
                    await connection.send("anybody?")
                    await connection.flush()
            with pytest.raises(BrokenError, match=r"^sending to tcp://127\.0\.0\.1:\d+: "):
                connection.send("hello?")
            await connection.close()  # it was told

    run(main)


def test_reset_found_while_sending_is_received(run):
    """The answer leaves at the end of the turn, and is refused then; that must not be the last that is heard."""

    async def main(engine):
        with talk(engine, "chunks") as (connection, far):

            async def answer():
                await connection.receive()
                await connection.send(b"answer")
                while True:
                    await connection.receive(timeout=FAR)

            answering = Running(engine, answer())
            await turns(engine)
            far.sendall(b"question")
            reset(far)
            assert isinstance(await answering.outcome(), BrokenError)

    run(main)


def test_drain_waiter_gets_the_loss(run):
    """Whatever waits for space receives of the loss."""

    async def main(engine):
        with talk(engine, "chunks", buffer=SMALL, high_water=1000) as (connection, far):

            async def sender():
                await connection.send(bytes(1_000_000))

            sending = Running(engine, sender())
            await until(engine, lambda: connection.statistics().unsent_size > 0)
            reset(far)
            assert isinstance(await sending.outcome(), BrokenError)

    run(main)


def test_flush_waits_or_deadline(run):
    """Flush waits until the system has it all or the time is over."""

    async def main(engine):
        if engine.blocks:
            pytest.skip("where the engine blocks, `send` has flushed")
        with talk(engine, "chunks", buffer=SMALL) as (connection, far):
            connection.send(bytes(300_000))
            with pytest.raises(DeadlineError):
                await connection.flush(timeout=0.02)
            reading = Running(engine, engine.run_in_thread(lambda: read_exactly(far, 300_000)))
            await connection.flush(timeout=20)
            assert connection.statistics().unsent_size == 0
            assert await reading.result() == bytes(300_000)

    run(main)


def test_send_eof_ends_our_direction_alone(run):
    async def main(engine):
        recorder = Recorder()
        with talk(engine, observer=recorder) as (connection, far):
            connection.send("last words")
            await connection.send_eof()
            assert read_all(far) == b"last words\n"
            with pytest.raises(ClosedError, match=r"^sending to tcp://.*: our direction was ended by send_eof$"):
                connection.send("more")
            far.sendall(b"an answer\n")
            assert await connection.receive() == "an answer"
            await connection.send_eof()
            assert len(recorder.of(EndSent)) == 1

    run(main)


def test_after_close_every_verb_says_so(run):
    async def main(engine):
        with talk(engine) as (connection, far):
            far.sendall(b"one\ntwo\n")
            assert await connection.receive() == "one"
            await connection.close()
            await connection.close()
            for verb in (
                connection.receive,
                connection.receive_many,
                connection.internals.wait_message,
                connection.send_eof,
                connection.flush,
                connection.start_tls,
            ):
                with pytest.raises(ClosedError, match=r"^the connection with tcp://.* was closed at this end$"):
                    await verb()
            for call in (
                lambda: connection.send("late"),
                lambda: connection.send_many(["late"]),
                lambda: connection.reframe("chunks"),
            ):
                with pytest.raises(ClosedError, match="was closed at this end"):
                    call()
            with pytest.raises(ClosedError):
                async for _ in connection:
                    pass
            assert connection.is_closed
            assert repr(connection).endswith(", closed>")
            assert read_all(far) == b""

    run(main)


@pytest.mark.parametrize("end", ["close", "abort"])
def test_own_close_outlasts_a_loss(run, end):
    """After a loss and our own close every verb raises ClosedError, and no more the loss."""

    async def main(engine):
        with talk(engine, "chunks") as (connection, far):
            reset(far)
            with pytest.raises(BrokenError):
                while True:
                    await connection.send(b"x")
                    await connection.flush()
            with pytest.raises(BrokenError):
                connection.send(b"x")
            if end == "close":
                await connection.close()
            else:
                connection.abort()
            for call in (lambda: connection.send(b"x"), lambda: connection.send_many([b"x"])):
                with pytest.raises(ClosedError, match="was closed at this end"):
                    call()
            for verb in (connection.receive, connection.flush, connection.send_eof):
                with pytest.raises(ClosedError, match="was closed at this end"):
                    await verb()

    run(main)


def test_internals_are_not_listed(run):
    """`dir` of a connection lists what handlers use."""

    async def main(engine):
        with talk(engine) as (connection, _):
            listed = {name for name in dir(connection) if not name.startswith("_")}
            assert {"send", "receive", "peer", "engine", "server_closing"} <= listed
            assert not listed & {"internals", "stream", "session", "counts", "incoming", "receiver", "set_cause"}

    run(main)


def test_close_sends_rest_and_eof(run):
    """Close sends what is left and the end."""

    async def main(engine):
        if engine.blocks:
            pytest.skip("where the engine blocks, nothing is left")
        with talk(engine, "chunks", buffer=SMALL) as (connection, far):
            connection.send(bytes(500_000))
            closing = Running(engine, connection.close())
            assert await engine.run_in_thread(lambda: read_all(far)) == bytes(500_000)
            await closing.result()

    run(main)


def test_close_with_unread_bytes_sends_all(run):
    """Close with unread bytes does not take back our last words."""

    async def main(engine):
        with talk(engine) as (connection, far):
            far.sendall(b"unread\n" * 1000)
            connection.send("goodbye")
            await connection.close()
            assert read_all(far) == b"goodbye\n"

    run(main)


def test_stalled_peer_reset_at_close_timeout(run):
    """A peer that takes nothing is reset after close timeout and the loss is reported."""

    async def main(engine):
        if engine.blocks:
            pytest.skip("where the engine blocks, nothing is left to be sent at the close")
        recorder = Recorder()
        with talk(engine, "chunks", buffer=SMALL, close_timeout=0.1, observer=recorder) as (connection, far):
            connection.send(bytes(500_000))
            began = engine.now()
            with pytest.raises(
                DeadlineError, match=r"\d+ bytes were left unsent, because it did not take them within 0\.1 s"
            ):
                await connection.close()
            assert 0.09 <= engine.now() - began < 5
            (closed,) = recorder.of(Closed)
            assert isinstance(closed.error, DeadlineError)
            with pytest.raises(ConnectionResetError):
                await engine.run_in_thread(lambda: read_all(far))

    run(main)


def test_abort_resets_and_wakes_waiters(run):
    """Abort resets at once and wakes whatever waits."""

    async def main(engine):
        with talk(engine) as (connection, far):
            receiving = Running(engine, connection.receive())
            await until(engine, lambda: connection.is_idle)
            connection.abort()
            connection.abort()
            assert isinstance(await receiving.outcome(), ClosedError)
            with pytest.raises(ConnectionResetError):
                read_all(far)

    run(main)


def test_closing_wakes_whoever_receives(run):
    async def main(engine):
        with talk(engine) as (connection, far):
            receiving = Running(engine, connection.receive())
            await until(engine, lambda: connection.is_idle)
            await connection.close()
            assert isinstance(await receiving.outcome(), ClosedError)
            assert read_all(far) == b""

    run(main)


def test_with_block_closes_and_reraises(run):
    """A block closes and its own error goes on."""

    async def main(engine):
        with talk(engine) as (connection, far):
            with pytest.raises(ZeroDivisionError):
                async with connection:
                    connection.send("before")
                    raise ZeroDivisionError
            assert connection.is_closed
            assert read_all(far) == b"before\n"

    run(main)


def test_cancelled_block_sends_what_fits(run):
    """A cancelled block sends what goes at once and lets go."""

    async def main(engine):
        with talk(engine) as (connection, far):

            async def block():
                async with connection:
                    connection.send("before")
                    await connection.receive()

            running = Running(engine, block())
            await until(engine, lambda: connection.is_idle)
            running.cancel()
            assert isinstance(await running.outcome(), engine.cancelled)
            assert connection.is_closed
            assert read_all(far) == b"before\n"

    run(main)


def test_events_in_order_one_end(run):
    """The whole story is reported in order with one end."""

    async def main(engine):
        recorder = Recorder()
        with talk(engine, observer=recorder) as (connection, far):
            far.sendall(b"ping\n")
            assert await connection.receive() == "ping"
            await connection.send("pong")
            far.shutdown(socket.SHUT_WR)
            with pytest.raises(EndOfStream):
                await connection.receive()
            await connection.close()
            connection.abort()
            number, local, peer = connection.number, str(connection.local), str(connection.peer)
        seconds = recorder.events[-1].seconds
        assert recorder.events == [
            Received(number, b"ping\n"),
            Sent(number, b"pong\n"),
            EndReceived(number),
            Closed(number, 5, 5, None, local, peer, seconds, 1, 1, "peer"),
        ]

    run(main)


def test_the_end_event_says_what_ended_it(run):
    async def main(engine):
        recorder = Recorder()
        with talk(engine, observer=recorder) as (connection, far):
            reset(far)
            with pytest.raises(BrokenError) as caught:
                await connection.receive()
            await connection.close()
        assert recorder.names() == ["Closed"]
        assert recorder.events[0].error.errno == caught.value.errno

    run(main)


def test_skipped_message_event(run):
    """A skipped message is reported and those around it come."""

    async def main(engine):
        recorder = Recorder()
        with talk(engine, "lines:max_size=5,oversize=skip", observer=recorder) as (connection, far):
            far.sendall(b"one\nmuch too long\ntwo\n")
            assert [await connection.receive(), await connection.receive()] == ["one", "two"]
            (skipped,) = recorder.of(FrameSkipped)
            assert (skipped.error.size, skipped.error.max_size) == (13, 5)

    run(main)


def test_statistics_count_both_directions(run):
    async def main(engine):
        with talk(engine) as (connection, far):
            far.sendall(b"one\ntwo\nth")
            await connection.receive()
            await connection.send("four")
            await connection.flush()
            facts = connection.statistics()
            assert (facts.received_size, facts.received_count, facts.waiting_count) == (10, 2, 1)
            assert (facts.sent_size, facts.sent_count, facts.unsent_size) == (5, 1, 0)

    run(main)


def test_local_peer_and_socket(run):
    """Both ends are addresses and the socket is the real one."""

    async def main(engine):
        with talk(engine) as (connection, far):
            assert str(connection.peer) == f"tcp://127.0.0.1:{far.getsockname()[1]}"
            assert str(connection.local) == f"tcp://127.0.0.1:{far.getpeername()[1]}"
            assert connection.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert connection.socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert connection.peer_credentials is None
            assert repr(connection) == (
                f"<Connection {connection.number} {connection.local} - {connection.peer}, open>"
            )

    run(main)


@pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED"), reason="peer credentials are asked of Linux here")
def test_a_peer_on_this_machine_is_known(run):
    async def main(engine):
        with talk(engine, kind="socketpair") as (connection, _):
            assert connection.peer_credentials.pid == os.getpid()
            assert connection.peer_credentials.uid == os.getuid()
            await connection.close()
            assert connection.peer_credentials is None

    run(main)
