"""TLS keeps the promise of streams, over every stream, on every engine."""

from __future__ import annotations

import pytest

from contracts.stream_contract import StreamContract
from socketkit.engines.engine import Engine
from socketkit.streams.stream import Stream
from support.streams import stream_pair
from support.tls import secured


class TestTls(StreamContract):
    """Over memory, TCP and UNIX. An abort has no close_notify: even where nothing is reset it is a loss."""

    @pytest.fixture(autouse=True)
    def _kind(self, kind: str) -> None:
        self.kind = kind
        self.keeps_data_before_a_reset = kind != "memory"

    async def meet(self, engine: Engine, *, buffer: int | None = None) -> tuple[Stream, Stream]:
        return await secured(stream_pair(engine, self.kind, buffer=buffer))
