"""A client for Redis in one page: a line, then so many bytes (https://redis.io/docs/latest/develop/reference/protocol-spec/).

A reply begins with a line. `$5` announces five bytes, which may be anything, also line ends; `*2` two more replies.
"""

import sys
from collections.abc import Sequence

from socketkit import BlockingConnection, connect

TIMEOUT = 20.0
END = b"\r\n"


class RedisError(Exception):
    """The server's reply is an error."""


def ask(connection: BlockingConnection, *words: bytes) -> object:
    """Send one command; return its reply, or raise it."""
    (reply,) = ask_many(connection, [words])
    if isinstance(reply, RedisError):
        raise reply
    return reply


def ask_many(connection: BlockingConnection, commands: Sequence[Sequence[bytes]]) -> list[object]:
    """Send commands in one go (a pipeline); return their replies, in order. An error is a reply too."""
    connection.send_many([encode(words) for words in commands])
    return [receive_reply(connection) for _ in commands]


def encode(words: Sequence[bytes]) -> bytes:
    """Return the bytes of a command: an array of counted strings."""
    return b"*%d\r\n" % len(words) + b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in words])


def receive_reply(connection: BlockingConnection) -> object:
    """Receive one reply, and those within it."""
    line = connection.receive_until(END, max_size="64KiB", timeout=TIMEOUT)
    kind, rest = line[:1], line[1:]
    if kind == b"+":
        return rest.decode()
    if kind == b"-":
        return RedisError(rest.decode())
    if kind == b":":
        return int(rest)
    if kind == b"$":
        return None if rest == b"-1" else receive_counted(connection, int(rest))
    if kind == b"*":
        return None if rest == b"-1" else [receive_reply(connection) for _ in range(int(rest))]
    raise ValueError(f"{line!r} begins no reply")


def receive_counted(connection: BlockingConnection, size: int) -> bytes:
    """Receive the bytes that a line has announced, and the line end behind them."""
    data = connection.receive_exactly(size, timeout=TIMEOUT)
    if connection.receive_exactly(len(END), timeout=TIMEOUT) != END:
        raise ValueError(f"no line end stands behind {size} bytes")
    return data


if __name__ == "__main__":
    address, *command = sys.argv[1:] or ["tcp://localhost:6379"]
    with connect(address) as server:
        print(ask(server, *[word.encode() for word in command or ["PING"]]))
