"""The state of a connected socket, in Python; `stream.c` is the same, compiled."""

from __future__ import annotations

from typing import Any

__all__ = ["StreamCore", "count_fork"]


def count_fork() -> None:
    """In a child of fork(2): streams that were made before are the parent's. Here `_core.forks` says so."""


class StreamCore:
    """What the hot path needs of a stream; see `streams.socket_stream`."""

    __slots__ = (
        "_born",
        "_descriptor",
        "_ended",
        "_eof_sent",
        "_is_blocking",
        "_is_plain",
        "_is_sending",
        "_largest",
        "_size",
        "_stopped",
        "_streak",
        "may_have_more",
    )

    _born: int
    """`_core.forks` when it was made."""
    _descriptor: int
    """-1: closed."""
    _ended: bool
    """Whether the end of stream or an error was met."""
    _eof_sent: bool
    """Whether our direction has ended."""
    _is_blocking: bool
    """Whether the descriptor blocks: a call that must not says so."""
    _is_plain: bool
    """Whether the calls are the system's own: recv(2) and send(2)."""
    _is_sending: bool
    """Whether a call sends, or its error is not recorded yet."""
    _largest: int
    """Bytes that recv(2) is asked for at most."""
    _size: int
    """Bytes that recv(2) is asked for."""
    _stopped: bool
    """Whether the peer's direction was shut down here."""
    _streak: int
    """Full reads in a row."""
    may_have_more: bool
    """Whether the last recv(2) returned all that it was asked for."""

    def _forward(self, sink: Any, /) -> int | tuple[int, bytes, Exception | None] | None:
        """Receive what is there and send it to another stream, without a wait: the number of bytes.

        None: nothing was received, and `receive` says why. Where not all was sent, a tuple of the number, the bytes
        that are left, and the error of the sink, or None.
        """
        return None  # `receive` does it
