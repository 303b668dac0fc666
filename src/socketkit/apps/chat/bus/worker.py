"""The thread that speaks with a bus: its client runs in asyncio, whatever engine the chat runs on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final, Protocol

from socketkit.apps.chat.bus.bus import Bus, BusError, Entry
from socketkit.config.backoff import Backoff

__all__ = ["BusWorker", "Listener"]

OPEN_TIMEOUT: Final = 5.0
PRESENT_TIME: Final = 2.0
"""Seconds between two signs that this host is there."""

PRESENT_TIMEOUT: Final = 15.0
"""Seconds after which the others take it for gone."""

FIRST_PAUSE: Final = 0.1
LAST_PAUSE: Final = 2.0


class Listener(Protocol):
    """What the worker calls, in the chat's own thread, in the order in which it happens."""

    def linked(self, is_intact: bool, keeps: bool) -> object:
        """The bus is connected."""

    def unlinked(self, problem: str) -> object:
        """It is lost, or could not be reached."""

    def entries(self, entries: list[Entry]) -> object:
        """These entries were read."""

    def present(self, hosts: frozenset[str]) -> object:
        """These hosts are there."""


class BusWorker:
    """Connects a bus for as long as the chat lasts, again and again; reads it, and publishes what it is given.

    Concurrency: its methods are called in the chat's thread, and never wait.
    """

    def __init__(self, bus: Bus, host: str, position: str, listener: Listener, post: Callable[..., object]) -> None:
        """Args:
        bus: is not open; only this worker uses it.
        host: the name of this host.
        position: the entry behind which reading begins.
        listener: is called by `post`.
        post: calls a function in the chat's thread, soon.
        """
        self._bus = bus
        self._host = host
        self._position = position
        self._listener = listener
        self._post_to = post
        self._loop = asyncio.new_event_loop()
        self._closing = asyncio.Event()
        self._again = asyncio.Event()
        self._entries: asyncio.Queue[bytes] = asyncio.Queue()
        self._thread = threading.Thread(target=self._run, name="chat-bus", daemon=True)

    def start(self) -> None:
        """Begin to connect."""
        self._thread.start()

    def publish(self, data: bytes) -> None:
        """Append this entry. Where the bus is lost meanwhile it is dropped: `unlinked` is called then."""
        self._call(lambda: self._entries.put_nowait(data))

    def reconnect(self) -> None:
        """Give the connection up, and make another one."""
        self._call(self._again.set)

    def close(self, timeout: float) -> None:
        """Disconnect, and end the thread, within so many seconds. Harmless twice."""
        self._call(self._closing.set)
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _call(self, function: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # the thread has ended
            self._loop.call_soon_threadsafe(function)

    def _post(self, function: Callable[..., object], *arguments: object) -> None:
        with suppress(RuntimeError):  # the chat's engine has ended
            self._post_to(lambda: function(*arguments))

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._live())

    async def _live(self) -> None:
        backoff = Backoff(FIRST_PAUSE, LAST_PAUSE)
        while not self._closing.is_set():
            problem = "no answer"
            try:
                async with asyncio.timeout(OPEN_TIMEOUT):
                    is_intact = await self._bus.open(self._position)
                if not is_intact:
                    self._position = ""
                self._entries = asyncio.Queue()
                self._again.clear()
                self._post(self._listener.linked, is_intact, self._bus.keeps)
                backoff = Backoff(FIRST_PAUSE, LAST_PAUSE)
                await self._work()
            except BusError as error:
                problem = str(error)
            except Exception as error:  # of a client's package: it must not end the chat's way to the others
                problem = f"{self._bus.name}: {type(error).__name__}"
            self._post(self._listener.unlinked, problem)
            with suppress(Exception):
                async with asyncio.timeout(OPEN_TIMEOUT):
                    await self._bus.close()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), backoff.next())

    async def _work(self) -> None:
        """Read, publish and be present until one of them fails, or the connection is given up."""
        works: list[Coroutine[Any, Any, object]] = [
            self._read(), self._publish(), self._be_present(), self._closing.wait(), self._again.wait(),
        ]  # fmt: skip
        tasks = [asyncio.ensure_future(each) for each in works]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()

    async def _read(self) -> None:
        while True:
            entries = await self._bus.read()
            self._position = entries[-1].id
            self._post(self._listener.entries, entries)

    async def _publish(self) -> None:
        while True:
            await self._bus.publish(await self._entries.get())

    async def _be_present(self) -> None:
        while True:
            hosts = await self._bus.present(self._host, PRESENT_TIMEOUT)
            self._post(self._listener.present, hosts)
            await asyncio.sleep(PRESENT_TIME)
