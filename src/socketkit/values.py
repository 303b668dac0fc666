"""Plain frozen values with named fields: what events, addresses, options and statistics are made of.

The standard library's dataclasses do the same; they cost 15 ms of start-up (they load `inspect`) and half a millisecond
a class, which is much for a command that opens one socket. This is the part of them that is used here: annotated
fields, defaults, comparison by type and value, a hash, a repr, pickling, `replace`. Type checkers see a dataclass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, dataclass_transform

if TYPE_CHECKING:
    from inspect import Signature

__all__ = ["MISSING", "Field", "Value", "field", "replace"]

V = TypeVar("V", bound="Value")

MISSING: Any = object()
"""The default of a field that has none."""


class Field:
    """The default of a field, and facts about it (its option type, a sentence for the documentation)."""

    __slots__ = ("default", "facts")

    def __init__(self, default: Any, facts: dict[str, Any]) -> None:
        self.default = default
        self.facts = facts


def field(default: Any = MISSING, **facts: Any) -> Any:
    """Describe a field of a value: its default and facts about it."""
    return Field(default, facts)


@dataclass_transform(frozen_default=True)
class ValueType(type):
    """Makes the annotations of a class its slots, in order, after those of its base."""

    fields: dict[str, Field]

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> ValueType:
        own = dict.fromkeys(namespace.get("__annotations__", ()), MISSING)
        own.update((name, namespace.pop(name)) for name in own if name in namespace)
        fields = dict(getattr(bases[0], "fields", {})) if bases else {}
        for field_name, default in own.items():
            fields[field_name] = default if isinstance(default, Field) else Field(default, {})
        namespace["__slots__"] = tuple(own)
        namespace["__match_args__"] = tuple(fields)
        made = super().__new__(mcs, name, bases, namespace)
        made.fields = fields
        return made

    @property
    def __signature__(cls) -> Signature:
        """The fields as parameters, for `help` and `inspect.signature`, which has loaded `inspect`."""
        from inspect import Parameter, Signature

        annotations: dict[str, Any] = {}
        for base in reversed(cls.__mro__):
            annotations |= vars(base).get("__annotations__", {})
        parameters = [
            Parameter(
                name,
                Parameter.POSITIONAL_OR_KEYWORD,
                default=Parameter.empty if entry.default is MISSING else entry.default,
                annotation=annotations.get(name, Parameter.empty),
            )
            for name, entry in cls.fields.items()
        ]
        return Signature(parameters)


class Value(metaclass=ValueType):
    """The base of all plain values. Fields are passed by position or by name; none can be changed afterwards."""

    def __init__(self, *args: Any, **keywords: Any) -> None:
        kind = type(self)
        fields = kind.fields
        if len(args) == len(fields) and not keywords:  # the short way of what is made often
            set_field = object.__setattr__
            for name, value in zip(fields, args, strict=True):
                set_field(self, name, value)
            self.__post_init__()
            return
        if len(args) > len(fields):
            raise TypeError(f"{kind.__name__} has {len(fields)} fields, not {len(args)}")
        given = dict(zip(fields, args, strict=False))
        for name, value in keywords.items():
            if name not in fields or name in given:
                problem = "no field" if name not in fields else "two values for the field"
                raise TypeError(f"{kind.__name__} has {problem} {name!r}; its fields are {', '.join(fields)}")
            given[name] = value
        set_field = object.__setattr__
        for name in fields:
            value = given[name] if name in given else fields[name].default
            if value is MISSING:
                raise TypeError(f"{kind.__name__} needs a value for {name!r}")
            set_field(self, name, value)
        self.__post_init__()

    def __post_init__(self) -> None:
        """Check or normalize the fields after they are set; for subclasses."""

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a {type(self).__name__} is a value: make another one instead of changing {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a {type(self).__name__} is a value: {name!r} cannot be taken from it")

    def _values(self) -> tuple[Any, ...]:
        return tuple([getattr(self, name) for name in type(self).fields])

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        return hash((type(self), self._values()))

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in type(self).fields)
        return f"{type(self).__name__}({fields})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self._values())


def _rebuild(kind: type[V], values: tuple[Any, ...]) -> V:
    return kind(*values)


def replace(value: V, **changes: Any) -> V:
    """A copy of the value with some fields changed; it is checked as a new one is."""
    return type(value)(**{name: getattr(value, name) for name in type(value).fields} | changes)
