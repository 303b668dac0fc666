"""Events are plain frozen values; observers are combined without a cost for those who want no calls."""

from __future__ import annotations

import pickle

import pytest

from socketkit import events
from socketkit.events import Accepted, Called, Closed, Event, Received, combine, wants_calls
from support.recorder import Recorder

EVENTS = [getattr(events, name) for name in events.__all__]
KINDS = [kind for kind in EVENTS if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event]


class CallRecorder(Recorder):
    wants_calls = True


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_event_is_a_value(kind: type[Event]) -> None:
    values = list(range(len(kind.fields)))
    event, same = kind(*values), kind(*values)
    assert event == same
    assert hash(event) == hash(same)
    assert pickle.loads(pickle.dumps(event)) == event
    assert [getattr(event, name) for name in kind.fields] == values
    with pytest.raises(AttributeError):
        setattr(event, next(iter(kind.fields)), None)


def test_event_types_never_equal() -> None:
    """Events of different kinds differ also with the same values."""
    assert events.EndReceived(1) != events.EndSent(1)


def test_every_event_says_what_it_means() -> None:
    assert all(kind.__doc__ and kind.__doc__.strip().endswith((".", "`")) for kind in KINDS if kind is not Called)


def test_combine_observers() -> None:
    """One observer needs no wrapper and none is none."""
    recorder = Recorder()
    assert combine(None, recorder) is recorder
    assert combine(None, None) is None
    assert combine() is None


def test_several_are_told_in_order() -> None:
    told: list[tuple[str, Event]] = []
    observer = combine(lambda event: told.append(("a", event)), None, lambda event: told.append(("b", event)))
    assert observer is not None
    observer(Received(1, b"x"))
    assert told == [("a", Received(1, b"x")), ("b", Received(1, b"x"))]


def test_call_events_only_on_request() -> None:
    """Calls are reported to those alone who want them."""
    plain, curious = Recorder(), CallRecorder()
    observer = combine(plain, curious)
    assert observer is not None and wants_calls(observer)
    assert not wants_calls(combine(plain, Recorder()))
    assert not wants_calls(None)
    call = Called(3, "recv", ("65536",), "1", b"x")
    for event in (Accepted(1, "a", "b"), call, Closed(1, 0, 0, None)):
        observer(event)
    assert plain.events == [Accepted(1, "a", "b"), Closed(1, 0, 0, None)]
    assert curious.events == [Accepted(1, "a", "b"), call, Closed(1, 0, 0, None)]
