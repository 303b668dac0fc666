"""`msgpack`: MessagePack values one behind the other, as the format is meant: each says where it ends.

The values are read and written by `msgspec`, an optional library; here it is only found where they end. Sizes that a
header announces count at once: an array of four thousand million elements is refused with its fifth byte.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from socketkit.errors import FramingError, OptionError
from socketkit.framing.decoder import check_sizes
from socketkit.framing.scanning import ScannedCodec
from socketkit.framing.spec import FramingSpec, max_size, oversize

__all__ = ["Msgpack"]


class Msgpack(FramingSpec):
    """MessagePack values. Messages are dict, list, str, bytes, int, float, bool, None, and datetime with a zone."""

    name = "msgpack"
    title = "MessagePack values"

    max_size: int = max_size()
    oversize: str = oversize("fail", "skip")

    def codec(self) -> _MsgpackCodec:
        """A fresh codec for one connection.

        Raises:
            OptionError: msgspec is not installed.
        """
        return _MsgpackCodec(self)


# --- where a value ends ----------------------------------------------------------------------------------------------


def _table() -> tuple[tuple[int, int, int, int], ...]:
    """For each first byte: bytes before the next item begins, items that it holds, and how a number that says more of
    either is stored: its width, and whether it counts bytes (0) or how many items for each (1 in an array, 2 in a map).

    https://github.com/msgpack/msgpack/blob/master/spec.md
    """
    table = [(1, 0, 0, 0)] * 256  # small integers, nil, booleans; and 0xc1, never used, which the decoder refuses
    for size in range(16):
        table[0x80 + size] = (1, 2 * size, 0, 0)  # map
        table[0x90 + size] = (1, size, 0, 0)  # array
    for size in range(32):
        table[0xA0 + size] = (1 + size, 0, 0, 0)  # str
    for index, width in enumerate((1, 2, 4)):
        table[0xC4 + index] = (1 + width, 0, width, 0)  # bin
        table[0xC7 + index] = (2 + width, 0, width, 0)  # ext, with a type
        table[0xD9 + index] = (1 + width, 0, width, 0)  # str
    for code, size in ((0xCA, 5), (0xCB, 9)):  # float
        table[code] = (size, 0, 0, 0)
    for index, size in enumerate((2, 3, 5, 9)):
        table[0xCC + index] = table[0xD0 + index] = (size, 0, 0, 0)  # unsigned, signed
    for index, size in enumerate((1, 2, 4, 8, 16)):
        table[0xD4 + index] = (2 + size, 0, 0, 0)  # ext of a fixed size
    for index, width in enumerate((2, 4)):
        table[0xDC + index] = (1 + width, 0, width, 1)  # array
        table[0xDE + index] = (1 + width, 0, width, 2)  # map
    return tuple(table)


_TABLE: Final = _table()
_LEAVES: Final = bytes([size if not held and not width else 0 for size, held, width, _ in _TABLE])
"""The same for what holds nothing and has no number: its size; 0 for all else."""


class _MsgpackCodec(ScannedCodec):
    __slots__ = ("_decoder", "_encoder", "_is_open", "_items")

    _framing: Msgpack
    _policies = "skip"

    def __init__(self, framing: Msgpack) -> None:
        super().__init__(framing)
        try:
            import msgspec
        except ImportError:
            raise OptionError(
                "framing=msgpack needs the library msgspec, which is not installed: pip install 'socketkit[msgpack]'"
            ) from None
        self._decoder = msgspec.msgpack.Decoder()
        self._encoder = msgspec.msgpack.Encoder()
        self._is_open = False
        self._items = 0  # items that are still to come in the value; `_at` is where the next one begins

    def _is_inside(self) -> bool:
        return self._is_open

    def _forget(self) -> None:
        super()._forget()
        self._is_open = False

    def _least(self) -> int:
        return self._at + self._items  # no item is shorter than a byte

    def _scan(self, tail: bytearray) -> bool:
        at, items, total = self._at, self._items if self._is_open else 1, len(tail)
        self._is_open = True
        leaves = _LEAVES
        while items and at < total:
            code = tail[at]
            leaf = leaves[code]
            if leaf:
                at += leaf
                items -= 1
                continue
            size, held, width, each = _TABLE[code]
            if width:
                if at + 1 + width > total:
                    break
                number = int.from_bytes(tail[at + 1 : at + 1 + width], "big")
                if each:
                    held = each * number
                else:
                    size += number
            at += size
            items += held - 1
        self._at, self._items = at, items
        self._is_open = bool(items) or at > total
        return not self._is_open

    def _decode(self, data: bytes) -> Any:
        try:
            return self._decoder.decode(data)
        except RecursionError:
            raise ValueError("the value is nested too deep, the one") from None
        except (ValueError, TypeError, OverflowError) as error:
            raise ValueError(f"{error} in the value") from None

    def encode(self, messages: Iterable[Any], /) -> bytes:
        values = messages if type(messages) is list else list(messages)
        data = b"".join([self._encode(value, index) for index, value in enumerate(values)])
        if len(data) > self._max_size:
            check_sizes(self._framing, values, lambda value: len(self._encoder.encode(value)))
        return data

    def _encode(self, value: Any, index: int) -> bytes:
        try:
            return self._encoder.encode(value)
        except TypeError as error:
            raise TypeError(f"{self._text}: message {index} is no MessagePack value: {error}") from None
        except (ValueError, OverflowError, RecursionError) as error:
            raise FramingError(
                f"{self._text}: message {index} cannot be written as MessagePack: {error}; nothing was encoded",
                framing=self._text,
            ) from None
