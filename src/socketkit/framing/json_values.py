"""JSON values to bytes and back, for the two framings that carry them; strict RFC 8259.

`msgspec` does the work where it is installed, else the standard library, several times slower. A value of JSON's types
is sent, or refused, by both alike: also subclasses of str, int and float, and True, False and None as keys. Values of
types that JSON does not have are not promised: msgspec writes some (bytes, datetime), the standard library none.
Refused: NaN and infinities (also a number too large for a float), lone surrogates, a byte order mark, more nesting than
the interpreter's stack holds. Of a key that occurs twice in an object the last
value counts, as everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

from socketkit.errors import FramingError

__all__ = ["JsonValues", "json_values"]


class JsonValues(NamedTuple):
    """The functions of both directions.

    Attributes:
        decode: returns the value of its bytes. ValueError or RecursionError: it is none.
        encode: returns the bytes of one value, without line ends. TypeError: no type of JSON; ValueError,
            RecursionError: JSON has no such value.
        encode_lines: returns the bytes of many, each with a line feed behind it. Raises as `encode` does.
    """

    decode: Callable[[bytes | bytearray], Any]
    encode: Callable[[Any], bytes]
    encode_lines: Callable[[Sequence[Any]], bytes]


def json_values() -> JsonValues:
    """Return the fastest that is installed."""
    try:
        return _from_msgspec()
    except ImportError:
        return from_stdlib()


def _from_msgspec() -> JsonValues:
    import msgspec

    encoder = msgspec.json.Encoder()

    def encode(value: Any) -> bytes:
        try:
            data = encoder.encode(value)
        except TypeError:
            return _standard().encode(value)  # it writes more kinds of keys, and subclasses
        if _may_hide_nan(data):
            _refuse_not_finite(value)
        return data

    def encode_lines(values: Sequence[Any]) -> bytes:
        try:
            data = encoder.encode_lines(values)
        except TypeError:
            return _standard().encode_lines(values)
        if _may_hide_nan(data):
            _refuse_not_finite(values)
        return data

    def _refuse_not_finite(value: Any) -> None:
        import json

        json.dumps(msgspec.to_builtins(value), allow_nan=False)

    return JsonValues(msgspec.json.Decoder().decode, encode, encode_lines)


def _may_hide_nan(data: bytes) -> bool:
    """Whether a number that is not finite may be in a value: msgspec writes it as `null`, or as text in a key."""
    return b"null" in data or b'nan":' in data or b'inf":' in data


@cache
def _standard() -> JsonValues:
    return from_stdlib()


def from_stdlib() -> JsonValues:
    """Return those of the standard library alone."""
    import json

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is not JSON")

    def finite(text: str) -> float:
        number = float(text)
        if number in (float("inf"), float("-inf")):
            raise ValueError("a number is out of the range of a float")
        return number

    decoder = json.JSONDecoder(parse_constant=refuse, parse_float=finite)
    encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))

    def decode(data: bytes | bytearray) -> Any:
        value = decoder.decode(data.decode())
        if b"\\u" in data:
            encoder.encode(value).encode()  # an escaped lone surrogate would be a str that no encoding can write
        return value

    def encode(value: Any) -> bytes:
        return encoder.encode(value).encode()

    def encode_lines(values: Sequence[Any]) -> bytes:
        return b"".join([encode(value) + b"\n" for value in values])

    return JsonValues(decode, encode, encode_lines)


def encoded(values: JsonValues, messages: Sequence[Any], framing: str) -> bytes:
    """Return the bytes of all messages, each with a line feed behind it.

    Raises:
        FramingError: a value that JSON cannot express (NaN, a lone surrogate, endless nesting).
        TypeError: a type that JSON does not have.
    """
    try:
        return values.encode_lines(messages)
    except (TypeError, ValueError, RecursionError) as error:
        for index, message in enumerate(messages):
            _refuse(values, message, index, framing)
        raise TypeError(f"{framing} sends JSON values: {error}") from None


def _refuse(values: JsonValues, message: Any, index: int, framing: str) -> None:
    """Raise if this message cannot be encoded."""
    try:
        values.encode(message)
    except TypeError as error:
        raise TypeError(f"{framing}: message {index} is no JSON value: {error}") from None
    except RecursionError:
        problem = "is nested too deep"
    except ValueError as error:
        problem = f"cannot be written as JSON: {error}"
    else:
        return
    raise FramingError(f"{framing}: message {index} {problem}; nothing was encoded", framing=framing)
