"""A bus inside one process: for tests, and for several hosts in one program."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Final

from socketkit.apps.chat.bus.bus import MAX_ENTRIES, RECENT_ENTRIES, BusError, Entry

__all__ = ["MemoryBus", "MemoryLog"]

WAIT: Final = 0.01
"""Seconds between two looks at the log: the hosts of one process have threads of their own."""


class MemoryLog:
    """The log that several `MemoryBus` share. Any thread may use it.

    Attributes:
        is_away: whether every bus of it is lost, as if the broker were stopped.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: list[Entry] = []
        self._first = 0
        self._generation = 0
        self._present: dict[str, float] = {}
        self.is_away = False

    def append(self, data: bytes) -> None:
        with self._lock:
            number = self._first + len(self._entries)
            self._entries.append(Entry(f"{self._generation}-{number}", data))
            if len(self._entries) > MAX_ENTRIES:
                del self._entries[0]
                self._first += 1

    def slice(self, start: int, generation: int) -> list[Entry]:
        """The entries from this number on.

        Raises:
            BusError: the log was lost meanwhile.
        """
        with self._lock:
            if generation != self._generation:
                raise BusError("the log was lost")
            return self._entries[max(0, start - self._first) :]

    def place(self, after: str) -> tuple[int, int, bool]:
        """Where to read on behind an entry: its number, the generation, and whether the entry is in the log."""
        with self._lock:
            end = self._first + len(self._entries)
            if not after:
                return max(self._first, end - RECENT_ENTRIES), self._generation, True
            generation, number = map(int, after.split("-"))
            if generation != self._generation or number >= end:
                return self._first, self._generation, False
            return max(number + 1, self._first), self._generation, True

    def lose(self) -> None:
        """Forget everything, as a broker without a disk does when it is restarted."""
        with self._lock:
            self._entries.clear()
            self._first = 0
            self._generation += 1
            self._present.clear()

    def meet(self, host: str, timeout: float) -> frozenset[str]:
        now = time.monotonic()
        with self._lock:
            self._present[host] = now + timeout
            return frozenset(each for each, until in self._present.items() if until > now)


class MemoryBus:
    """One host's way to a `MemoryLog`."""

    def __init__(self, log: MemoryLog) -> None:
        self.name = "memory:"
        self.keeps = True
        self.is_cut = False
        self._log = log
        self._is_open = False
        self._next = 0
        self._generation = 0

    async def open(self, after: str) -> bool:
        self._is_open = True
        self._check()
        self._next, self._generation, is_there = self._log.place(after)
        return is_there

    async def publish(self, data: bytes) -> None:
        self._check()
        self._log.append(data)

    async def read(self) -> list[Entry]:
        while True:
            self._check()
            entries = self._log.slice(self._next, self._generation)
            if entries:
                self._next = int(entries[-1].id.split("-")[1]) + 1
                return entries
            await asyncio.sleep(WAIT)

    async def present(self, host: str, timeout: float) -> frozenset[str]:
        self._check()
        return self._log.meet(host, timeout)

    async def close(self) -> None:
        self._is_open = False

    def _check(self) -> None:
        if self.is_cut or self._log.is_away or not self._is_open:
            raise BusError("the bus is away")
