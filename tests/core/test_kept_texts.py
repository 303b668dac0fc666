"""A short text may be filled again once nothing has it; whatever has it never sees it change."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

import socketkit._core as core
from socketkit import engines
from support.connections import talk
from support.running import turns

TEXTS = st.sampled_from(["one", "two", "äöü", "a" * 511, "b" * 512, "c" * 513, "", "x", "yy"])
KEPT = st.sampled_from(["in a list", "as a key", "interned", "by its hash", "in a part", "not"])


@given(st.lists(st.tuples(TEXTS, KEPT), max_size=40), st.sampled_from(["iterate", "batches", "plain"]))
def test_kept_messages_stay_as_they_were(messages, way):
    """However a handler keeps a message, later ones of the same size do not change it."""
    listed, keys, hashes, parts = [], {}, [], []

    def keep(message, how):
        if how == "in a list":
            listed.append(message)
        elif how == "as a key":
            keys[message] = len(keys)
        elif how == "interned":
            listed.append(sys.intern(message))
        elif how == "by its hash":
            hashes.append(hash(message))
        elif how == "in a part":
            parts.append(message[:])

    async def main(engine):
        with talk(engine) as (connection, far):
            half = len(messages) // 2
            far.sendall("".join(f"{text}\n" for text, _ in messages[:half]).encode())
            await turns(engine, 1)
            far.sendall("".join(f"{text}\n" for text, _ in messages[half:]).encode())
            far.shutdown(1)
            left = iter(messages)
            async for batch in connection.batches() if way == "batches" else connection:
                for message in batch if way == "batches" else [batch]:
                    text, how = next(left)
                    assert message == text
                    keep(message, how)

    def plainly(engine):
        with talk(engine) as (connection, far):
            far.sendall("".join(f"{text}\n" for text, _ in messages).encode())
            far.shutdown(1)
            for text, how in messages:
                message = engine.run(connection.receive())
                assert message == text
                keep(message, how)

    if way == "plain":
        plainly(engines.make("blocking"))
    else:
        engine = engines.make("epoll")
        engine.run(main(engine))
    assert listed == [text for text, how in messages if how in ("in a list", "interned")]
    assert list(keys) == list(dict.fromkeys(text for text, how in messages if how == "as a key"))
    assert all(text in keys for text, how in messages if how == "as a key")
    assert hashes == [hash(text) for text, how in messages if how == "by its hash"]
    assert parts == [text for text, how in messages if how == "in a part"]


@pytest.mark.skipif(not core.native, reason="the core in Python makes each text anew")
def test_text_that_is_let_go_is_filled_again():
    """A handler that keeps nothing sees two objects in turn."""

    async def main(engine):
        with talk(engine) as (connection, far):
            far.sendall(b"".join(b"%05d\n" % number for number in range(100)))
            far.shutdown(1)
            return [id(message) async for message in connection]

    engine = engines.make("epoll")
    assert len(set(engine.run(main(engine)))) <= 4
