"""Every stream of this house keeps the promise of streams, on every engine."""

from __future__ import annotations

import pytest

from contracts.stream_contract import StreamContract
from socketkit.engines.engine import Engine
from socketkit.streams.stream import Stream
from support.streams import stream_pair


class TestStreams(StreamContract):
    """Memory, TCP and UNIX."""

    @pytest.fixture(autouse=True)
    def _kind(self, kind: str) -> None:
        self.kind = kind
        self.has_reset = kind in ("memory", "tcp4", "tcp6")
        self.keeps_data_before_a_reset = kind != "memory"

    def make(self, engine: Engine, *, buffer: int | None = None) -> tuple[Stream, Stream]:
        return stream_pair(engine, self.kind, buffer=buffer)
