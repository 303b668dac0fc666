"""ping(8) in one page: echo requests over `ip://`, with checksum, id and sequence number (RFC 792, RFC 4443).

As root a raw socket, which hears every ICMP message of the peer; else the system's ping socket, where it has one, which
puts in an id of its own and hears the answers to it alone.
"""

import os
import struct
import sys
import time

from socketkit import DeadlineError, connect


def checksum(data: bytes) -> int:
    """RFC 1071: the ones' complement of the ones' complement sum of all 16-bit words."""
    total: int = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF - total


def ping(host: str, count: int, pause: float = 1.0) -> int:
    """Ask so many times; how many answers came."""
    answers = 0
    with connect(f"ip://{host}?protocol=icmp") as connection:
        request, reply = (128, 129) if ":" in connection.peer.host else (8, 0)
        number = os.getpid() & 0xFFFF
        for sequence in range(1, count + 1):
            payload = struct.pack("!d", time.monotonic()) + b"socketkit"
            head = struct.pack("!BBHHH", request, 0, 0, number, sequence)
            head = struct.pack("!BBHHH", request, 0, checksum(head + payload), number, sequence)
            connection.send(head + payload)
            deadline = time.monotonic() + pause
            try:
                while True:
                    answer = connection.receive(timeout=max(0.0, deadline - time.monotonic()))
                    kind, _, _, _, seen = struct.unpack_from("!BBHHH", answer)
                    if (kind, seen) == (reply, sequence) and answer[8:] == payload:  # the payload is ours alone
                        break
            except DeadlineError:
                print(f"no answer from {host}: seq={sequence}")
                continue
            took = time.monotonic() - struct.unpack_from("!d", answer, 8)[0]
            answers += 1
            print(f"{len(answer)} bytes from {connection.peer.host}: seq={sequence} time={took * 1000:.2f} ms")
    return answers


if __name__ == "__main__":
    target, *rest = sys.argv[1:] or ["127.0.0.1"]
    times = int(rest[0]) if rest else 4
    sys.exit(0 if ping(target, times) == times else 1)
