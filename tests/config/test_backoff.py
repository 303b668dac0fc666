"""Growing pauses."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from socketkit.config.backoff import Backoff, chance, polling_backoff
from socketkit.config.retry import Retry


def test_pauses_grow_to_maximum():
    backoff = Backoff(0.1, 1.0)
    assert [backoff.next() for _ in range(6)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    assert backoff.count == 6


def test_reset_begins_again():
    backoff = Backoff(0.1, 1.0, factor=3)
    assert [backoff.next(), backoff.next()] == [0.1, 0.1 * 3]
    backoff.reset()
    assert backoff.next() == 0.1


def test_jitter_shortens():
    """`luck` takes away its part of the jitter, and no more."""
    assert Backoff(1.0, 8.0, jitter=0.5).next(1.0) == 0.5
    assert Backoff(1.0, 8.0, jitter=0.5).next(0.0) == 1.0


def test_many_failures_do_not_overflow():
    backoff = Backoff(1.0, 5.0, factor=1000)
    backoff.count = 10_000
    assert backoff.next() == 5.0


def test_polling_backoff_bounds():
    backoff = polling_backoff()
    pauses = [backoff.next() for _ in range(10)]
    assert (pauses[0], pauses[-1]) == (0.001, 0.05)


@given(st.integers(1, 2000), st.floats(0, 1))
def test_retry_pauses_are_a_backoff(failures, luck):
    retry = Retry(first=0.3, maximum=7.0, factor=1.7, jitter=0.4)
    backoff = Backoff(0.3, 7.0, factor=1.7, jitter=0.4)
    backoff.count = failures - 1
    assert retry.pause(failures, luck) == backoff.next(luck)


def test_chance_is_below_one():
    assert all(0 <= chance() < 1 for _ in range(1000))
