"""Threads that send, and answers of the protocol between their messages."""

from __future__ import annotations

import threading

from socketkit import connect, serve
from socketkit.connection.sending_lock import SendingLock
from socketkit.websocket.frames import BINARY, CLOSE, FIN, PING, PONG, TEXT
from support.websockets import client_of


def test_an_answer_waits_for_the_thread_that_sends_and_is_written_behind() -> None:
    written: list[bytes] = []
    lock = SendingLock(written.append)
    with lock:
        assert not lock.acquire(blocking=False)
        lock.answer(b"one")
        lock.answer(b"two")
        assert written == []
    assert written == [b"one", b"two"]
    lock.answer(b"three")
    assert written == [b"one", b"two", b"three"]
    assert lock.acquire(timeout=20)
    lock.release()


def test_pongs_never_cut_a_frame_whose_peer_does_not_read() -> None:
    """A thread sends more than the system takes while another one receives pings: every frame arrives whole, and the
    receiver does not wait for the sender."""
    payload, count = b"m" * 100_000, 60
    received = threading.Event()

    def handler(connection) -> None:
        def send() -> None:
            for _ in range(count):
                connection.send(payload)

        sender = threading.Thread(target=send)
        sender.start()
        assert connection.receive(timeout=20) == "the peer goes on while nobody reads"
        received.set()
        sender.join(20)
        assert connection.receive(timeout=20) == "end"

    with serve(handler, "ws://127.0.0.1:0", compression="none", send_buffer="16KiB") as server:
        with client_of(server.addresses[0]) as peer:
            for number in range(50):
                peer.send(FIN | PING, b"%d" % number)
            peer.send(FIN | TEXT, b"the peer goes on while nobody reads")
            assert received.wait(20)
            frames = [peer.receive() for _ in range(count + 50)]
            assert sum(frame == (FIN | BINARY, payload) for frame in frames) == count
            assert [pong for first, pong in frames if first == FIN | PONG] == [b"%d" % number for number in range(50)]
            peer.send(FIN | TEXT, b"end")
            assert peer.receive()[0] == FIN | CLOSE


def test_plain_code_on_a_websocket_is_answered_and_closed() -> None:
    with serve(lambda connection: [connection.send(each) for each in connection], "ws://127.0.0.1:0") as server:
        with connect(server.addresses[0]) as connection:
            connection.send("x")
            assert connection.receive(timeout=20) == "x"
