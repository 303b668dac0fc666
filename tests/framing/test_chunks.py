"""Chunks: bytes as they come."""

from __future__ import annotations

import pytest

from socketkit import framing


def test_bytes_as_they_come():
    codec = framing.parse("chunks").codec()
    assert codec.feed(b"ab\n") == [b"ab\n"]
    assert codec.feed(b"") == []
    assert codec.feed_eof() == []
    assert codec.buffered == 0


def test_what_is_like_bytes_can_be_sent():
    codec = framing.Chunks().codec()
    assert codec.encode((b"a", bytearray(b"b"), memoryview(b"c"))) == b"abc"
    assert codec.encode([]) == b""


def test_text_is_refused_with_what_to_do():
    with pytest.raises(TypeError, match=r"chunks sends bytes: .*str found; encode text first \('...'.encode\(\)\)"):
        framing.Chunks().codec().encode(["a"])


def test_a_chunk_can_be_given_back():
    codec = framing.Chunks().codec()
    codec.feed(b"ab")
    assert codec.take_rest(1) == b"ab"
    codec.feed(b"cd")
    assert codec.take_rest() == b""


def test_there_is_no_limit_to_set():
    assert framing.Chunks.describe() == ()
    assert framing.Chunks().codec().take_faults() == []
