"""The targets of a relay: which is tried first, and how long one that failed is left alone.

It decides and opens nothing; time is an argument.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from socketkit.config.address import Address

__all__ = ["Balance", "Target", "Targets"]

MIN_BACKOFF: Final = 1.0
MAX_BACKOFF: Final = 30.0
"""Seconds that a target is left alone after it failed: one, doubling to thirty. Where no other target is left it is
tried all the same, so a single target is always tried."""


class Balance(StrEnum):
    """Which of the targets that have not failed is tried first."""

    FIRST = "first"  # in the order of the command line: the others are spares
    ROUND_ROBIN = "round-robin"  # the next one each time
    LEAST = "least"  # the one with the fewest connections; of several the next one each time


class Target:
    """One target and its state.

    Attributes:
        address: its address.
        active_count: connections to it that are open now.
        failed_count: failures since its last success.
        retry_at: the moment from which on it is tried again; None where it has not failed.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        self.active_count = 0
        self.failed_count = 0
        self.retry_at: float | None = None

    def has_failed(self, now: float) -> float:
        """Note a failure; the seconds for which the target is left alone."""
        backoff = min(MIN_BACKOFF * 2.0 ** min(self.failed_count, 10), MAX_BACKOFF)
        self.failed_count += 1
        self.retry_at = now + backoff
        return backoff

    def has_answered(self) -> bool:
        """Note a success; whether the target had failed before."""
        had_failed = self.retry_at is not None
        self.failed_count, self.retry_at = 0, None
        return had_failed


class Targets:
    """All targets, at least one."""

    def __init__(self, addresses: Sequence[Address], balance: Balance = Balance.FIRST) -> None:
        self._targets = [Target(address) for address in addresses]
        self._balance = balance
        self._turn = 0

    def __len__(self) -> int:
        return len(self._targets)

    def in_order(self, now: float) -> list[Target]:
        """All targets in the order in which a new connection tries them: first those that have not failed, by the
        balance, then those that are left alone, the one that is due first before the others."""
        targets = self._targets
        if self._balance is not Balance.FIRST:
            turn = self._turn % len(targets)
            self._turn += 1
            targets = targets[turn:] + targets[:turn]
        ready = [target for target in targets if target.retry_at is None or target.retry_at <= now]
        waiting = [target for target in targets if target not in ready]
        if self._balance is Balance.LEAST:
            ready.sort(key=lambda target: target.active_count)
        return ready + sorted(waiting, key=lambda target: target.retry_at or 0.0)
