"""What the tests of streams may ask for."""

from __future__ import annotations

from support.datagrams import place
from support.streams import kind

__all__ = ["kind", "place"]
