"""Frames of WebSocket (RFC 6455, section 5): bytes to frames and back, without I/O.

`apply_mask` and `encode_frame` are compiled where they could be. What breaks a rule is named here for both cores.
"""

from __future__ import annotations

import os
from typing import Final, NamedTuple

from socketkit._core import apply_mask, encode_frame
from socketkit.errors import FrameTooLongError, FramingError, OptionError

__all__ = [
    "BINARY",
    "CLOSE",
    "CONTINUATION",
    "FIN",
    "PING",
    "PONG",
    "RSV1",
    "TEXT",
    "Batch",
    "PartFrame",
    "apply_mask",
    "check_close",
    "encode_close",
    "encode_frame",
    "parse_close",
    "protocol_error",
    "read_part",
    "split_frames",
    "too_long",
]

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

FIN: Final = 0x80
RSV1: Final = 0x40
_RSV23: Final = 0x30
_MASKED: Final = 0x80

MAX_CONTROL_SIZE: Final = 125
"""Bytes of a control frame's payload, at most (RFC 6455, 5.5)."""


class Batch(NamedTuple):
    """What `split_frames` has found.

    Attributes:
        frames: of each whole frame its first byte (FIN, RSV1, opcode), and its payload without the mask.
        end: where the first frame begins that is not whole.
        needed: bytes from `end` on that must be there before that frame can be whole.
        fault: what is wrong with the frame at `end`; None: nothing so far.
    """

    frames: list[tuple[int, bytes]]
    end: int
    needed: int
    fault: FramingError | None


def split_frames(data: bytes | bytearray, start: int, *, is_masked: bool, max_size: int) -> Batch:
    """Return the whole frames in `data` from `start` on. Never raises.

    Args:
        data: bytes from the peer.
        start: where a frame begins.
        is_masked: whether every frame has to have a mask: a client's have, a server's have not (5.1).
        max_size: bytes of the largest payload.
    """
    frames: list[tuple[int, bytes]] = []
    size = len(data)
    mask_size = 4 if is_masked else 0
    while size - start >= 2:
        first, second = data[start], data[start + 1]
        length, body = second & 0x7F, start + 2
        if (fault := _fault(first, second, is_masked)) is not None:
            return Batch(frames, start, 2, fault)
        if length > MAX_CONTROL_SIZE:
            extended = 2 if length == 126 else 8
            if size - body < extended:
                return Batch(frames, start, 2 + extended, None)
            length = int.from_bytes(data[body : body + extended], "big")
            if length < (126 if extended == 2 else 0x10000) or length >> 63:
                return Batch(frames, start, 2, protocol_error(f"the length {length} of a frame is badly written"))
            body += extended
        if length > max_size:
            return Batch(frames, start, 2, too_long(length, max_size))
        body += mask_size
        end = body + length
        if end > size:
            return Batch(frames, start, end - start, None)
        payload = bytes(data[body:end])
        if is_masked:
            payload = apply_mask(payload, bytes(data[body - 4 : body]))
        frames.append((first, payload))
        start = end
    return Batch(frames, start, 2, None)


class PartFrame(NamedTuple):
    """A frame that is not whole, and whose head is.

    Attributes:
        first: its first byte.
        body: where its payload begins.
        mask: of the payload; None: there is none.
    """

    first: int
    body: int
    mask: bytes | None


def read_part(data: bytes | bytearray, *, is_masked: bool) -> PartFrame | None:
    """Return what `data` begins with; None: no byte of its payload came. Its head broke no rule for `split_frames`."""
    if len(data) < 2:
        return None
    length = data[1] & 0x7F
    body = 2 + {126: 2, 127: 8}.get(length, 0) + 4 * is_masked
    if len(data) <= body:
        return None
    return PartFrame(data[0], body, bytes(data[body - 4 : body]) if is_masked else None)


