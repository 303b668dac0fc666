"""How to try again, as plain values: pauses, rows of tries, and what is worth another."""

from __future__ import annotations

import errno
import pickle
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketkit.config.backoff import chance
from socketkit.config.options import Options
from socketkit.config.retry import Retry, RetryState, is_transient, parse_retry
from socketkit.errors import (
    AddressError,
    Attempt,
    BrokenError,
    ClosedError,
    ConnectError,
    DeadlineError,
    HandshakeError,
    OptionError,
    RejectedError,
    ResolveError,
)

seconds = st.integers(0, 10**6).map(lambda count: count / 1000)
retries = st.builds(
    lambda attempts, pauses, factor, jitter, deadline: Retry(
        attempts, min(pauses), factor, max(pauses), jitter, deadline
    ),
    st.one_of(st.none(), st.integers(1, 1000)),
    st.tuples(seconds, seconds),
    st.floats(1, 1000),
    st.floats(0, 1),
    st.one_of(st.none(), seconds),
)


def test_the_defaults_are_those_of_the_page() -> None:
    assert Retry() == Retry(attempts=None, first=0.1, factor=2, maximum=10, jitter=0.5, deadline=None)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (5, Retry(attempts=6)),
        (0, Retry(attempts=1)),
        ("5", Retry(attempts=6)),
        ("forever", Retry()),
        ("5,first=50ms,maximum=1m", Retry(attempts=6, first=0.05, maximum=60)),
        ("forever,factor=1.5,jitter=0,deadline=30s", Retry(factor=1.5, jitter=0, deadline=30)),
        (Retry(attempts=3), Retry(attempts=3)),
    ],
)
def test_what_is_read(given: object, meant: Retry) -> None:
    assert parse_retry(given) == meant
    assert Options.make(retry=given).retry == meant


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("x", "retry: 'x' is not a count; allowed is how often to try again: a count or forever"),
        ("", "retry: '' is not a count"),
        ("-1", "retry: '-1' is not a count"),
        ("5,frist=1s", "retry: 'frist' is unknown (did you mean first?)"),
        ("5,first=1s,first=2s", "retry: 'first' is given twice"),
        ("5,attempts=3", "retry: 'attempts' is unknown"),
        ("5,jitter=1.1", "retry: jitter: '1.1' is out of range; allowed is a number from 0 to 1"),
        ("5,factor=nan", "retry: factor: 'nan' is not a number"),
        ("5,factor=2x", "retry: factor: '2x' is not a number"),
        ("5,maximum=1ms", "retry: maximum: 1ms is less than the first pause, 100ms"),
        ("5,factor=\u0662", "retry: factor: '\u0662' is not a number"),
        ("5,factor=1_0", "retry: factor: '1_0' is not a number"),
        ("\u0662", "retry: '\u0662' is not a count"),
        (-1, "retry: -1 is out of range; allowed is a whole number from 0"),
        (True, "retry: True is not a whole number"),
        (1.5, "retry: 1.5 is not a whole number"),
    ],
)
def test_what_is_refused(given: object, text: str) -> None:
    with pytest.raises(OptionError) as caught:
        parse_retry(given)
    assert str(caught.value).startswith(text)


@pytest.mark.parametrize(
    "wrong", [{"attempts": 0}, {"first": -1}, {"factor": 0.5}, {"jitter": True}, {"deadline": "x"}]
)
def test_a_wrong_field_is_refused_at_once(wrong: dict[str, object]) -> None:
    with pytest.raises(OptionError, match=next(iter(wrong))):
        Retry(**wrong)  # type: ignore[arg-type]


@given(retries)
def test_text_and_value_are_inverse(retry: Retry) -> None:
    assert parse_retry(str(retry)) == retry
    assert pickle.loads(pickle.dumps(retry)) == retry


def test_pauses_grow_up_to_the_longest() -> None:
    retry = Retry(first=0.1, factor=3, maximum=2, jitter=0)
    assert [round(retry.pause(count, 0.5), 6) for count in range(1, 6)] == [0.1, 0.3, 0.9, 2, 2]


