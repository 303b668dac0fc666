"""A loop of `receive` that never waits obeys trio's time limits."""

from __future__ import annotations

import contextlib

import pytest

from socketkit import ClosedError, pair


def test_trio_time_limit_in_flood():
    """`move_on_after` ends a loop of `receive` whose socket always has more."""
    trio = pytest.importorskip("trio")

    async def main():
        async with pair(framing="lines") as (near, far), trio.open_nursery() as nursery:

            async def flood():
                with contextlib.suppress(ClosedError):  # it is ended by the cancellation, or by `abort` just behind it
                    while True:
                        await far.send_many(["x"] * 10_000)

            nursery.start_soon(flood)
            received = 0
            with trio.move_on_after(0.05) as scope:
                while True:
                    await near.receive()
                    received += 1
            assert scope.cancelled_caught
            assert received > 0
            nursery.cancel_scope.cancel()
            far.abort()  # what is unsent does not matter

    with_limit(trio, main)


def with_limit(trio, main):
    async def limited():
        with trio.fail_after(20):
            await main()

    trio.run(limited)
