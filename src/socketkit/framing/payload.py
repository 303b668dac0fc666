"""Payloads that are bytes: what may be given to `encode`, and what is said of what may not."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["as_bytes", "listed", "wrong_type"]


def as_bytes(message: object, framing: str) -> bytes:
    """The message as `bytes`, copied when it is a bytearray or a view.

    Raises:
        TypeError: it is nothing like bytes.
    """
    if isinstance(message, (bytes, bytearray, memoryview)):
        return bytes(message)
    raise wrong_type(framing, f"a bytes-like object is wanted, not {type(message).__name__}")


def listed(messages: Iterable[object], framing: str) -> list[bytes]:
    """All messages as `bytes`."""
    return [message if type(message) is bytes else as_bytes(message, framing) for message in messages]


def wrong_type(framing: str, reason: object) -> TypeError:
    """The error for a message of another type than bytes, with what to do about it."""
    return TypeError(
        f"{framing} sends bytes: {reason}; encode text first ('...'.encode()), or use framing='lines' for text"
    )
