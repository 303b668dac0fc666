"""The rates of a relay: of each connection and direction, and of all together."""

from __future__ import annotations

from socketkit.apps.relay.token_bucket import TokenBucket
from socketkit.connection.tunnel import Bucket, Pace
from socketkit.streams.copy import Pipes

__all__ = ["LimitedPace"]


class LimitedPace(Pace):
    """Limits each direction of each connection to `rate` bytes a second, and all of them to what `shared` gives."""

    def __init__(
        self, pipes: Pipes | None = None, rate: int | None = None, shared: tuple[TokenBucket, ...] = ()
    ) -> None:
        super().__init__(None if rate or shared else pipes)  # a limited rate needs the size of each portion
        self._rate = rate
        self._shared = shared

    def buckets(self, direction: int) -> list[Bucket]:
        own: list[Bucket] = [TokenBucket(self._rate)] if self._rate else []
        return [*own, self._shared[direction]] if self._shared else own
