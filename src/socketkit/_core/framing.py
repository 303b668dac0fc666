"""Frames of many messages at once, in Python, where the codecs do it; `framing.c` does it compiled."""

from __future__ import annotations

from typing import Any

__all__ = ["encode_lines"]


def encode_lines(description: tuple[Any, ...], messages: Any, /) -> bytes | None:
    """Encode the lines of a list or a tuple in one go; None: something is unusual, and the codec is to do it.

    Args:
        description: `Lines.native`.
    """
    return None
