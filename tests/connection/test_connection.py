"""A conversation in messages, on every engine: data first, then the end, then errors; nothing lost, nothing cut."""

from __future__ import annotations

import os
import socket

import pytest

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


# --- receiving ---


def test_messages_come_in_order_whatever_the_packets(run):
    async def main(engine):
        with talk(engine) as (connection, far):
            far.sendall(b"one\ntwo\nthr")
            assert await connection.receive() == "one"
            assert await connection.receive() == "two"
            far.sendall(b"ee\n")
            assert await connection.receive(timeout=20) == "three"

    run(main)


def test_receive_many_gives_all_that_is_there(run):
    async def main(engine):
        with talk(engine) as (connection, far):
            far.sendall(b"one\ntwo\nthree\nfo")
            assert await connection.receive_many() == ["one", "two", "three"]
            far.sendall(b"ur\n")
            assert await connection.receive_many() == ["four"]

    run(main)


def test_wait_message_takes_nothing(run):
    async def main(engine):
        with talk(engine) as (connection, far):
            far.sendall(b"one\n")
            await connection.wait_message()
            await connection.wait_message()
            assert list(connection.incoming) == ["one"]
            assert await connection.receive() == "one"

    run(main)


def test_the_end_comes_after_the_data_stays_and_leaves_our_direction_open(run):
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


def test_iteration_by_lists_gives_every_message_once(run):
    async def main(engine):
        with talk(engine) as (connection, far):
            far.sendall(b"1\n2\n3\n")
            far.shutdown(socket.SHUT_WR)
            batches = [batch async for batch in connection.batches()]
            assert all(batches)
            assert [message for batch in batches for message in batch] == ["1", "2", "3"]

    run(main)


def test_whole_messages_are_received_before_a_reset_is_raised(run):
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


def test_whole_messages_are_received_before_a_framing_error_is_raised(run):
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


def test_a_message_cut_by_the_end_is_an_error_that_carries_it(run):
    async def main(engine):
        with talk(engine, "netstring") as (connection, far):
            far.sendall(b"3:one,9:tw")
            far.shutdown(socket.SHUT_WR)
            assert await connection.receive() == b"one"
            with pytest.raises(TruncatedFrameError) as caught:
                await connection.receive()
            assert caught.value.partial == b"9:tw"

    run(main)


def test_a_deadline_says_what_was_waited_for_and_loses_nothing(run):
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


def test_with_no_time_at_all_what_is_there_already_is_received_or_the_deadline_is_told(run):
    async def main(engine):
        with talk(engine) as (connection, far):
            with pytest.raises(DeadlineError):
                await connection.receive(timeout=0)
            far.sendall(b"one\ntwo\n")
            await connection.wait_message()
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


def test_a_receive_that_is_cancelled_as_its_message_comes_gives_it_or_leaves_it(run):
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


def test_our_side_can_end_the_peers_direction(run):
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


# --- sending ---


def test_messages_of_one_turn_leave_with_one_call(run):
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


def test_a_message_that_was_not_awaited_is_sent_all_the_same(run):
    async def main(engine):
        with talk(engine) as (connection, far):
            connection.send("one")
            connection.send_many(["two", "three"])
            await turns(engine)
            assert far.recv(100) == b"one\ntwo\nthree\n"

    run(main)


def test_what_was_sent_leaves_before_a_receive_waits(run):
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


def test_a_message_that_cannot_be_framed_is_refused_by_its_own_send_and_nothing_is_sent(run):
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


def test_over_the_high_water_mark_a_sender_waits_until_the_peer_has_read(run):
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


def test_a_cancelled_sender_has_sent_its_message_whole(run):
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


def test_frames_of_many_senders_never_interleave(run):
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


def test_a_loss_is_told_to_the_next_sender_and_stays(run):
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


def test_a_reset_behind_a_question_is_heard_though_the_answer_met_it_first(run):
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


def test_whoever_waits_for_room_hears_of_the_loss(run):
    async def main(engine):
        with talk(engine, "chunks", buffer=SMALL, high_water=1000) as (connection, far):

            async def sender():
                await connection.send(bytes(1_000_000))

            sending = Running(engine, sender())
            await until(engine, lambda: connection.statistics().unsent_size > 0)
            reset(far)
            assert isinstance(await sending.outcome(), BrokenError)

    run(main)


def test_flush_waits_until_the_system_has_it_all_or_the_time_is_over(run):
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


# --- ends ---


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
            for verb in (connection.receive, connection.receive_many, connection.wait_message, connection.send_eof):
                with pytest.raises(ClosedError, match=r"^the connection with tcp://.* was closed at this end$"):
                    await verb()
            with pytest.raises(ClosedError):
                connection.send("late")
            with pytest.raises(ClosedError):
                async for _ in connection:
                    pass
            assert connection.is_closed
            assert repr(connection).endswith(", closed>")
            assert read_all(far) == b""

    run(main)


def test_close_sends_what_is_left_and_the_end(run):
    async def main(engine):
        if engine.blocks:
            pytest.skip("where the engine blocks, nothing is left")
        with talk(engine, "chunks", buffer=SMALL) as (connection, far):
            connection.send(bytes(500_000))
            closing = Running(engine, connection.close())
            assert await engine.run_in_thread(lambda: read_all(far)) == bytes(500_000)
            await closing.result()

    run(main)


def test_close_with_unread_bytes_does_not_take_back_our_last_words(run):
    async def main(engine):
        with talk(engine) as (connection, far):
            far.sendall(b"unread\n" * 1000)
            connection.send("goodbye")
            await connection.close()
            assert read_all(far) == b"goodbye\n"

    run(main)


def test_a_peer_that_takes_nothing_is_reset_after_close_timeout_and_the_loss_is_told(run):
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


def test_abort_resets_at_once_and_wakes_whoever_waits(run):
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


def test_a_block_closes_and_its_own_error_goes_on(run):
    async def main(engine):
        with talk(engine) as (connection, far):
            with pytest.raises(ZeroDivisionError):
                async with connection:
                    connection.send("before")
                    raise ZeroDivisionError
            assert connection.is_closed
            assert read_all(far) == b"before\n"

    run(main)


def test_a_cancelled_block_sends_what_goes_at_once_and_lets_go(run):
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


# --- facts ---


def test_the_whole_story_is_told_in_order_with_one_end(run):
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
            number = connection.number
        assert recorder.events == [
            Received(number, b"ping\n"),
            Sent(number, b"pong\n"),
            EndReceived(number),
            Closed(number, 5, 5, None),
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


def test_a_skipped_message_is_told_and_those_around_it_come(run):
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


def test_both_ends_are_addresses_and_the_socket_is_the_real_one(run):
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
