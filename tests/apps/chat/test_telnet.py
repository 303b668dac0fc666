"""Telnet's commands are taken out of a line and refused; text is never changed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketkit.apps.chat.telnet import MAX_ANSWER_SIZE, strip_telnet


@pytest.mark.parametrize(
    ("line", "rest", "answer"),
    [
        (b"hello", b"hello", b""),
        (b"\xff\xfb\x01\xff\xfd\x03hello", b"hello", b"\xff\xfe\x01\xff\xfc\x03"),
        (b"\xff\xfc\x01\xff\xfe\x03hello", b"hello", b""),
        (b"a\xff\xfa\x18\x00xterm\xff\xf0b", b"ab", b""),
        (b"\xff\xf4\xff\xfd\x06hello", b"hello", b"\xff\xfc\x06"),
        (b"\xff\xfd\x06a\xff\xfd\x06b", b"ab", b"\xff\xfc\x06"),
        ("до свидани".encode() + b"\xd1\xff\xf5\xff\xfd\x06", "до свидания".encode(), b"\xff\xfc\x06"),
        (b"caf\xff", b"caf\xff", b""),
        (b"\xffe", b"\xffe", b""),
        (b"\xff\xfa unended", b"\xff\xfa unended", b""),
    ],
)
def test_commands(line: bytes, rest: bytes, answer: bytes) -> None:
    assert strip_telnet(line) == (rest, answer)


@given(st.text())
def test_text_is_unchanged(text: str) -> None:
    data = text.encode(errors="replace")
    assert strip_telnet(data) == (data, b"")


@given(st.binary(max_size=2000))
def test_answer_is_bounded(data: bytes) -> None:
    rest, answer = strip_telnet(data)
    assert len(rest) <= len(data)
    assert len(answer) <= MAX_ANSWER_SIZE
