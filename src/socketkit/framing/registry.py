"""From a name, an object or a class to a framing: the one table of names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any, Final, cast

from socketkit.config.quoting import quote, suggest
from socketkit.errors import OptionError
from socketkit.framing.codec import Codec, Framing
from socketkit.framing.spec import FramingSpec
from socketkit.values import Value

__all__ = ["FRAMINGS", "of", "parse"]

_MODULES: Final = {
    "chunks": ("chunks", "Chunks"),
    "lines": ("lines", "Lines"),
    "delimited": ("delimited", "Delimited"),
    "fixed": ("fixed", "Fixed"),
    "length": ("length", "Length"),
    "varint": ("varint", "Varint"),
    "netstring": ("netstring", "Netstring"),
    "octets": ("octet_counting", "Octets"),
    "content-length": ("content_length", "ContentLength"),
    "cobs": ("cobs", "Cobs"),
    "slip": ("slip", "Slip"),
    "json": ("json_lines", "Json"),
    "json-stream": ("json_stream", "JsonStream"),
    "msgpack": ("msgpack", "Msgpack"),
}


class _Framings(Mapping[str, type[FramingSpec]]):
    """Loads the module of a framing on first use: a program uses one or two of them."""

    def __getitem__(self, name: str) -> type[FramingSpec]:
        module_name, kind = _MODULES[name]
        module = import_module(f"socketkit.framing.{module_name}")
        found: type[FramingSpec] = getattr(module, kind)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(_MODULES)

    def __len__(self) -> int:
        return len(_MODULES)


FRAMINGS: Final[Mapping[str, type[FramingSpec]]] = _Framings()
"""Every framing by its name, in the order of the docs."""


def parse(text: str) -> FramingSpec:
    """Return the framing that a text names, with its options: `lines`, `lines:crlf`, `length:2le,includes=header`.

    Returns:
        The description; `str` of it is the canonical text, and `parse` of that is equal to it.

    Raises:
        OptionError: an unknown name, option or value; the message quotes it and lists what is allowed.
    """
    name, colon, arguments = text.partition(":")
    kind = FRAMINGS.get(name)
    if kind is None:
        near = suggest(name, FRAMINGS)
        raise OptionError(f"unknown framing {quote(name)}{near}; allowed are {', '.join(FRAMINGS)}")
    return kind.read(arguments if colon else None)


def of(value: object) -> Framing:
    """Return the framing for a name, an object, or the class of a codec.

    Args:
        value: text for `parse`; an object with `codec()`; or a class (or another callable without arguments) that
            makes a codec, or a framing.

    Raises:
        OptionError: it is none of these, or the text is wrong.
    """
    if isinstance(value, str):
        return parse(value)
    if not isinstance(value, type) and callable(getattr(value, "codec", None)):
        return cast(Framing, value)
    if isinstance(value, type) or (callable(value) and not isinstance(value, Codec)):
        return _of_factory(value)
    if isinstance(value, Codec):
        raise OptionError(
            f"framing={quote(value)} is a codec, which holds one connection's bytes: give its class, or a function "
            "that makes one"
        )
    raise OptionError(
        f"framing={quote(value)} is no framing; allowed are a name ({', '.join(FRAMINGS)}), a framing object, or a "
        "class with encode, feed and feed_eof"
    )


def _of_factory(factory: Callable[[], Any]) -> Framing:
    """Return a framing for what makes a codec, or a framing; called once, so that a mistake shows at once."""
    if isinstance(factory, type) and issubclass(factory, FramingSpec):
        return factory.read(None)
    name = getattr(factory, "__name__", type(factory).__name__)
    try:
        made = factory()
    except TypeError as error:
        raise OptionError(f"framing={name} cannot be made without arguments: {error}") from error
    if callable(getattr(made, "codec", None)):
        return cast(Framing, made)
    missing = [method for method in ("encode", "feed", "feed_eof") if not callable(getattr(made, method, None))]
    if missing:
        raise OptionError(f"framing={name} makes {quote(made)}, which has no {' and no '.join(missing)}")
    return _Own(cast(Callable[[], Codec], factory), name)


class _Own(Value):
    """A framing of the user's own: what makes its codecs, and its name for error texts."""

    make: Callable[[], Codec]
    name: str

    def codec(self) -> Codec:
        """Return a fresh codec for one connection."""
        return self.make()

    def __str__(self) -> str:
        return self.name
