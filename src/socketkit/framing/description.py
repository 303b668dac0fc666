"""What every description of a framing shares: frozen options, read from text and written as text.

A description is a frozen dataclass; its fields are its options, each with a kind (from `socketkit.options`), a default
and a sentence. The text is `name` or `name:argument,argument,key=value,...`; `str` writes the one canonical form of it.
No bytes are looked at here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, ClassVar, TypeVar

from socketkit.errors import OptionError
from socketkit.framing.codec import DEFAULT_MAX_SIZE, Codec
from socketkit.options import Kind, format_size, format_switch, parse_size, parse_switch, quote, suggest

__all__ = ["SWITCH", "Described", "Limited", "OptionRow", "choice", "option", "size"]

_Self = TypeVar("_Self", bound="Described")
_KEY = re.compile(r"[A-Za-z][A-Za-z_-]*")
_LIMITS = ("max_size", "oversize")


# --- options ---------------------------------------------------------------------------------------------------------


def option(kind: Kind, sentence: str, *, default: Any = MISSING, kw_only: bool = False) -> Any:
    """A field of a description: what values it takes, its default, and one sentence for the docs."""
    return field(default=default, kw_only=kw_only, metadata={"kind": kind, "sentence": sentence})


def choice(*words: str) -> Kind:
    """One word of these."""

    def read(value: object, *, name: str = "") -> str:
        if value not in words:
            raise OptionError(f"{name}={quote(value)}; allowed are {', '.join(words)}")
        return str(value)

    return Kind(" | ".join(words), read, str)


def size(minimum: int = 0, maximum: int = 2**63 - 1) -> Kind:
    """A count of bytes, as a number or as text with a unit."""

    def read(value: object, *, name: str = "") -> int:
        return parse_size(value, name=name, minimum=minimum, maximum=maximum)

    return Kind("size", read, format_size)


SWITCH = Kind("yes/no", parse_switch, format_switch)


@dataclass(frozen=True, slots=True)
class OptionRow:
    """One option of a framing, for docs and `--help`; `default` is None where there is none and it must be given."""

    name: str
    default: str | None
    kind: str
    sentence: str


# --- descriptions ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Described:
    """A framing as a value: its fields are its options, checked when it is made, equal when they are equal."""

    name: ClassVar[str] = ""
    title: ClassVar[str] = ""

    def __post_init__(self) -> None:
        for entry in fields(self):
            kind: Kind = entry.metadata["kind"]
            value = kind.parse(getattr(self, entry.name), name=f"{self.name}: {entry.name}")
            object.__setattr__(self, entry.name, value)

    def codec(self) -> Codec:
        """A fresh codec for one connection."""
        raise NotImplementedError

    def __str__(self) -> str:
        arguments = [*self._written_first(), *self._written_options()]
        return f"{self.name}:{','.join(arguments)}" if arguments else self.name

    # What a room overrides when its text starts with an argument that has no key.

    _first: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def _read_first(cls, text: str) -> Mapping[str, object]:
        """The options that an argument without a key means. By itself: the switch of that name."""
        if text in _options(cls) and _options(cls)[text].metadata["kind"] is SWITCH:
            return {text: True}
        raise OptionError(f"{cls.name}: unknown option {quote(text)}{_near(cls, text)}; {_allowed(cls)}")

    def _written_first(self) -> list[str]:
        """The arguments without a key that say the fields named in `_first`."""
        return []

    def _written_options(self) -> list[str]:
        written = []
        for name, entry in _options(type(self)).items():
            value = getattr(self, name)
            if name in self._first or value == entry.default:
                continue
            kind: Kind = entry.metadata["kind"]
            written.append(name if value is True else f"{name}={kind.format(value)}")
        return written

    # --- text ---

    @classmethod
    def read(cls: type[_Self], arguments: str | None) -> _Self:
        """The description that this text after the name means; None: there is no text.

        Raises:
            OptionError: an unknown option or a wrong value; the message quotes it and lists what is allowed.
        """
        given: dict[str, object] = {}
        for argument in [] if arguments is None else arguments.split(","):
            for name, value in cls._read_argument(argument).items():
                if name in given:
                    raise OptionError(f"{cls.name}: {name} is given twice")
                given[name] = value
        missing = [name for name, entry in _options(cls).items() if entry.default is MISSING and name not in given]
        if missing:
            raise OptionError(f"{cls.name}: {missing[0]} is missing; {_allowed(cls)}")
        return cls(**given)

    @classmethod
    def _read_argument(cls, argument: str) -> Mapping[str, object]:
        key, equals, value = argument.partition("=")
        if not equals or not _KEY.fullmatch(key):
            return cls._read_first(argument)
        name = key.replace("-", "_")
        if name not in _options(cls):
            raise OptionError(f"{cls.name}: unknown option {quote(key)}{_near(cls, key)}; {_allowed(cls)}")
        return {name: value}

    @classmethod
    def describe(cls) -> tuple[OptionRow, ...]:
        """Every option of this framing, for docs and `--help`."""
        return tuple(
            OptionRow(
                name=name,
                default=None if entry.default is MISSING else entry.metadata["kind"].format(entry.default),
                kind=entry.metadata["kind"].name,
                sentence=entry.metadata["sentence"],
            )
            for name, entry in _options(cls).items()
        )


def _options(cls: type[Described]) -> dict[str, Any]:
    """The fields by name; those about the limit, which most framings share, come last."""
    return {entry.name: entry for entry in sorted(fields(cls), key=lambda entry: entry.name in _LIMITS)}


def _near(cls: type[Described], word: str) -> str:
    return suggest(word, _options(cls))


def _allowed(cls: type[Described]) -> str:
    rows = [f"{name}={entry.metadata['kind'].name}" for name, entry in _options(cls).items()]
    return f"allowed are {', '.join(rows)}" if rows else "it takes no options"


@dataclass(frozen=True, slots=True)
class Limited(Described):
    """A framing whose frames can be too long."""

    max_size: int = option(
        size(),
        "Largest payload of one frame, in bytes, inclusive; 1 MiB as websockets has it, as 64 KiB is met too early.",
        default=DEFAULT_MAX_SIZE,
        kw_only=True,
    )
    oversize: str = option(
        choice("fail", "skip", "truncate"),
        "What comes of a longer frame: an error, nothing, or its beginning; to lose data must be asked for.",
        default="fail",
        kw_only=True,
    )