@pytest.mark.parametrize(("luck", "pause"), [(0, 4), (0.5, 3), (1, 2)])
def test_chance_takes_off_a_part(luck: float, pause: float) -> None:
    assert Retry(first=4, jitter=0.5).pause(1, luck) == pause


@given(retries, st.integers(1, 10**9), st.floats(0, 1, exclude_max=True))
def test_backoff_bounds(retry: Retry, failures: int, luck: float) -> None:
    """No pause is longer than the longest nor shorter than chance allows."""
    assert retry.first * (1 - retry.jitter) <= retry.pause(failures, luck) + 1e-9
    assert retry.pause(failures, luck) <= retry.maximum


def test_jitter_range_and_randomness() -> None:
    """Chance lies between nothing and one and is no constant."""
    numbers = [chance() for _ in range(1000)]
    assert all(0 <= number < 1 for number in numbers)
    assert len(set(numbers)) == 1000
    assert 0.4 < sum(numbers) / 1000 < 0.6  # ten times the standard deviation


def test_a_row_ends_with_its_last_try() -> None:
    tries = RetryState(Retry(attempts=3, first=1, jitter=0))
    assert [tries.failed(0, 0), tries.failed(1, 0), tries.failed(3, 0)] == [1, 2, None]
    assert tries.is_over()


def test_backoff_respects_deadline() -> None:
    """A pause takes no more than half of what is left and the row ends when that is too little."""
    tries = RetryState(Retry(first=1, jitter=0, deadline=10))
    assert tries.begin(100) == 10
    assert tries.failed(100, 0) == 1
    assert tries.begin(101) == 9
    assert tries.failed(103, 0) == 2
    assert tries.begin(105) == 5
    assert tries.failed(106, 0) == 2  # and not 4
    assert tries.failed(108, 0) == 1
    assert tries.failed(109, 0) is None
    assert not tries.is_over()


@pytest.mark.parametrize("deadline", [0, 1])
def test_a_row_without_time_ends_at_once(deadline: float) -> None:
    tries = RetryState(Retry(first=0, deadline=deadline))
    tries.begin(100)
    assert tries.failed(100 + deadline, 0) is None


def test_success_begins_a_new_row() -> None:
    tries = RetryState(Retry(attempts=2, first=1, jitter=0, deadline=10))
    tries.begin(0)
    assert tries.failed(0, 0) == 1
    tries.succeeded()
    assert tries.begin(1000) == 10
    assert tries.failed(1000, 0) == 1


def refused(number: int, address: str = "tcp://h:1") -> ConnectError:
    return ConnectError("x", address=address, errno=number)


@pytest.mark.parametrize(
    "error",
    [
        refused(errno.ECONNREFUSED),
        refused(errno.ETIMEDOUT),
        refused(errno.EHOSTUNREACH),
        refused(errno.ENETUNREACH),
        refused(errno.ECONNRESET),
        refused(errno.EMFILE),
        refused(errno.ENOENT, "unix:///run/s"),
        refused(errno.ENOENT, "tls+unix:///run/s"),
        ConnectError(
            "x", errno=errno.EACCES, attempts=(Attempt("a", "no", errno.EACCES), Attempt("b", "no", errno.ECONNREFUSED))
        ),
        ResolveError("x", errno=socket.EAI_AGAIN),
        HandshakeError("x", errno=errno.ECONNRESET),
        DeadlineError("x"),
        BrokenError("x"),
    ],
    ids=repr,
)
def test_worth_another_try(error: BaseException) -> None:
    assert is_transient(error)


@pytest.mark.parametrize(
    "error",
    [
        refused(errno.EACCES),
        refused(errno.EPERM),
        refused(errno.EPROTOTYPE),
        refused(errno.ENOENT, "exec:nothing"),
        ConnectError("x"),
        ResolveError("x", errno=socket.EAI_NONAME),
        ResolveError("x"),
        HandshakeError("the certificate has expired"),
        RejectedError("it wants a certificate of ours"),
        AddressError("x"),
        OptionError("x"),
        ClosedError("x"),
        ValueError("x"),
        KeyboardInterrupt(),
    ],
    ids=repr,
)
def test_not_worth_another_try(error: BaseException) -> None:
    assert not is_transient(error)
