"""`json-stream`: JSON values one behind the other, with or without white space between them, over as many lines as they
like.

Objects, arrays and strings end by themselves; numbers, `true`, `false` and `null` end where the next character cannot
belong to them, or with the stream. White space behind a value belongs to it. We send a line feed behind each value, so
that a number is whole at once for the peer, and a reader of lines understands us too. `max_size` counts a value without
the white space around it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Literal

from socketkit.framing.codec import Codec
from socketkit.framing.decoder import check_sizes
from socketkit.framing.json_values import encoded, json_values
from socketkit.framing.scanning import ScanningCodec
from socketkit.framing.spec import FramingSpec, Size, max_size, oversize

__all__ = ["JsonStream"]


class JsonStream(FramingSpec[Any]):
    """JSON values without separators. Messages are JSON in Python: dict, list, str, int, float, bool, None."""

    name = "json-stream"
    title = "JSON values without separators"

    max_size: Size = max_size()
    oversize: Literal["fail", "skip"] = oversize("fail", "skip")

    def codec(self) -> Codec[Any]:
        """Return a fresh codec for one connection."""
        return _JsonStreamCodec(self)


# What the scan looks for. Possessive throughout: nothing is tried twice, and nothing remembered for it.
_BLANK = re.compile(rb"[ \t\r\n]*+")
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_PLAIN = re.compile(rb'(?:[^"{}\[\]]++|' + _STRING + rb")*+", re.DOTALL)
_STRING_STOP = re.compile(rb'["\\]')
_WORD_STOP = re.compile(rb"[^0-9A-Za-z+.-]")


def _shallow(depth: int) -> bytes:
    """A pattern of a whole object or array that holds at most so many levels of them: one search instead of a scan."""
    inner = rb'(?:[^"{}\[\]]++|' + _STRING + (b"|" + _shallow(depth - 1) if depth else b"") + b")*+"
    return rb"[{\[]" + inner + rb"[}\]]"


_SHALLOW = re.compile(rb"[ \t\r\n]*+(" + _shallow(5) + rb")[ \t\r\n]*+", re.DOTALL)
_FIRST = frozenset(b'{["-0123456789tfn')
_OPENING = frozenset(b"{[")
_QUOTE, _BACKSLASH = b'"\\'

# Where the scan is, beside its depth.
_STRUCTURE, _IN_STRING, _IN_WORD = range(3)


class _JsonStreamCodec(ScanningCodec):
    __slots__ = ("_depth", "_place", "_values")

    _framing: JsonStream
    _policies = "skip"

    def __init__(self, framing: JsonStream) -> None:
        super().__init__(framing)
        self._values = json_values()
        self._depth = 0
        self._place = _STRUCTURE

    def _skip_blank(self, tail: bytearray, start: int) -> int:
        blank = _BLANK.match(tail, start)
        return blank.end() if blank else start

    def skip_blank(self, data: bytes | bytearray, start: int) -> int:
        blank = _BLANK.match(data, start)
        return blank.end() if blank else start

    def _take_quickly(self, tail: bytearray, start: int, messages: list[Any]) -> int:
        start = self._take_lines(tail, start, messages)
        decode, match, max_size = self._values.decode, _SHALLOW.match, self._max_size
        while found := match(tail, start):
            value = found[1]
            if len(value) > max_size:
                break
            try:
                messages.append(decode(value))
            except (ValueError, RecursionError):
                break  # the careful way says what is wrong
            start = found.end()
        return start

    def _take_lines(self, tail: bytearray, start: int, messages: list[Any]) -> int:
        """Where a whole line is one value, no scan would see it otherwise; and we send so ourselves."""
        decode, append, max_size = self._values.decode, messages.append, self._max_size
        for line in tail[start : tail.rfind(b"\n") + 1].split(b"\n")[:-1]:
            if len(line) > max_size:
                break
            try:
                append(decode(line))
            except (ValueError, RecursionError):
                break
            start += len(line) + 1
        return start

    def _is_inside(self) -> bool:
        return bool(self._depth or self._place)

    def _forget(self) -> None:
        super()._forget()
        self._depth, self._place = 0, _STRUCTURE

    def _scan(self, tail: bytearray) -> bool:
        if not self._is_inside():
            self._begin(tail)
        while self._at < len(tail):
            if self._place == _IN_WORD:
                self._scan_word(tail)
            elif self._place == _IN_STRING:
                self._scan_string(tail)
                if self._place == _IN_STRING:
                    return False
            else:
                self._scan_structure(tail)
            if not self._is_inside():
                return True
        return False

    def _begin(self, tail: bytearray) -> None:
        """The first character says what kind of value it is."""
        first = tail[self._at]
        if first in _OPENING:
            self._depth = 1
            self._at += 1
        elif first == _QUOTE:
            self._place = _IN_STRING
            self._at += 1
        elif first in _FIRST:
            self._place = _IN_WORD
        else:
            raise ValueError(f"no JSON value begins with {bytes((first,))!r}, as the one")

    def _scan_word(self, tail: bytearray) -> None:
        stop = _WORD_STOP.search(tail, self._at)
        self._at = stop.start() if stop else len(tail)
        if stop:
            self._place = _STRUCTURE

    def _scan_string(self, tail: bytearray) -> None:
        """Go to the end of the string; what a backslash escapes is passed over together with it, or not at all yet."""
        while stop := _STRING_STOP.search(tail, self._at):
            self._at = stop.end()
            if tail[stop.start()] == _QUOTE:
                self._place = _STRUCTURE
                return
            if self._at == len(tail):
                self._at -= 1
                return
            self._at += 1
        self._at = len(tail)

    def _scan_structure(self, tail: bytearray) -> None:
        """Go behind the next bracket, over whole strings and all else, or into a string whose end has not come."""
        plain = _PLAIN.match(tail, self._at)
        self._at = plain.end() if plain else self._at
        if self._at == len(tail):
            return
        stop = tail[self._at]
        self._at += 1
        if stop == _QUOTE:
            self._place = _IN_STRING
        else:
            self._depth += 1 if stop in _OPENING else -1

    def _ends_with_stream(self) -> bool:
        return self._place == _IN_WORD

    def _decode(self, data: bytes) -> Any:
        try:
            return self._values.decode(data)
        except RecursionError:
            raise ValueError("the value is nested too deep, the one") from None
        except ValueError as error:
            raise ValueError(f"{error} in the value") from None

    def encode(self, messages: Iterable[Any], /) -> bytes:
        values = messages if type(messages) is list else list(messages)
        data = encoded(self._values, values, self._text)
        if len(data) > self._max_size:
            check_sizes(self._framing, values, lambda value: len(self._values.encode(value)))
        return data
