"""Frames of WebSocket (RFC 6455, section 5) and their masks, in Python; `websocket.c` is the same, compiled.

`MessageReader` is compiled only: its twin is `websocket.messages.MessageDecoder`.
"""

from __future__ import annotations

import struct
from typing import Any, Final

__all__ = ["MessageReader", "apply_mask", "encode_frame"]

_PORTION: Final = 256 * 1024
"""Bytes that are masked as one number: much larger numbers leave the processor's cache."""

_MASKED: Final = 0x80

MessageReader: Any = None
"""Bytes of one peer to messages and control frames; None: it was not compiled."""


def encode_frame(first: int, payload: bytes, mask: bytes | None = None, /) -> bytes:
    """Return a frame.

    Args:
        first: its first byte: FIN, RSV1, opcode.
        payload: without a mask.
        mask: four unpredictable bytes, for a client (5.3); None: no mask, for a server.
    """
    size = len(payload)
    flag = 0 if mask is None else _MASKED
    if size <= 125:
        head = bytes((first, flag | size))
    elif size < 0x10000:
        head = struct.pack(">BBH", first, flag | 126, size)
    else:
        head = struct.pack(">BBQ", first, flag | 127, size)
    return head + payload if mask is None else head + mask + apply_mask(payload, mask)


def apply_mask(data: bytes, mask: bytes, /) -> bytes:
    """Return the bytes with a mask of four bytes put on, or taken off: both are the same."""
    size = len(data)
    if size > _PORTION:  # a multiple of four
        return b"".join([apply_mask(data[start : start + _PORTION], mask) for start in range(0, size, _PORTION)])
    key = mask * (size // 4 + 1)
    return (int.from_bytes(data, "little") ^ int.from_bytes(key[:size], "little")).to_bytes(size, "little")
