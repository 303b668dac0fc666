"""Which target is tried first, and how much may pass: decided without a socket and without a clock."""

from __future__ import annotations

import pytest

from socketkit import Address
from socketkit.apps.relay.token_bucket import BURST, TokenBucket, portion_of
from socketkit.apps.relay.upstreams import MAX_BACKOFF, MIN_BACKOFF, Balance, Targets

A, B, C = [Address.parse(f"tcp://h:{port}") for port in (1, 2, 3)]


def order(targets: Targets, now: float = 0.0) -> list[int | None]:
    return [target.address.port for target in targets.in_order(now)]


def test_first_keeps_the_order() -> None:
    targets = Targets([A, B, C])
    assert [order(targets) for _ in range(2)] == [[1, 2, 3], [1, 2, 3]]


def test_round_robin_begins_with_the_next() -> None:
    targets = Targets([A, B, C], Balance.ROUND_ROBIN)
    assert [order(targets) for _ in range(4)] == [[1, 2, 3], [2, 3, 1], [3, 1, 2], [1, 2, 3]]


def test_least_connections_first() -> None:
    """Least begins with the one that has the fewest conversations."""
    targets = Targets([A, B, C], Balance.LEAST)
    first, second, third = targets.in_order(0)
    first.active_count, second.active_count, third.active_count = 2, 1, 2
    assert order(targets)[0] == 2
    second.active_count = 2
    assert sorted(order(targets)[0] for _ in range(3)) == [1, 2, 3], "equals take turns"


def test_failed_upstream_rests() -> None:
    """One that failed comes last until it has rested."""
    targets = Targets([A, B])
    ill = targets.in_order(0)[0]
    assert ill.has_failed(10.0) == MIN_BACKOFF
    assert order(targets, 10.0) == [2, 1]
    assert order(targets, 10.0 + MIN_BACKOFF) == [1, 2]
    assert ill.has_failed(20.0) == 2 * MIN_BACKOFF
    assert [ill.has_failed(30.0) for _ in range(20)][-1] == MAX_BACKOFF
    assert (ill.has_answered(), ill.has_answered()) == (True, False)
    assert order(targets, 30.0) == [1, 2]


def test_all_resting_earliest_first() -> None:
    """Where all rest the one that is done first is tried first."""
    targets = Targets([A, B])
    first, second = targets.in_order(0)
    first.has_failed(1.0)
    second.has_failed(0.5)
    assert order(targets, 1.0) == [2, 1]


def test_token_bucket_rate_and_burst() -> None:
    """A bucket lets its rate pass and a burst after silence."""
    bucket = TokenBucket(1000)
    now = 100.0
    assert bucket.take(int(1000 * BURST), now) == 0.0
    passed = 0
    while now < 110.0:
        passed += 10
        now += bucket.take(10, now)
    assert passed == pytest.approx(10_000, rel=0.01)


def test_silence_earns_no_more_than_a_burst() -> None:
    bucket = TokenBucket(1000)
    bucket.take(1, 0.0)
    assert bucket.take(1000, 500.0) == pytest.approx(1 - BURST)


def test_portions_fit_the_rate() -> None:
    assert (portion_of(1_000_000), portion_of(1)) == (100_000, 1)
