"""On the blocking engine a plain thread waits in `recv` itself, and loses nothing by it."""

from __future__ import annotations

import socket
import struct
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from socketkit import BrokenError, ClosedError, DeadlineError, EndOfStream, engines, pair
from socketkit.blocking import BlockingConnection
from socketkit.config.options import Options
from socketkit.streams.blocking_socket_stream import BlockingSocketStream
from socketkit.streams.from_socket import stream_from_socket
from socketkit.streams.socket_stream import USUAL_SIZE
from support.streams import tcp4_sockets


def ends() -> tuple[BlockingConnection, BlockingConnection]:
    left, right = pair(framing="lines", engine="blocking").open()
    return left, right


def received(connection: BlockingConnection) -> list[object]:
    """What a thread gets that receives while others are at the same connection."""
    got: list[object] = []
    try:
        got.append(connection.receive())
    except Exception as error:
        got.append(type(error))
    return got


def test_reset_found_by_sender_is_received() -> None:
    """The system tells a reset once; the next `recv`, in whatever thread, reads an end."""
    near, far = tcp4_sockets()
    told, seen = threading.Event(), threading.Event()

    def send(data: bytes) -> int:
        try:
            return near.send(data)
        except ConnectionResetError:
            told.set()
            assert seen.wait(20)  # this thread comes round to noting it later
            raise

    def receive(size: int) -> bytes:
        data = near.recv(size)
        seen.set()
        return data

    near.setblocking(False)
    stream = stream_from_socket(engines.make("blocking"), near, Options.make({}))
    assert isinstance(stream, BlockingSocketStream)
    stream.call_by(send, receive)
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    far.close()
    with ThreadPoolExecutor(1) as other:
        sending = other.submit(stream.send_now, b"data")
        assert told.wait(20)
        with pytest.raises(BrokenError):
            stream.receive_now()
        with pytest.raises(BrokenError):
            sending.result()
    stream.close()


def test_nowait_send_after_blocking_call() -> None:
    """After a call that blocked sending still takes only what there is space for."""
    left, right = ends()
    with left, right:
        left.send("first")
        assert right.receive() == "first"  # from here on its descriptor blocks
        assert right.socket.gettimeout() is None
        stream = right._connection.internals.stream
        while stream.send_now(bytes(65536)):
            pass  # a call that blocked would not come back: nobody reads
        right.abort()


def test_deadline_after_blocking_call() -> None:
    """A deadline holds after a call that blocked."""
    left, right = ends()
    with left, right:
        left.send("first")
        assert right.receive() == "first"
        with pytest.raises(DeadlineError):
            right.receive(timeout=0.01)
        left.send("second")
        assert right.receive(timeout=10) == "second"


@pytest.mark.parametrize("close", ["close", "abort"])
def test_close_wakes_receiving_thread(close: str) -> None:
    """Closing wakes the thread that receives."""
    left, right = ends()
    with left:
        got: list[object] = []
        thread = threading.Thread(target=lambda: got.extend(received(right)))
        thread.start()
        while not right._connection.internals.receiver.is_busy:
            pass  # it is about to wait, or waits
        getattr(right, close)()
        thread.join(10)
        assert got == [ClosedError]


def test_close_does_not_wait_for_silent_peer() -> None:
    """Closing does not wait for a peer that says nothing."""
    left, right = ends()
    with left:
        left.send("first")
        assert right.receive() == "first"
        right.close()
        with pytest.raises(EndOfStream):
            left.receive()


def test_large_receive_does_not_block_twice() -> None:
    """More than one call brings is received without blocking behind it."""
    left, right = ends()
    with left, right:
        left.send("x" * (USUAL_SIZE - 1))  # with its end exactly what one call asks for: there may be more, or not
        assert right.receive() == "x" * (USUAL_SIZE - 1)
        left.send("y")
        assert right.receive() == "y"
        assert right.socket.type == socket.SOCK_STREAM
