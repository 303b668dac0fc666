"""`json`: a JSON value a line (ndjson.org, jsonlines.org).

A line feed ends a value, and so none can stand inside one; a `\\r` before it, and blank lines, mean nothing. The last
value of a stream needs no end. `max_size` counts the line without its end. Values written over several lines, or
without line ends, are `json-stream`'s.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from socketkit.errors import TruncatedFrameError
from socketkit.framing.codec import Codec
from socketkit.framing.decoder import check_sizes
from socketkit.framing.delimiter_decoder import DelimiterCodec
from socketkit.framing.json_values import encoded, json_values
from socketkit.framing.spec import FramingSpec, Size, max_size, oversize

__all__ = ["Json"]


class Json(FramingSpec[Any]):
    """A JSON value a line. Messages are what JSON means in Python: dict, list, str, int, float, bool, None."""

    name = "json"
    title = "a JSON value a line"

    max_size: Size = max_size()
    oversize: Literal["fail", "skip"] = oversize("fail", "skip")

    def codec(self) -> Codec[Any]:
        """Return a fresh codec for one connection."""
        return _JsonCodec(self)


class _JsonCodec(DelimiterCodec):
    __slots__ = ("_decode", "_values")

    _framing: Json
    _policies = "skip"
    _drops_blank = True

    def __init__(self, framing: Json) -> None:
        super().__init__(framing, b"\n", max_frame_size=framing.max_size + 1)  # with the \r that belongs to the end
        self._values = json_values()
        self._decode = self._values.decode

    def _read(self, block: bytes) -> list[Any]:
        lines = block.split(b"\n")
        del lines[-1]
        try:
            return list(map(self._decode, lines))
        except RecursionError:
            raise ValueError("the value is nested too deep") from None
        except ValueError:
            written = [line for line in lines if line.strip()]
            if len(written) == len(lines):
                raise
            return self._read(b"".join([line + b"\n" for line in written]))

    def _read_last(self, frame: bytes) -> list[Any]:
        try:
            return self._read(frame + b"\n")
        except ValueError as error:
            raise TruncatedFrameError(
                f"{self._text}: the stream ended at offset {self.offset + len(frame)} in a line that is no JSON value "
                f"({error}): {len(frame)} bytes of it came",
                framing=self._text,
                offset=self.offset,
                partial=frame,
            ) from None

    def _payload_size(self, frame: bytes | bytearray) -> int:
        return len(frame) - frame.endswith(b"\r")

    def _is_too_long(self, tail: bytes | bytearray) -> bool:
        return self._payload_size(tail) > self._max_size

    def _problem(self, error: ValueError) -> str:
        return f"{error} (json takes one value a line; values over several lines are json-stream) in the line"

    def encode(self, messages: Iterable[Any], /) -> bytes:
        values = messages if type(messages) is list else list(messages)
        data = encoded(self._values, values, self._text)
        if len(data) > self._max_size:
            check_sizes(self._framing, values, lambda value: len(self._values.encode(value)))
        return data
