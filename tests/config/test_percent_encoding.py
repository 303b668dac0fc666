"""Any byte can be written in an address, and comes back as it was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketkit.config.percent_encoding import PATH_SAFE, QUERY_SAFE, decode_bytes, decode_text, encode, to_bytes
from socketkit.errors import AddressError


@pytest.mark.parametrize("safe", [PATH_SAFE, QUERY_SAFE], ids=["path", "query"])
@given(data=st.binary())
def test_any_bytes_come_back(safe: frozenset[str], data: bytes) -> None:
    written = encode(data.decode("utf-8", "surrogateescape"), safe)
    assert decode_bytes(written) == data
    assert written.isprintable()


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_comes_back(text: str) -> None:
    assert decode_text(encode(text, QUERY_SAFE)) == text


@pytest.mark.parametrize(
    ("text", "in_a_path", "in_a_query"),
    [
        ("a/b~c", "a/b~c", "a/b~c"),
        ("a&b+c", "a&b+c", "a%26b%2Bc"),
        ("a b%#?", "a%20b%25%23%3F", "a%20b%25%23%3F"),
        ("привет", "привет", "привет"),
        ("\x1b[0m\x7f\x85", "%1B%5B0m%7F%C2%85", "%1B%5B0m%7F%C2%85"),
        ("\udcff", "%FF", "%FF"),
    ],
)
def test_escaped_and_literal_characters(text: str, in_a_path: str, in_a_query: str) -> None:
    """What stands for itself and what is escaped."""
    assert encode(text, PATH_SAFE) == in_a_path
    assert encode(text, QUERY_SAFE) == in_a_query


@pytest.mark.parametrize("escape", ["%", "%4", "%4g", "% 41", "%\u0663\u0663", "%%41"])
def test_truncated_escape_refused(escape: str) -> None:
    """Half an escape is refused and quoted."""
    with pytest.raises(AddressError, match="is not an escape; allowed is % and two hexadecimal digits, and % itself"):
        decode_bytes(f"a{escape}")


def test_escape_decoded_once_any_case() -> None:
    """An escape is read once and in either case."""
    assert decode_bytes("%2541%c3%A9") == "%41é".encode()


def test_text_is_utf_8_or_refused() -> None:
    with pytest.raises(AddressError, match="is not UTF-8 when its escapes are read"):
        decode_text("a%FF")
    assert decode_bytes("a%FF") == b"a\xff"


def test_lone_surrogate_refused() -> None:
    """A surrogate that stands for no byte is refused."""
    with pytest.raises(AddressError, match="is half a character"):
        to_bytes("\ud800")
