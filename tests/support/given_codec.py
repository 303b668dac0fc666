"""A framing whose codec is given, for tests of what a connection does with codecs."""

from __future__ import annotations

from typing import Any

__all__ = ["GivenCodec"]


class GivenCodec:
    """A framing for one connection: `codec()` returns this codec."""

    def __init__(self, codec: Any) -> None:
        self._codec = codec

    def codec(self) -> Any:
        return self._codec
