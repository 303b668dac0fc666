"""`answer`: listen, and converse with the first caller, or with one after another."""

from __future__ import annotations

import os
import socket
import threading

import pytest

from socketkit import Address
from socketkit.apps.talk.listen import answer
from socketkit.errors import BrokenError, ListenError, OptionError
from socketkit.streams.pipes import PipeStream
from support.connections import PATIENCE, call, read_all
from support.streams import reset

ANY = Address.parse("tcp://127.0.0.1:0")


class Host:
    """Someone who says the same to each caller; what was shown is in `seen`."""

    def __init__(self, says: bytes = b"welcome\n") -> None:
        self._says = says
        self._readers: list[threading.Thread] = []
        self._parts: list[bytes] = []

    def __call__(self, engine) -> PipeStream:
        source, typing = os.pipe()
        reading, sink = os.pipe()
        os.write(typing, self._says)
        os.close(typing)

        def read() -> None:
            with open(reading, "rb") as shown:
                self._parts.append(shown.read())

        self._readers.append(threading.Thread(target=read))
        self._readers[-1].start()
        return PipeStream(engine, source, sink, peer="a person")

    def seen(self) -> list[bytes]:
        for reader in self._readers:
            reader.join(PATIENCE)
        return self._parts


def meanwhile(part) -> tuple[threading.Thread, object]:
    """A thread that plays its part when the address is known, and `listening` that tells it."""
    known: list[Address] = []
    ready = threading.Event()

    def listening(addresses: tuple[Address, ...]) -> None:
        known.extend(addresses)
        ready.set()

    def live() -> None:
        assert ready.wait(PATIENCE)
        part(known[0])

    thread = threading.Thread(target=live)
    thread.start()
    return thread, listening


def test_the_first_caller_alone(engine):
    heard = []

    def part(address: Address) -> None:
        with call(address) as caller:
            caller.sendall(b"hello\n")
            heard.append(read_all(caller))
            with pytest.raises(ConnectionRefusedError):
                call(address)

    thread, listening = meanwhile(part)
    host = Host()
    engine.run(answer(engine, ANY, host, listening=listening))
    thread.join(PATIENCE)
    assert heard == [b"welcome\n"]
    assert host.seen() == [b"hello\n"]


def test_keep_reports_loss_serves_next(engine):
    """With keep a lost client is reported and the next one served."""
    lost, heard = [], []

    def part(address: Address) -> None:
        with call(address) as unlucky:
            assert unlucky.recv(100) == b"welcome\n"
            reset(unlucky)
        for _ in range(2):
            with call(address) as caller:
                caller.shutdown(socket.SHUT_WR)
                heard.append(read_all(caller))
        enough.set()

    enough = threading.Event()
    thread, listening = meanwhile(part)
    host = Host()

    async def main():
        from support.running import Running

        serving = Running(
            engine,
            answer(engine, ANY, host, keep=True, listening=listening, lost=lost.append),
        )
        await engine.run_in_thread(lambda: enough.wait(PATIENCE))
        serving.cancel()
        assert isinstance(await serving.outcome(), engine.cancelled)

    engine.run(main())
    thread.join(PATIENCE)
    assert [type(error) for error in lost] == [BrokenError]
    assert heard == [b"welcome\n"] * 2
    host.seen()


def test_bad_options_before_listening(engine):
    """What cannot be is reported before anybody can come."""
    with pytest.raises(OptionError):
        engine.run(answer(engine, ANY, Host(), framing="morse", listening=lambda addresses: pytest.fail("it listens")))


def test_address_in_use(engine):
    """Where somebody else listens one cannot."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        with pytest.raises(ListenError):
            engine.run(answer(engine, ANY.with_port(other.getsockname()[1]), Host()))
