"""Batches of datagrams, a system call each; `datagram.c` is the same with recvmmsg(2) and sendmmsg(2), compiled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

__all__ = ["Datagram", "receive_batch", "send_batch"]

Datagram: TypeAlias = tuple[bytes, int, Any]
"""The data that fitted, the size of the whole datagram, and the name of the socket that sent it."""

SEND_BATCH = 64
"""Datagrams that one call sends at most."""

_spare: list[bytearray] = []  # buffers of earlier calls; a thread takes one while it receives


def receive_batch(sock: Any, size: int, limit: int, flags: int, /) -> list[Datagram]:
    """Receive what is queued, at most `limit` datagrams; empty where nothing is.

    Args:
        sock: a `socket.socket`, non-blocking, of the family INET, INET6 or UNIX.
        size: bytes that are kept of a datagram at most.
        flags: of recv(2).

    Raises:
        OSError: the socket cannot be received from. An error after the first datagram is left for the next call.
    """
    buffer = _spare.pop() if _spare else bytearray()
    if len(buffer) < size:
        buffer = bytearray(size)
    view = memoryview(buffer)[:size]
    batch: list[Datagram] = []
    receive = sock.recvfrom_into
    for _ in range(limit):
        try:
            count, name = receive(view, 0, flags)
        except BlockingIOError:
            break
        except (ConnectionError, TimeoutError):
            continue  # an ICMP error for a datagram that we sent: not an error of the socket
        except OSError:
            if batch:
                break
            raise
        batch.append((bytes(view[:count]), count, name))
    view.release()
    if not _spare:
        _spare.append(buffer)
    return batch


def send_batch(sock: Any, batch: Sequence[tuple[bytes, Any]], /) -> int:
    """Send datagrams, each to its name, from the first on; return how many the system took; 0: it has no room.

    At most 64 are sent by one call, and none behind one that fails.

    Raises:
        OSError: the first one was refused.
    """
    count = 0
    for data, name in batch[:SEND_BATCH]:
        try:
            sock.sendto(data, name)
        except BlockingIOError:
            break
        except OSError:
            if count:
                break
            raise
        count += 1
    return count
