"""`length`: a header of fixed size with a number in it, the payload. What the number counts is an option.

A number that is too small for what it counts is refused, and one over `max_size` as soon as the header is whole.
A payload that the number cannot express is refused when it is encoded, never cut to fit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from struct import Struct
from typing import Any, Literal

from socketkit.config.option_types import SWITCH, OptionType, choice_kind, count_kind, or_none
from socketkit.config.quoting import quote
from socketkit.errors import FramingError, OptionError
from socketkit.framing.codec import Codec
from socketkit.framing.decoder import as_bytes_list, check_sizes
from socketkit.framing.escapes import read_escaped, write_escaped
from socketkit.framing.length_prefixed import LengthPrefixedCodec
from socketkit.framing.spec import Converted, Count, FramingSpec, Oversize, Size, max_size, option, oversize

__all__ = ["Length"]

_FORMATS = {1: "B", 2: "H", 4: "I", 8: "Q"}
_WIDTHS = (1, 2, 3, 4, 8)
_ORDERS = {"be": "big", "le": "little", "big": "big", "little": "little"}
_BARE = re.compile(r"([0-9]+)(be|le)?")
_MAX_BESIDE = 1024
"""Bytes before or after the field: more than any protocol has, few enough to examine again with each byte."""


def _read_width(value: object, *, name: str = "") -> int:
    text = str(value)
    if isinstance(value, bool) or text not in map(str, _WIDTHS):
        raise OptionError(f"{name}: {quote(value)} is no width of a number; allowed are 1, 2, 3, 4, 8 bytes")
    return int(text)


def _read_order(value: object, *, name: str = "") -> str:
    if not isinstance(value, str) or value not in _ORDERS:
        raise OptionError(f"{name}: {quote(value)} is no byte order; allowed are big, little (short: be, le)")
    return _ORDERS[value]


class Length(FramingSpec[bytes]):
    """A number that gives the size, then the payload: `Length(4)`, `Length(2, order="little", includes="header")`.

        before        field        after        payload
    +-------------+-----------+-------------+-------------+
    | bytes given | width     | bytes given |             |
    +-------------+-----------+-------------+-------------+
                                            |<- payload ->|   includes=payload
                              |<--------- rest ---------->|   includes=rest
                  |<--------------- header -------------->|   includes=header
    |<----------------------- all ----------------------->|   includes=all
    """

    name = "length"
    title = "number of 1, 2, 3, 4 or 8 bytes, payload"

    width: int = option(OptionType("1 | 2 | 3 | 4 | 8", _read_width, str), "Bytes of the number.")
    order: Literal["big", "little", "be", "le"] = option(
        OptionType("big | little", _read_order, str),
        "Byte order of the number, short be or le behind the width; big as networks have it.",
        default="big",
    )
    includes: Literal["payload", "rest", "header", "all"] = option(
        choice_kind("payload", "rest", "header", "all"),
        "What the number counts: the payload; all that follows the number; that and the number; the whole frame.",
        default="payload",
    )
    before: Count = option(count_kind(0, _MAX_BESIDE), "Bytes before the number; they are sent as zeros.", default=0)
    after: Count = option(
        count_kind(0, _MAX_BESIDE), "Bytes between the number and the payload; they are sent as zeros.", default=0
    )
    beside: Converted[bytes | None, bytes | str | None] = option(
        or_none(OptionType("bytes", partial(read_escaped, what="bytes of a header"), write_escaped)),
        r"What is sent around the number, before and after it in one: \x01\x00; none: zeros. It is not checked.",
        default=None,
    )
    keep_header: bool = option(
        SWITCH, "Messages are whole frames, both ways, to read and write the bytes beside the number.", default=False
    )
    fill: bool = option(
        SWITCH, "With keep_header: the number in a frame that is sent is filled in, whatever it was.", default=False
    )
    max_size: Size = max_size()
    oversize: Oversize = oversize("fail", "skip", "truncate")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beside is not None and len(self.beside) != self.before + self.after:
            raise OptionError(
                f"{self.name}: beside has {len(self.beside)} bytes; there are {self.before} before and {self.after} "
                "after the number; allowed are as many"
            )
        if self.beside is not None and self.keep_header:
            raise OptionError(f"{self.name}: beside is for messages without a header (keep_header=no)")
        if self.fill and not self.keep_header:
            raise OptionError(f"{self.name}: fill is for messages with a header; give keep_header too")

    @property
    def around(self) -> tuple[bytes, bytes]:
        """What is sent before and after the number."""
        beside = bytes(self.before + self.after) if self.beside is None else self.beside
        return beside[: self.before], beside[self.before :]

    @property
    def counted(self) -> int:
        """Bytes of header that the number counts."""
        return {
            "payload": 0,
            "rest": self.after,
            "header": self.width + self.after,
            "all": self.before + self.width + self.after,
        }[self.includes]

    def codec(self) -> Codec[bytes]:
        """Return a fresh codec for one connection."""
        return _LengthCodec(self) if self.width == 3 else _StructCodec(self)

    @property
    def native(self) -> tuple[Any, ...] | None:
        if self.oversize != "fail" or self.beside is not None:
            return None
        is_little = self.order == "little"
        return (
            "length",
            self.max_size,
            self.width,
            is_little,
            self.before,
            self.after,
            self.counted,
            self.keep_header,
        )

    def _arguments(self) -> list[str]:
        rest = [name for name in type(self).fields if name not in ("width", "order")]
        return [f"{self.width}{'le' if self.order == 'little' else ''}", *self._keyed(rest)]

    @classmethod
    def _read_bare(cls, argument: str) -> Mapping[str, object]:
        if argument.replace("-", "_") in cls.fields:
            return super()._read_bare(argument)
        match = _BARE.fullmatch(argument)
        if match is None:
            raise OptionError(
                f"{cls.name}: {quote(argument)} is no width of a number; allowed are 1, 2, 3, 4, 8, with le for "
                f"little-endian; {cls._allowed()}"
            )
        return {"width": match[1], "order": match[2]} if match[2] else {"width": match[1]}


class _LengthCodec(LengthPrefixedCodec):
    """A number of any width."""

    __slots__ = ("_before", "_counted", "_head", "_most", "_order", "_width")

    _framing: Length

    def __init__(self, framing: Length) -> None:
        super().__init__(framing, keep_header=framing.keep_header)
        self._width = framing.width
        self._order: Any = framing.order
        self._before = framing.before
        self._head = framing.before + framing.width + framing.after
        self._counted = framing.counted
        self._most = 256**framing.width - 1 - self._counted  # bytes of payload that the field can express

    def _header(self, data: bytes, start: int) -> tuple[int, int] | None:
        begin = start + self._head
        if begin > len(data):
            return None
        field = start + self._before
        number = int.from_bytes(data[field : field + self._width], self._order)
        if number < self._counted:
            raise ValueError(
                f"the number {number} is too small: it counts the {self._counted} bytes of the header that "
                f"includes={self._framing.includes} means, in the frame"
            )
        return begin, number - self._counted

    def encode(self, messages: Iterable[Any], /) -> bytes:
        payloads = as_bytes_list(messages, self._text)
        if self._keep_header:
            if self._framing.fill:
                payloads = self._filled(payloads)
            for index, frame in enumerate(payloads):
                self._check_frame(frame, index)
            data = b"".join(payloads)
        else:
            self._check_fit(payloads)
            data = self._join(payloads)
        if len(data) > self._max_size:
            check_sizes(self._framing, payloads, lambda payload: len(payload) - self._head * self._keep_header)
        return data

    def _join(self, payloads: list[bytes]) -> bytes:
        before, after = self._framing.around
        return b"".join(
            [
                before + (len(payload) + self._counted).to_bytes(self._width, self._order) + after + payload
                for payload in payloads
            ]
        )

    def _filled(self, frames: list[bytes]) -> list[bytes]:
        """The frames with their own numbers; those that are too short stay."""
        self._check_fit([frame[self._head :] for frame in frames])
        begin, end = self._before, self._before + self._width
        counted = self._counted - self._head
        return [
            frame[:begin] + (len(frame) + counted).to_bytes(self._width, self._order) + frame[end:]
            if len(frame) >= self._head
            else frame
            for frame in frames
        ]

    def _check_fit(self, payloads: list[bytes]) -> None:
        """Refuse what the field cannot express."""
        if self._most >= self._max_size:
            return
        for index, payload in enumerate(payloads):
            if len(payload) > self._most:
                raise FramingError(
                    f"{self._text}: message {index} has {len(payload)} bytes, and a number of {self._width} bytes can "
                    f"say at most {self._most}; nothing was encoded; use a wider number (length:4)",
                    framing=self._text,
                )

    def _check_frame(self, frame: bytes, index: int) -> None:
        """Refuse a whole frame whose number is not its own."""
        try:
            found = self._header(frame, 0)
        except ValueError as error:
            problem = str(error)
        else:
            if found is not None and found[0] + found[1] == len(frame):
                return
            problem = (
                f"has {len(frame)} bytes, fewer than its header ({self._head})"
                if found is None
                else f"has {len(frame) - self._head} bytes behind its header, which says {found[1]}"
            )
        raise FramingError(
            f"{self._text}: message {index} {problem}; nothing was encoded; with keep_header a message is a whole "
            "frame with the right number in it",
            framing=self._text,
        )


class _StructCodec(_LengthCodec):
    """A width that the machine has: the usual frames are cut by a tight loop, the others by the base class."""

    __slots__ = ("_pack", "_unpack")

    def __init__(self, framing: Length) -> None:
        super().__init__(framing)
        order = "<" if framing.order == "little" else ">"
        number = _FORMATS[framing.width]
        self._unpack = Struct(f"{order}{framing.before}x{number}").unpack_from
        self._pack: Callable[[int], bytes] = Struct(f"{order}{framing.before}x{number}{framing.after}x").pack
        if framing.beside is not None:
            (before, after), pack = framing.around, Struct(f"{order}{number}").pack
            self._pack = lambda value: before + pack(value) + after

    def _cut(self, data: bytes, messages: list[Any], start: int = 0) -> int:
        unpack, append, total = self._unpack, messages.append, len(data)
        head, counted, max_size = self._head, self._counted, self._max_size
        stripped = 0 if self._keep_header else head
        last = total - head
        while start <= last:
            (number,) = unpack(data, start)
            size = number - counted
            end = start + head + size
            if end > total or size > max_size or size < 0:
                break
            append(data[start + stripped : end])
            start = end
        return super()._cut(data, messages, start)

    def encode_one(self, message: Any, /) -> bytes:
        size = len(message) if type(message) is bytes else self._most + 1
        if size > self._most or size > self._max_size or self._keep_header:
            return self.encode((message,))
        return self._pack(size + self._counted) + message  # type: ignore[no-any-return]

    def _join(self, payloads: list[bytes]) -> bytes:
        pack, counted = self._pack, self._counted
        return b"".join([pack(len(payload) + counted) + payload for payload in payloads])
