"""A bus in NATS: a stream of JetStream is the log; without JetStream a subject, which keeps nothing."""

from __future__ import annotations

import asyncio
import zlib
from collections import deque
from typing import Any, Final

from socketkit.apps.chat.bus.bus import MAX_ENTRIES, RECENT_ENTRIES, BusError, Entry
from socketkit.errors import OptionError

__all__ = ["NatsBus"]

CONNECT_TIMEOUT: Final = 3
ANSWER_TIMEOUT: Final = 3
"""Seconds without an answer after which the server is lost."""

PING_TIME: Final = 2
"""Seconds between two pings of the client; after two without an answer the server is lost."""


class NatsBus:
    """A stream of JetStream, or a plain subject where the server has none. Presence goes by a subject of its own."""

    def __init__(self, url: str, chat: str, name: str) -> None:
        """Args:
        url: as the package `nats-py` reads it, password and all.
        chat: its name, a part of the names of the stream and its subjects.
        name: the address without the password.

        Raises:
            OptionError: the package is not installed.
        """
        try:
            import nats
            import nats.aio.client
            import nats.errors
            import nats.js.api
            import nats.js.errors
        except ImportError:
            raise OptionError("--bus nats:// needs the package nats-py: pip install 'socketkit[bus]'") from None
        self._nats = nats
        self._errors = (nats.errors.Error, nats.js.errors.Error, OSError, TimeoutError, asyncio.InvalidStateError)
        self._url = url
        self._stream = f"socketkit-chat-{chat}"
        self._subject = f"socketkit.chat.{chat}.log"
        self._beat_subject = f"socketkit.chat.{chat}.present"
        self._client: Any = None
        self._context: Any = None
        self._arrived: deque[Entry] = deque()
        self._news = asyncio.Event()
        self._seen: dict[str, float] = {}
        self._last_sequence = 0
        self._problem: Exception | None = None
        self.name = name
        self.keeps = True

    async def open(self, after: str) -> bool:
        self._arrived.clear()
        self._news = asyncio.Event()
        self._seen.clear()
        try:
            return await self._open(after)
        except self._errors as error:
            raise self._lost(error) from None

    async def _open(self, after: str) -> bool:
        self._client = client = self._nats.aio.client.Client()
        await client.connect(
            self._url,
            name="socketkit-chat",
            allow_reconnect=False,
            max_reconnect_attempts=1,  # of the first connection: the client tries for ever otherwise
            reconnect_time_wait=0,
            connect_timeout=CONNECT_TIMEOUT,
            ping_interval=PING_TIME,
            max_outstanding_pings=2,
            error_cb=self._note,
            closed_cb=self._closed,
        )
        await client.subscribe(self._beat_subject, cb=self._take_beat)
        self._context = client.jetstream(timeout=ANSWER_TIMEOUT)
        try:
            await self._context.account_info()
            self.keeps = True
        except (self._nats.errors.NoRespondersError, self._nats.js.errors.ServiceUnavailableError):
            self.keeps = False
        except self._nats.js.errors.APIError as error:
            if error.err_code != 10039:  # "JetStream not enabled for account"
                raise
            self.keeps = False
        if not self.keeps:
            await client.subscribe(self._subject, cb=self._take)
            await client.flush(timeout=ANSWER_TIMEOUT)
            return not after
        return await self._subscribe(after)

    async def _subscribe(self, after: str) -> bool:
        """Read the stream behind an entry, from an ephemeral consumer; make the stream where there is none."""
        api, errors = self._nats.js.api, self._nats.js.errors
        try:
            info = await self._context.stream_info(self._stream)
        except errors.NotFoundError:
            config = api.StreamConfig(
                name=self._stream, subjects=[self._subject], max_msgs=MAX_ENTRIES, storage=api.StorageType.FILE
            )
            info = await self._context.add_stream(config)
        state = info.state
        first, is_there = await self._place(after, state)
        self._last_sequence = first - 1
        config = api.ConsumerConfig(
            deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=max(1, first),
            ack_policy=api.AckPolicy.NONE,
            inactive_threshold=30.0,
        )
        await self._context.subscribe(
            self._subject, stream=self._stream, cb=self._take, config=config, manual_ack=True, pending_msgs_limit=-1
        )
        return is_there

    async def _place(self, after: str, state: Any) -> tuple[int, bool]:
        """The number to read from, and whether the entry that was read last is there, or was trimmed."""
        first, last = state.first_seq, state.last_seq
        if not after:
            return max(first, last - RECENT_ENTRIES + 1), True
        sequence, checksum = map(int, after.split("-"))
        if sequence < first and state.messages >= MAX_ENTRIES:
            return first, True
        if sequence <= last:
            try:
                message = await self._context.get_msg(self._stream, sequence)
            except self._nats.js.errors.NotFoundError:
                return first, False
            if zlib.crc32(message.data or b"") == checksum:
                return sequence + 1, True
        return first, False

    async def publish(self, data: bytes) -> None:
        try:
            if self.keeps:
                await self._context.publish(self._subject, data, timeout=ANSWER_TIMEOUT, stream=self._stream)
            else:
                await self._client.publish(self._subject, data)
                await self._client.flush(timeout=ANSWER_TIMEOUT)
        except self._errors as error:
            raise self._lost(error) from None

    async def read(self) -> list[Entry]:
        while not self._arrived:
            if self._client is None or self._client.is_closed:
                raise BusError(f"{self.name}: the connection was lost")
            self._news.clear()
            await self._news.wait()
        entries = list(self._arrived)
        self._arrived.clear()
        return entries

    async def present(self, host: str, timeout: float) -> frozenset[str]:
        try:
            await self._client.publish(self._beat_subject, f"{timeout} {host}".encode())
            await self._client.flush(timeout=ANSWER_TIMEOUT)
        except (*self._errors, ValueError) as error:
            raise self._lost(error) from None
        now = asyncio.get_running_loop().time()
        self._seen = {each: until for each, until in self._seen.items() if until > now}
        return frozenset(self._seen)

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is None:
            return
        writer = getattr(getattr(client, "_transport", None), "_io_writer", None)
        try:
            await client.close()
        except self._errors:
            pass
        if writer is not None:  # else a server that takes nothing keeps the socket open: what is unsent has to leave
            writer.transport.abort()

    async def _take(self, message: Any) -> None:
        place = ""
        if self.keeps:
            sequence = message.metadata.sequence.stream
            if sequence <= self._last_sequence:
                return
            self._last_sequence = sequence
            place = f"{sequence}-{zlib.crc32(message.data)}"
        self._arrived.append(Entry(place or "live", message.data))
        self._news.set()

    async def _take_beat(self, message: Any) -> None:
        seconds, _, host = message.data.decode(errors="replace").partition(" ")
        try:
            timeout = min(60.0, float(seconds))
        except ValueError:
            return
        if len(self._seen) < 10_000:
            self._seen[host] = asyncio.get_running_loop().time() + timeout

    async def _closed(self) -> None:
        self._news.set()

    async def _note(self, error: Exception) -> None:
        """Errors of the connection come to whoever waits for an answer; nats-py would log them."""
        self._problem = error

    def _lost(self, error: BaseException) -> BusError:
        if isinstance(error, self._nats.errors.NoServersError) and self._problem is not None:
            error = self._problem
        return BusError(f"{self.name}: {str(error) or type(error).__name__}")
