"""Several targets for one service: which is tried first, and which is left in peace for a while after it failed.

Decides, and opens nothing; time is an argument.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from socketkit.config.address import Address

__all__ = ["Balance", "Target", "Targets"]

FIRST_REST: Final = 1.0
LAST_REST: Final = 30.0
"""Seconds that a target is left in peace after it failed: one, doubling to thirty. It is still tried where no other is
left, so one target alone is always asked anew."""


class Balance(StrEnum):
    """Which of the targets that are well is tried first."""

    FIRST = "first"  # in the order in which they were given: the others are spares
    ROUND_ROBIN = "round-robin"  # each in turn
    LEAST = "least"  # the one with the fewest conversations; among equals each in turn


class Target:
    """One target, and how it stands.

    Attributes:
        address: where it is.
        active_count: conversations with it now.
        failed_count: failures since it answered last.
        rested_at: the moment from which on it is tried again; None while it is well.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        self.active_count = 0
        self.failed_count = 0
        self.rested_at: float | None = None

    def has_failed(self, now: float) -> float:
        """It did not answer; the seconds for which it is left in peace."""
        rest = min(FIRST_REST * 2.0 ** min(self.failed_count, 10), LAST_REST)
        self.failed_count += 1
        self.rested_at = now + rest
        return rest

    def has_answered(self) -> bool:
        """It did; whether that is news."""
        was_ill = self.rested_at is not None
        self.failed_count, self.rested_at = 0, None
        return was_ill


class Targets:
    """All of them, at least one."""

    def __init__(self, addresses: Sequence[Address], balance: Balance = Balance.FIRST) -> None:
        self._targets = [Target(address) for address in addresses]
        self._balance = balance
        self._turn = 0

    def __len__(self) -> int:
        return len(self._targets)

    def in_order(self, now: float) -> list[Target]:
        """Every target in the order in which a new conversation tries them: those that are well as the balance says,
        then those that rest, the one whose rest ends first before the others."""
        targets = self._targets
        if self._balance is not Balance.FIRST:
            turn = self._turn % len(targets)
            self._turn += 1
            targets = targets[turn:] + targets[:turn]
        well = [target for target in targets if target.rested_at is None or target.rested_at <= now]
        resting = [target for target in targets if target not in well]
        if self._balance is Balance.LEAST:
            well.sort(key=lambda target: target.active_count)
        return well + sorted(resting, key=lambda target: target.rested_at or 0.0)
