"""What every description of a framing shares: frozen options, read from text and written as text.

A description is a plain value; its fields are its options, each with a kind (as in `socketkit.options`), a default and
a sentence. The text is `name` or `name:argument,argument,key=value,...`; `str` writes the one canonical form of it.
No bytes are looked at here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeAlias, TypeVar

from socketkit.config.option_types import SWITCH, OptionType, choice_kind, size_kind
from socketkit.config.quoting import quote, suggest
from socketkit.errors import OptionError
from socketkit.framing.codec import DEFAULT_MAX_SIZE, Codec, M
from socketkit.values import MISSING, Field, Value, field

__all__ = [
    "Converted",
    "Count",
    "FramingSpec",
    "Limited",
    "OptionRow",
    "Oversize",
    "Size",
    "max_size",
    "option",
    "oversize",
]

D = TypeVar("D", bound="FramingSpec")
_KEY = r"[A-Za-z][A-Za-z_-]*"

Oversize: TypeAlias = Literal["fail", "skip", "truncate"]
"""What comes of a frame that is too long."""

Held = TypeVar("Held")
Given = TypeVar("Given")

if TYPE_CHECKING:

    class Converted(Generic[Held, Given]):
        """A field that is given as one type and holds another, as type checkers see it: a descriptor."""

        def __get__(self, instance: object, owner: Any) -> Held: ...
        def __set__(self, instance: Any, value: Given) -> None: ...

    Size: TypeAlias = Converted[int, int | str]
    """Bytes, given as a number or as text with a unit: `"64KiB"`."""

    Count: TypeAlias = Converted[int, int | str]
    """How many, given as a number or as text."""
else:
    Converted = Any
    Size = Count = int


def option(kind: OptionType, sentence: str, *, default: Any = MISSING) -> Any:
    """A field of a description: what values it takes, its default, and one sentence for the docs."""
    return field(default, kind=kind, sentence=sentence)


def max_size() -> Any:
    """The option that most framings share: how long is too long."""
    return option(
        size_kind(),
        "Largest payload of one frame, in bytes, inclusive; 1 MiB as websockets has it: 64 KiB is met too early.",
        default=DEFAULT_MAX_SIZE,
    )


def oversize(*words: str) -> Any:
    """The option that goes with it: what comes of what is too long."""
    sentence = "What comes of a longer frame: an error, nothing, or its beginning; fail: no data is lost unasked."
    if "truncate" not in words:
        sentence = "What comes of a longer frame: an error, or nothing; fail: no data is lost unasked."
    return option(choice_kind(*words), sentence, default="fail")


class Limited(Protocol):
    """A description whose frames can be too long."""

    @property
    def max_size(self) -> int: ...

    @property
    def oversize(self) -> str: ...

    def codec(self) -> Codec: ...


class OptionRow(Value):
    """One option of a framing, for docs and `--help`; `default` is None where there is none and it must be given."""

    name: str
    default: str | None
    kind: str
    sentence: str


class FramingSpec(Value, Generic[M]):
    """A framing as a value: its fields are its options, checked when it is made; equal when they are equal."""

    name = ""
    title = ""
    repeatable = ""  # the option that may be given more than once: its values come as a list

    def __post_init__(self) -> None:
        for name, entry in type(self).fields.items():
            object.__setattr__(self, name, _kind(entry).parse(getattr(self, name), name=f"{self.name}: {name}"))

    def codec(self) -> Codec[M]:
        """Return a fresh codec for one connection."""
        raise NotImplementedError

    @property
    def native(self) -> tuple[Any, ...] | None:
        """What the compiled core needs to know to decode and encode the usual frames by itself: the name of the
        framing, then its options. None: it cannot. See `codec.native_description`."""
        return None

    def __str__(self) -> str:
        arguments = self._arguments()
        return f"{self.name}:{','.join(arguments)}" if arguments else self.name

    def _arguments(self) -> list[str]:
        """The canonical text, argument by argument. A framing overrides it where the first argument has no key."""
        return self._keyed(list(type(self).fields))

    def _keyed(self, names: list[str]) -> list[str]:
        """`key=value` for each of these fields that has not its default."""
        written = []
        for name in names:
            entry, value = type(self).fields[name], getattr(self, name)
            if value is True and entry.default is False:
                written.append(name)
            elif value != entry.default:
                written.append(f"{name}={_kind(entry).format(value)}")
        return written

    @classmethod
    def read(cls: type[D], arguments: str | None) -> D:
        """The description that a text means.

        Args:
            arguments: the text behind the name and its colon; None: there is none.

        Raises:
            OptionError: an unknown option or a wrong value; the message quotes it and lists what is allowed.
        """
        given: dict[str, Any] = {}
        for argument in [] if arguments is None else arguments.split(","):
            for name, value in cls._read_argument(argument).items():
                if name == cls.repeatable:
                    given.setdefault(name, []).append(value)
                elif name in given:
                    raise OptionError(f"{cls.name}: {name} is given twice")
                else:
                    given[name] = value
        for name, entry in cls.fields.items():
            if entry.default is MISSING and name not in given:
                raise OptionError(f"{cls.name}: the {name} is missing; {cls._allowed()}")
        return cls(**given)

    @classmethod
    def _read_argument(cls, argument: str) -> Mapping[str, object]:
        key, equals, value = argument.partition("=")
        if not equals or not re.fullmatch(_KEY, key):
            return cls._read_bare(argument)
        name = key.replace("-", "_")
        if name not in cls.fields:
            raise OptionError(f"{cls.name}: unknown option {quote(key)}{suggest(key, cls.fields)}; {cls._allowed()}")
        return {name: value}

    @classmethod
    def _read_bare(cls, argument: str) -> Mapping[str, object]:
        """The options that an argument without a key means: by itself, the switch of that name is on."""
        name = argument.replace("-", "_")
        if name in cls.fields and _kind(cls.fields[name]) is SWITCH:
            return {name: True}
        near = suggest(argument, cls.fields)
        raise OptionError(f"{cls.name}: unknown option {quote(argument)}{near}; {cls._allowed()}")

    @classmethod
    def _allowed(cls) -> str:
        rows = [f"{name} ({_kind(entry).name})" for name, entry in cls.fields.items()]
        return f"allowed are {', '.join(rows)}" if rows else "it takes no options"

    @classmethod
    def describe(cls) -> tuple[OptionRow, ...]:
        """Every option of this framing, for docs and `--help`."""
        return tuple(
            OptionRow(
                name=name,
                default=None if entry.default is MISSING else _kind(entry).format(entry.default),
                kind=_kind(entry).name,
                sentence=entry.facts["sentence"],
            )
            for name, entry in cls.fields.items()
        )


def _kind(entry: Field) -> OptionType:
    kind: OptionType = entry.facts["kind"]
    return kind
