"""`msgpack`: MessagePack values one behind the other, as the format is meant: each contains its own length.

The library `msgspec` (optional) reads and writes the values; here is found where they end. Sizes in a header count at
once: an array of four thousand million elements is refused with its fifth byte.

Keys of a map: Python's hashes of str and bytes are randomised, those of numbers are not. A peer can choose numbers that
collide in a dict, and to insert n of them takes n * n / 2 steps: half a minute for a message of 500 KiB. So a map may
have any number of str and bytes as keys, and `other_keys` of anything else.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Literal

from socketkit.config.option_types import count_kind
from socketkit.errors import FramingError, OptionError
from socketkit.framing.codec import Codec
from socketkit.framing.decoder import check_sizes
from socketkit.framing.scanning import ScanningCodec
from socketkit.framing.spec import Count, FramingSpec, Size, max_size, option, oversize

__all__ = ["Msgpack"]


class Msgpack(FramingSpec[Any]):
    """MessagePack values. Messages are dict, list, str, bytes, int, float, bool, None, datetime with a zone, and
    `msgspec.msgpack.Ext` for the application's own types."""

    name = "msgpack"
    title = "MessagePack values"

    max_size: Size = max_size()
    oversize: Literal["fail", "skip"] = oversize("fail", "skip")
    other_keys: Count = option(
        count_kind(0, 2**31 - 1),
        "Keys of one received map that may be neither text nor bytes: peers can choose numbers that collide in a dict.",
        default=128,
    )

    def codec(self) -> Codec[Any]:
        """Return a fresh codec for one connection.

        Raises:
            OptionError: msgspec is not installed.
        """
        return _MsgpackCodec(self)


def _table() -> tuple[tuple[int, int, int, int], ...]:
    """Return for each first byte: bytes before the next item begins, items that it holds, and of a number behind it its
    width, and what it counts: bytes (0), items of an array (1), pairs of a map (2).

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
"""The size of an item that holds nothing and has no number; 0 for the others."""

_MAX_FIXMAP: Final = 15
"""Pairs of a map whose size is in its first byte."""

_MAPS: Final = frozenset([*range(0x80, 0x90), 0xDE, 0xDF])
_RANDOMISED: Final = frozenset([*range(0xA0, 0xC0), 0xD9, 0xDA, 0xDB, 0xC4, 0xC5, 0xC6])
"""First bytes of str and bin, whose hashes are random in each process."""


def _check_keys(data: bytes, allowed: int) -> None:
    """Walk over a whole value.

    Raises:
        ValueError: more than `allowed` keys of one map are neither str nor bytes.
    """
    outer: list[tuple[int, bool, int]] = []
    at, left, is_map, others = 0, 1, False, 0  # `left`: items of the innermost array or map
    while left or outer:
        if not left:
            left, is_map, others = outer.pop()
            continue
        code = data[at]
        if is_map and not left & 1 and code not in _RANDOMISED:
            others += 1
            if others > allowed:
                raise ValueError(
                    f"more than {allowed} keys of a map are neither text nor bytes (allow them with other_keys=) in "
                    "the value"
                )
        left -= 1
        leaf = _LEAVES[code]
        if leaf:
            at += leaf
            continue
        size, held, width, each = _TABLE[code]
        if width:
            number = int.from_bytes(data[at + 1 : at + 1 + width], "big")
            held, size = each * number, size if each else size + number
        at += size
        if held:
            outer.append((left, is_map, others))
            left, is_map, others = held, code in _MAPS, 0


class _MsgpackCodec(ScanningCodec):
    __slots__ = ("_checks_keys", "_decoder", "_encoder", "_is_open", "_items", "_other_keys")

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
        self._other_keys = framing.other_keys
        self._checks_keys = framing.other_keys <= _MAX_FIXMAP  # whether the value has a map that may be over the limit
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
                    if each == 2 and number > self._other_keys:
                        self._checks_keys = True
                else:
                    size += number
            at += size
            items += held - 1
        self._at, self._items = at, items
        self._is_open = bool(items) or at > total
        return not self._is_open

    def _decode(self, data: bytes) -> Any:
        if self._checks_keys:
            _check_keys(data, self._other_keys)
            self._checks_keys = self._other_keys <= _MAX_FIXMAP
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
