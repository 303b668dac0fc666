"""A framing of your own is a class with three methods. Here: text between STX and ETX, as scales send it."""

from collections.abc import Iterable

from socketkit import Connection, connect, serve


class StxEtx:
    def __init__(self) -> None:
        self.held = b""

    def encode(self, messages: Iterable[str]) -> bytes:
        return b"".join([b"\x02" + message.encode() + b"\x03" for message in messages])

    def feed(self, data: bytes) -> list[str]:
        *frames, self.held = (self.held + data).split(b"\x03")
        return [frame.lstrip(b"\x02").decode() for frame in frames]

    def feed_eof(self) -> list[str]:
        return []


async def scale(connection: Connection) -> None:
    async for question in connection:
        await connection.send(f"{question}: 1.25 kg")


with serve(scale, "tcp://localhost:0", framing=StxEtx) as server, connect(server.addresses[0], framing=StxEtx) as peer:
    peer.send("gross")
    print(peer.receive())
