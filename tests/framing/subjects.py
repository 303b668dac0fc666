"""Every framing, in every way of working that its rooms have, as a subject of the laws."""

from __future__ import annotations

from hypothesis import strategies as st

from contracts.framing_laws import Subject

BYTES = st.one_of(st.binary(max_size=20), st.binary(min_size=120, max_size=300))
TEXT = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=20)
LINE = TEXT.filter(lambda line: not line.endswith("\r"))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
PACKED = st.recursive(
    JSON | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text("ab", max_size=3), inner, max_size=20),
    max_leaves=6,
)


def without(*parts: bytes):
    return BYTES.filter(lambda payload: not any(part in payload for part in parts))


LINES = (b"\n", b"\r\n", b"\r", b"\r\r\n", b"abc", "привет\n".encode(), "я".encode()[:1], b"0123456789")
LENGTHS = (
    b"\0",
    b"\0\0\0\3abc",
    b"\3abc",
    b"\0\3abc",
    b"\x7f",
    b"\xff\xff\xff\xff",
    b"\5\0",
    b"\4\0\0\0",
    b"0123456789",
)
JSONS = (
    b"1",
    b" ",
    b"\n",
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b"\\",
    b'"a"',
    b'{"a":[1,2]}',
    b"true",
    b"null\n",
    b"-1.5e3\n",
)

SUBJECTS = [
    Subject("chunks", BYTES, (b"abc",), payload=None),
    Subject("lines", LINE, LINES, payload=lambda size: "x" * size),
    Subject("lines:crlf", TEXT, LINES, payload=lambda size: "x" * size),
    Subject("lines:encoding=latin-1", st.text("abc\xff\x85", max_size=20), LINES, payload=lambda size: "x" * size),
    Subject("lines:encoding=shift_jis", st.text("aя日本\\", max_size=20), LINES, payload=lambda size: "x" * size),
    Subject("lines:encoding=none", without(b"\n").filter(lambda line: not line.endswith(b"\r")), LINES),
    Subject(r"delimited:\0", without(b"\0"), (b"\0", b"\0\0", b"abc", b"0123456789")),
    Subject(r"delimited:\r\n", without(b"\r\n"), LINES),
    Subject("delimited:aa", without(b"a"), (b"a", b"aa", b"aaa", b"b", b"0123456789")),
    Subject("delimited:abab", without(b"a"), (b"ab", b"a", b"b", b"abab", b"ababab", b"0123456789")),
    Subject(r"delimited:\r\n,\n,\r", without(b"\r", b"\n"), LINES),
    Subject(r"delimited:\n,\r\n", without(b"\r", b"\n"), LINES),
    Subject("delimited:abc,ca,aab", without(b"a", b"c"), (b"a", b"ab", b"abc", b"aab", b"ca", b"c", b"0123456789")),
    Subject("fixed:5", st.binary(min_size=5, max_size=5), (b"abc", b"0123456789"), payload=None),
    Subject("length:4", BYTES, LENGTHS),
    Subject("length:2le,includes=header", BYTES, LENGTHS),
    Subject("length:3,includes=all,before=1,after=2", BYTES, LENGTHS),
    Subject(
        "length:1,includes=rest,before=2,after=1",
        st.binary(max_size=200),
        LENGTHS,
        payload=lambda size: b"x" * size if size < 255 else None,
        beside=lambda limit: 8,
    ),
    Subject("length:8le", BYTES, (*LENGTHS, b"\3\0\0\0\0\0\0\0abc", b"\xff" * 8)),
    Subject(
        "length:2,before=1,keep_header",
        BYTES.map(lambda payload: b"t" + len(payload).to_bytes(2, "big") + payload),
        (b"t\0\3abc", *LENGTHS),
        payload=None,
    ),
    Subject("varint", BYTES, (b"\3abc", b"\x83\0abc", b"\x80", b"\xff" * 9, b"\xff" * 11, b"\xff\1", b"0123456789")),
    Subject(
        "varint:before=1",
        BYTES.map(lambda payload: b"t" + payload),
        (b"t\3abc", b"\x83\0abc", b"t", b"\x80", b"\xff" * 11, b"0123456789"),
        payload=lambda size: b"x" * (size + 1),
        head=1,
    ),
    Subject(r"length:2,before=2,after=1,beside=\x01\x02\x2c", BYTES, LENGTHS),
    Subject(
        "length:4,before=2,keep_header,fill",
        BYTES.map(lambda payload: b"tf" + len(payload).to_bytes(4, "big") + payload),
        (b"tf\0\0\0\3abc", *LENGTHS),
        payload=None,
    ),
    Subject("netstring", BYTES, (b"3:abc,", b"0:,", b"3:", b"03:", b"9", b":", b",", b"99999999999999999999")),
    Subject("octets", BYTES.filter(bool), (b"3 abc", b"0 ", b"3 ", b"03 ", b"9", b" ", b"99999999999999999999")),
    Subject(
        "content-length",
        BYTES,
        (
            b"Content-Length: 3\r\n\r\nabc",
            b"content-length:3\r\n",
            b"Content-Length: 4\r\n",
            b"X: y\r\n",
            b"\r\n",
            b"\n",
            b"\r",
            b": ",
            b"abc",
        ),
        beside=lambda limit: 8 * 1024,
    ),
    Subject("cobs", BYTES, (b"\0", b"\1", b"\2a", b"\4abc\0", b"\xff", b"x" * 254), beside=lambda limit: limit + 8),
    Subject(
        "slip",
        BYTES.filter(bool),
        (b"\xc0", b"\xdb", b"\xdb\xdc", b"\xdb\xdd", b"abc", b"abc\xc0"),
        beside=lambda limit: limit + 8,
    ),
    Subject(
        "json",
        JSON,
        JSONS,
        payload=lambda size: "x" * (size - 2) if size > 1 else 7,
        policies=("fail", "skip"),
    ),
    Subject(
        "json-stream",
        JSON,
        JSONS,
        payload=lambda size: "x" * (size - 2) if size > 1 else 7,
        policies=("fail", "skip"),
    ),
    Subject(
        "msgpack",
        PACKED,
        (
            b"\1",
            b"\xc0",
            b"\xc1",
            b"\x92\1\2",
            b"\x81\xa1a\1",
            b"\xdd\xff\xff\xff\xff",
            b"\xc4\3abc",
            b"\xa3abc",
            b"\xc7",
        ),
        payload=lambda size: [1] * (size - 1) if size <= 16 else b"x" * (size - 2),
        policies=("fail", "skip"),
    ),
]
