"""A client for MQTT 3.1.1 in one page: a byte, a size of one to four bytes, and so many bytes (OASIS, section 2).

mqtt_client.py tcp://localhost:1883 publish TOPIC TEXT
mqtt_client.py tcp://localhost:1883 subscribe TOPIC [COUNT]
"""

import struct
import sys
from collections.abc import Iterator

from socketkit import BlockingConnection, connect

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, PINGRESP, DISCONNECT = 1, 2, 3, 4, 8, 9, 13, 14
MAX_PACKET_SIZE = 1024 * 1024
KEEP_ALIVE = 60


class MqttError(Exception):
    """The broker has refused, or speaks something else."""


def login(connection: BlockingConnection, client_id: str, *, timeout: float = 20.0) -> None:
    """Open a session without a name or password (section 3.1)."""
    body = text("MQTT") + struct.pack("!BBH", 4, 2, KEEP_ALIVE) + text(client_id)
    connection.send(packet(CONNECT, body))
    kind, _, answer = receive_packet(connection, timeout)
    if kind != CONNACK or answer[1:] != b"\0":
        raise MqttError(f"the broker has refused the session: {answer!r}")


def publish(connection: BlockingConnection, topic: str, payload: bytes) -> None:
    """Publish a message, and wait until the broker has it (quality of service 1, section 4.3.2)."""
    connection.send(packet(PUBLISH, text(topic) + struct.pack("!H", 1) + payload, flags=0b0010))
    kind, _, answer = receive_packet(connection, 20.0)
    if kind != PUBACK or answer != b"\0\1":
        raise MqttError(f"the broker has answered with a packet of type {kind}: {answer!r}")


def subscribe(connection: BlockingConnection, topic: str) -> Iterator[tuple[str, bytes]]:
    """Subscribe at once; return an iterator over the messages that are published: topic and payload."""
    connection.send(packet(SUBSCRIBE, struct.pack("!H", 1) + text(topic) + b"\0", flags=0b0010))
    kind, _, answer = receive_packet(connection, 20.0)
    if kind != SUBACK or answer != b"\0\1\0":
        raise MqttError(f"the broker has refused the subscription: {answer!r}")
    return receive_messages(connection)


def receive_messages(connection: BlockingConnection) -> Iterator[tuple[str, bytes]]:
    """Yield the messages as they come. The session ends after one and a half times `KEEP_ALIVE` without a packet of
    ours, so a client that waits longer sends PINGREQ."""
    while True:
        kind, flags, body = receive_packet(connection, KEEP_ALIVE)
        if kind == PUBLISH:
            size = int.from_bytes(body[:2], "big")
            start = 2 + size + (2 if flags & 0b0110 else 0)  # a number stands behind the topic, except at level 0
            yield body[2 : 2 + size].decode(), body[start:]


def receive_packet(connection: BlockingConnection, timeout: float) -> tuple[int, int, bytes]:
    """Receive one packet: its type, its flags, and its body."""
    first = connection.receive_exactly(1, timeout=timeout)[0]
    size = shift = 0
    while True:  # seven bits a byte, the least first (section 2.2.3)
        byte = connection.receive_exactly(1, timeout=timeout)[0]
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
        if shift == 28:
            raise MqttError("the size of a packet is longer than four bytes")
    if size > MAX_PACKET_SIZE:
        raise MqttError(f"a packet of {size} bytes is over {MAX_PACKET_SIZE}")
    return first >> 4, first & 0x0F, connection.receive_exactly(size, timeout=timeout)


def packet(kind: int, body: bytes = b"", *, flags: int = 0) -> bytes:
    """Return the bytes of a packet."""
    head, size = bytearray([kind << 4 | flags]), len(body)
    while size > 0x7F:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    head.append(size)
    return bytes(head) + body


def text(value: str) -> bytes:
    """Return a counted string (section 1.5.3)."""
    data = value.encode()
    return struct.pack("!H", len(data)) + data


def main(address: str, verb: str, topic: str, argument: str = "1") -> None:
    """Publish one message, or print so many."""
    with connect(address) as broker:
        login(broker, f"socketkit-{verb}")
        if verb == "publish":
            publish(broker, topic, argument.encode())
        else:
            messages = subscribe(broker, topic)
            print("subscribed", file=sys.stderr, flush=True)
            for _ in range(int(argument)):
                name, payload = next(messages)
                print(name, payload.decode(errors="replace"), flush=True)
        broker.send(packet(DISCONNECT))


if __name__ == "__main__":
    main(*sys.argv[1:])
