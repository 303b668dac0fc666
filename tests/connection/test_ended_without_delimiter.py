"""Whether the last message had its delimiter: in plain and in async code, for every framing that has one."""

from __future__ import annotations

import socket

import pytest

from socketkit import connect, listen
from socketkit.engines.engine import Engine
from socketkit.errors import EndOfStream
from support.connections import call

FAR = 20
DELIMITED = [
    ("lines", b"one\ntwo", ["one", "two"]),
    ("lines:crlf=yes", b"one\r\ntwo", ["one", "two"]),
    (r"delimited:\0", b"one\0two", [b"one", b"two"]),
    (r"delimited:\r\n", b"one\r\ntwo\r", [b"one", b"two\r"]),
    (r"delimited:\r\n,\n", b"one\ntwo\r", [b"one", b"two\r"]),
    ("json", b'{"a": 1}\n[2]', [{"a": 1}, [2]]),
]


def ended(framing: str, data: bytes) -> tuple[list[object], bool]:
    with listen("tcp://127.0.0.1:0", framing=framing) as listener:
        with call(listener.addresses[0]) as sock:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            with listener.accept(timeout=FAR) as connection:
                assert not connection.ended_without_delimiter
                return list(connection), connection.ended_without_delimiter


@pytest.mark.parametrize(("framing", "data", "messages"), DELIMITED)
def test_last_message_without_delimiter(framing: str, data: bytes, messages: list[object]) -> None:
    assert ended(framing, data) == (messages, True)


@pytest.mark.parametrize(
    ("framing", "data", "messages"),
    [
        ("lines", b"one\ntwo\n", ["one", "two"]),
        ("lines:crlf=yes", b"one\r\ntwo\r\n", ["one", "two"]),
        (r"delimited:\0", b"one\0two\0", [b"one", b"two"]),
        (r"delimited:\r\n", b"one\r\ntwo\r\n", [b"one", b"two"]),
        (r"delimited:\r\n,\r", b"one\r\ntwo\r", [b"one", b"two"]),
        ("json", b'{"a": 1}\n[2]\n', [{"a": 1}, [2]]),
        ("lines", b"", []),
        ("length:1", b"\1a", [b"a"]),
        ("fixed:2", b"ab", [b"ab"]),
        ("netstring", b"1:a,", [b"a"]),
        ("chunks", b"ab", [b"ab"]),
    ],
)
def test_last_message_is_whole(framing: str, data: bytes, messages: list[object]) -> None:
    assert ended(framing, data) == (messages, False)


def test_known_on_every_engine(engine: Engine) -> None:
    """Also where messages and bytes alternate, so that they are decoded on demand."""

    async def main() -> None:
        async with listen("tcp://127.0.0.1:0", framing="lines", engine=engine) as listener:
            with call(listener.addresses[0]) as sock:
                sock.sendall(b"headrest\ncut")
                sock.shutdown(socket.SHUT_WR)
                async with await listener.accept(timeout=FAR) as connection:
                    assert await connection.receive_exactly(4) == b"head"
                    assert await connection.receive(timeout=FAR) == "rest"
                    assert await connection.receive(timeout=FAR) == "cut"
                    with pytest.raises(EndOfStream):
                        await connection.receive(timeout=FAR)
                    assert connection.ended_without_delimiter

    engine.run(main())


def test_new_framing_has_no_such_end() -> None:
    """After a change of the framing the property speaks of the new one."""
    with listen("tcp://127.0.0.1:0", framing="lines") as listener, connect(listener.addresses[0]) as client:
        with listener.accept(timeout=FAR) as connection:
            client.send(b"one\n\1a")
            client.send_eof()
            assert connection.receive(timeout=FAR) == "one"
            connection.reframe("length:1")
            assert list(connection) == [b"a"]
            assert not connection.ended_without_delimiter
