"""Plain values: what the rest of the house may rely on."""

from __future__ import annotations

import pickle

import pytest

from socketkit.values import Value, field, replace


class Point(Value):
    """Two numbers."""

    x: int
    y: int = 0


class Named(Point):
    """A point with a name."""

    name: str = field("here", kind="text")


class Twin(Value):
    """The same fields in another class."""

    x: int
    y: int = 0


class Even(Value):
    """Checks itself."""

    number: int

    def __post_init__(self) -> None:
        if self.number % 2:
            raise ValueError(f"{self.number} is odd")


def test_fields_positional_keyword_default():
    """Fields are given by position or by name and defaults fill the rest."""
    assert (Point(1).y, Point(x=1, y=2).y, Named(1, name="n").name, Named(1).name) == (0, 2, "n", "here")


@pytest.mark.parametrize(
    ("args", "keywords", "told"),
    [
        ((), {}, "Point needs a value for 'x'"),
        ((1, 2, 3), {}, "Point has 2 fields, not 3"),
        ((1,), {"z": 1}, "Point has no field 'z'; its fields are x, y"),
        ((1,), {"x": 1}, "Point has two values for the field 'x'; its fields are x, y"),
    ],
)
def test_wrong_arguments_are_told(args, keywords, told):
    with pytest.raises(TypeError, match="^" + told + "$"):
        Point(*args, **keywords)


def test_equality_by_class_and_values():
    """Equal means the same class and the same values."""
    assert Point(1, 2) == Point(1, 2)
    assert Point(1, 2) != Point(1, 3)
    assert Point(1, 2) != Twin(1, 2)
    assert Point(1, 2) != (1, 2)
    assert len({Point(1, 2), Point(1, 2), Twin(1, 2)}) == 2


def test_nothing_can_be_changed_or_added():
    point = Point(1)
    for change in (lambda: setattr(point, "x", 2), lambda: setattr(point, "z", 2), lambda: delattr(point, "x")):
        with pytest.raises(AttributeError):
            change()
    assert point == Point(1)


def test_repr_pickle_replace_match():
    """It shows pickles replaces and matches."""
    assert repr(Named(1)) == "Named(x=1, y=0, name='here')"
    assert pickle.loads(pickle.dumps(Named(1, 2, "n"))) == Named(1, 2, "n")
    assert replace(Named(1, 2, "n"), y=3) == Named(1, 3, "n")
    match Point(1, 2):
        case Point(x, y):
            assert (x, y) == (1, 2)


def test_a_check_runs_at_each_making():
    with pytest.raises(ValueError, match="3 is odd"):
        replace(Even(2), number=3)


def test_a_field_knows_its_facts():
    assert Named.fields["name"].facts == {"kind": "text"}
    assert list(Named.fields) == ["x", "y", "name"]
