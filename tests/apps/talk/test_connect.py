"""`call`: dial, and converse with whoever answers. How they converse is told in test_conversation."""

from __future__ import annotations

import os
import socket
import threading

import pytest

from socketkit import Address
from socketkit.apps.talk.connect import call
from socketkit.errors import ConnectError, OptionError
from socketkit.streams.pipes import PipeStream
from support.connections import PATIENCE, read_all
from support.streams import descriptor_count


class Person:
    """Someone behind two pipes: `says` is all that is typed; `seen` reads what was shown."""

    def __init__(self, says: bytes) -> None:
        self.asked = 0
        self._source, typing = os.pipe()
        self._reading, self._sink = os.pipe()
        os.write(typing, says)
        os.close(typing)

    def __call__(self, engine) -> PipeStream:
        self.asked += 1
        return PipeStream(engine, self._source, self._sink, peer="a person")

    def seen(self) -> bytes:
        with open(self._reading, "rb") as reading:
            return reading.read()

    def close(self) -> None:
        for descriptor in (self._source, self._reading, self._sink):
            os.close(descriptor)


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


def place(listener: socket.socket) -> Address:
    return Address("tcp", "127.0.0.1", listener.getsockname()[1])


def test_line_is_message_of_url_framing(engine, listener):
    """A line is a message of the framing that the address names."""

    def serve() -> None:
        far, _ = listener.accept()
        far.settimeout(PATIENCE)
        with far:
            assert read_all(far) == b"3:one,3:two,"
            far.sendall(b"5:three,")

    thread = threading.Thread(target=serve)
    thread.start()
    person = Person(b"one\ntwo\n")
    engine.run(call(engine, place(listener).replace(options={"framing": "netstring"}), person))
    thread.join(PATIENCE)
    assert person.seen() == b"three\n"


def test_input_asked_after_connect(engine):
    """The person is asked for when somebody has answered and not before."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        person = Person(b"")
        with pytest.raises(ConnectError):
            engine.run(call(engine, place(closed), person))
    assert person.asked == 0
    person.close()


def test_unknown_framing_before_open(engine, listener):
    """A framing that there is not is reported before anything is opened."""
    person, before = Person(b""), descriptor_count()
    with pytest.raises(OptionError):
        engine.run(call(engine, place(listener), person, framing="morse"))
    assert descriptor_count() <= before
    listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        listener.accept()
    person.close()
