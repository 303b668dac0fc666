"""A bus in Redis: a stream (5.0 and later) is the log, a sorted set has the hosts that are present."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Final, TypeVar

from socketkit.apps.chat.bus.bus import MAX_ENTRIES, RECENT_ENTRIES, BusError, Entry
from socketkit.errors import OptionError

__all__ = ["RedisBus"]

T = TypeVar("T")

BLOCK_TIME: Final = 1000
"""Milliseconds that a read waits at the server. An answer, if an empty one, shows that the server is there."""

SILENCE_TIMEOUT: Final = 3.0
"""Seconds without an answer after which the server is lost: more than `BLOCK_TIME`."""

READ_COUNT: Final = 500
"""Entries of one read."""


class RedisBus:
    """A stream of Redis. It is kept as safely as the server keeps its data (`appendonly yes`)."""

    def __init__(self, url: str, chat: str, name: str) -> None:
        """Args:
        url: as the package `redis` reads it, password and all.
        chat: its name, which begins the names of the keys.
        name: the address without the password.

        Raises:
            OptionError: the package is not installed.
        """
        try:
            import redis.asyncio
        except ImportError:
            raise OptionError("--bus redis:// needs the package redis: pip install 'socketkit[bus]'") from None
        self._redis = redis.asyncio
        self._errors = (redis.exceptions.RedisError, OSError, TimeoutError)
        self._url = url
        self._log = f"socketkit:chat:{chat}:log"
        self._hosts = f"socketkit:chat:{chat}:hosts"
        self._client: Any = None
        self._position = "0-0"
        self.name = name
        self.keeps = True

    async def open(self, after: str) -> bool:
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        self._client = self._redis.Redis.from_url(
            self._url,
            socket_timeout=SILENCE_TIMEOUT,
            socket_connect_timeout=SILENCE_TIMEOUT,
            retry=Retry(NoBackoff(), 0),
            client_name="socketkit-chat",
        )
        if not after:
            recent = await self._ask(self._client.xrevrange(self._log, count=RECENT_ENTRIES))
            self._position = before(recent[-1][0].decode()) if recent else "0-0"
            return True
        is_there = await self._has(after)
        self._position = after if is_there else "0-0"
        return is_there

    async def _has(self, place: str) -> bool:
        """Whether this entry is in the log, or was trimmed from the beginning of a full one."""
        if await self._ask(self._client.xrange(self._log, place, place, 1)):
            return True
        if await self._ask(self._client.xlen(self._log)) < MAX_ENTRIES:
            return False
        first = await self._ask(self._client.xrange(self._log, count=1))
        return bool(parts(first[0][0].decode()) > parts(place))

    async def publish(self, data: bytes) -> None:
        await self._ask(self._client.xadd(self._log, {"e": data}, maxlen=MAX_ENTRIES, approximate=True))

    async def read(self) -> list[Entry]:
        while True:
            answer = await self._ask(
                self._client.xread({self._log: self._position}, count=READ_COUNT, block=BLOCK_TIME)
            )
            entries = [Entry(place.decode(), fields.get(b"e", b"")) for place, fields in _of_one_stream(answer)]
            if entries:
                self._position = entries[-1].id
                return entries

    async def present(self, host: str, timeout: float) -> frozenset[str]:
        seconds, microseconds = await self._ask(self._client.time())
        now = seconds + microseconds / 1e6
        pipe = self._client.pipeline(transaction=False)
        pipe.zremrangebyscore(self._hosts, "-inf", now)
        pipe.zadd(self._hosts, {host: now + timeout})
        pipe.zrange(self._hosts, 0, -1)
        answers = await self._ask(pipe.execute())
        return frozenset(each.decode(errors="replace") for each in answers[2])

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            try:
                await client.aclose()
            except self._errors:
                pass

    async def _ask(self, answer: Awaitable[T]) -> T:
        try:
            return await answer
        except self._errors as error:
            raise BusError(f"{self.name}: {error}") from None


def _of_one_stream(answer: Any) -> list[Any]:
    """The entries of an answer to XREAD for one stream: a list in RESP2, a map in RESP3."""
    if not answer:
        return []
    if isinstance(answer, dict):
        (streams,) = answer.values()
        return list(streams[0]) if streams and isinstance(streams[0], list) else list(streams)
    return list(answer[0][1])


def parts(place: str) -> tuple[int, int]:
    """An id as Redis orders it: milliseconds and a number."""
    milliseconds, _, number = place.partition("-")
    return int(milliseconds), int(number or 0)


def before(place: str) -> str:
    """The largest id below this one."""
    milliseconds, number = parts(place)
    if number:
        return f"{milliseconds}-{number - 1}"
    return f"{milliseconds - 1}-{2**64 - 1}" if milliseconds else "0-0"