def _fault(first: int, second: int, is_masked: bool) -> FramingError | None:
    """Return what is wrong with the first two bytes of a frame."""
    opcode = first & 0x0F
    if first & _RSV23:
        return protocol_error("a frame has reserved bits (RSV2, RSV3) that no extension has agreed on")
    if opcode > PONG or BINARY < opcode < CLOSE:
        return protocol_error(f"a frame has the unknown opcode {opcode}")
    if opcode >= CLOSE:
        if not first & FIN:
            return protocol_error("a control frame is fragmented")
        if first & RSV1:
            return protocol_error("a control frame has the reserved bit RSV1")
        if second & 0x7F > MAX_CONTROL_SIZE:
            return protocol_error(f"a control frame has more than {MAX_CONTROL_SIZE} bytes")
    if bool(second & _MASKED) != is_masked:
        return protocol_error("a client's frame has no mask" if is_masked else "a server's frame has a mask")
    return None


class Masks:
    """Unpredictable masks, a system call for a thousand of them."""

    __slots__ = ("_at", "_pool")

    def __init__(self) -> None:
        self._pool = b""
        self._at = 0

    def next(self) -> bytes:
        """Return four random bytes."""
        at = self._at
        if at >= len(self._pool):
            self._pool, at = os.urandom(4096 if self._pool else 64), 0
        self._at = at + 4
        return self._pool[at : at + 4]


# Closing.

_CODES: Final = frozenset((*range(1000, 1004), *range(1007, 1015)))
_RESERVED: Final = frozenset((1002,))
_ALLOWED_CODES: Final = "1000, 1001, 1003, 1007 to 1014, and 3000 to 4999 (RFC 6455, 7.4)"

MAX_REASON_SIZE: Final = MAX_CONTROL_SIZE - 2
"""Bytes of a reason behind the code, at most."""


def is_close_code(code: int) -> bool:
    """Whether a close frame may carry the code (7.4)."""
    return code in _CODES or 3000 <= code <= 4999


def check_close(code: int, reason: str) -> None:
    """Refuse what an application cannot say in a close frame. 1002 is for the protocol itself to say.

    Raises:
        OptionError: no such code, or a reason that is no text, or too long for a control frame (5.5).
    """
    if isinstance(code, bool) or not isinstance(code, int) or not is_close_code(code) or code in _RESERVED:
        raise OptionError(f"code: {code!r} cannot be said in a close frame; allowed: {_ALLOWED_CODES}")
    if not isinstance(reason, str):
        raise OptionError(f"reason: {reason!r} is no text")
    try:
        size = len(reason.encode())
    except UnicodeEncodeError as error:
        raise OptionError(f"reason: {reason!r} is no Unicode: {error.reason}") from None
    if size > MAX_REASON_SIZE:
        raise OptionError(f"reason: it has {size} bytes as UTF-8; allowed: at most {MAX_REASON_SIZE}")


def encode_close(code: int | None, reason: str = "", mask: bytes | None = None) -> bytes:
    """Return a close frame; a reason of more than 123 bytes is cut between two characters. None: without a code."""
    if code is None:
        return encode_frame(FIN | CLOSE, b"", mask)
    text = reason.encode("utf-8", "replace")[:MAX_REASON_SIZE].decode("utf-8", "ignore").encode()
    return encode_frame(FIN | CLOSE, code.to_bytes(2, "big") + text, mask)


def parse_close(payload: bytes) -> tuple[int, str]:
    """Return the code and the reason of a close frame; 1005 where it has none (7.1.5).

    Raises:
        FramingError: it is no code and text; `close_code` is 1002 or 1007.
    """
    if not payload:
        return 1005, ""
    code = int.from_bytes(payload[:2], "big")
    if len(payload) < 2 or not is_close_code(code):
        raise protocol_error(f"a close frame has the code {code}, which none may have")
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError as error:
        raise protocol_error(f"the reason of a close frame is not UTF-8: {error.reason}", 1007) from None


def protocol_error(text: str, code: int = 1002) -> FramingError:
    """Return the error of a peer that breaks the protocol, with the close code that says so to it."""
    error = FramingError(f"WebSocket: {text}", framing="websocket")
    error.close_code, error.close_reason = code, text
    return error


def too_long(size: int, max_size: int) -> FrameTooLongError:
    """Return the error of a message that is larger than `max_size`."""
    text = f"a message has {size} bytes or more, and max_size is {max_size}"
    error = FrameTooLongError(f"WebSocket: {text}", framing="websocket", size=size, max_size=max_size)
    error.close_code, error.close_reason = 1009, text
    return error
