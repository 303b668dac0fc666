"""MessagePack: every kind of item, sizes that announce too much, and what to do without msgspec."""

from __future__ import annotations

import datetime
import sys

import pytest

from socketkit import framing
from socketkit.errors import FrameTooLongError, FramingError, OptionError, TruncatedFrameError

VALUES = [
    None,
    True,
    0,
    127,
    -32,
    200,
    60_000,
    2**31,
    2**63,
    -100,
    -1000,
    -(2**20),
    -(2**40),
    1.5,
    "",
    "x" * 31,
    "x" * 200,
    "x" * 300,
    "x" * 70_000,
    b"",
    b"x" * 300,
    b"x" * 70_000,
    [],
    list(range(15)),
    list(range(1000)),
    [0] * 70_000,
    {"a": {"b": [1, {"c": None}]}},
    {str(number): number for number in range(20)},
    {str(number): number for number in range(70_000)},
    datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC),
    datetime.datetime(2020, 1, 1, 0, 0, 0, 5, tzinfo=datetime.UTC),
    datetime.datetime(1900, 1, 1, tzinfo=datetime.UTC),
]


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_item_boundaries_of_all_types(value):
    """Every kind of item ends where it ends."""
    codec = framing.Msgpack().codec()
    data = codec.encode([value, 7])
    assert codec.feed(data[:-1]) == [value]
    assert codec.feed(data[-1:]) == [7]
    head, rest = data[:12], data[12:]
    got = [message for index in range(len(head)) for message in codec.feed(head[index : index + 1])]
    assert got + codec.feed(rest) == [value, 7]
    assert codec.buffered == 0


@pytest.mark.parametrize(
    "kind", [b"\xc7\3\5abc", b"\xc8\0\3\5abc", b"\xc9\0\0\0\3\5abc", b"\xd4\5a", b"\xd8\5" + b"x" * 16]
)
def test_extensions_end_where_they_end(kind):
    codec = framing.Msgpack().codec()
    assert len(codec.feed(kind + b"\1" + kind[:-1])) == 2
    assert codec.buffered == len(kind) - 1


@pytest.mark.parametrize(
    "header",
    [
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff",
    ],
)
def test_announced_size_over_limit(header):
    """An announced size over the limit is refused at once."""
    with pytest.raises(FrameTooLongError, match="a frame of at least") as caught:
        framing.Msgpack().codec().feed(header)
    assert caught.value.size >= 2**32


def test_reserved_byte_refused():
    """A byte that is never used is a fault."""
    codec = framing.Msgpack().codec()
    assert codec.feed(b"\1\x92\1\xc1\2") == [1]
    with pytest.raises(FramingError, match=r"invalid opcode .* in the value at offset 1"):
        codec.feed(b"")


@pytest.mark.parametrize(
    "data",
    [
        b"\xa1\xff",
        b"\x81\x90\x01"[:2] + b"\x01",
        b"\x81\x81\1\1\1",
        b"\xd7\xff" + b"\xff" * 8,
        b"\x91" * 100_000 + b"\1",
    ],
)
def test_a_value_that_cannot_be_is_a_fault(data):
    codec = framing.Msgpack().codec()
    try:
        codec.feed(data)
    except FramingError as error:
        assert error.offset == 0
    assert codec.encode([1]) == b"\1"


def test_eof_inside_value():
    """The stream cannot end inside a value."""
    codec = framing.Msgpack().codec()
    codec.feed(b"\1\x92\1")
    with pytest.raises(TruncatedFrameError) as caught:
        codec.feed_eof()
    assert (caught.value.partial, caught.value.offset) == (b"\x92\1", 1)


def test_oversized_value_skipped_unbuffered():
    """A huge value is passed over without being held."""
    codec = framing.Msgpack(max_size=100, oversize="skip").codec()
    assert codec.feed(b"\xdc\x03\xe8") == []
    assert [fault.size for fault in codec.take_faults()] == [1003]
    for _ in range(999):
        assert codec.feed(b"\xa3abc") == []
        assert codec.buffered == 1
    assert codec.feed(b"\1\2") == [2]
    assert codec.feed(b"\xc6\0\1\0\0" + b"x" * 10) == []
    assert codec.feed(b"x" * (65536 - 10) + b"\3") == [3]


@pytest.mark.parametrize(("value", "error"), [(2**64, FramingError), ("\ud800", FramingError), (object(), TypeError)])
def test_what_cannot_be_packed_is_refused(value, error):
    with pytest.raises(error, match="msgpack: message 1 "):
        framing.Msgpack().codec().encode([1, value])


def test_missing_msgspec_names_extra(monkeypatch):
    """Without msgspec it says what to install."""
    made = framing.parse("msgpack")
    monkeypatch.setitem(sys.modules, "msgspec", None)
    with pytest.raises(OptionError, match=r"needs the library msgspec, .* pip install 'socketkit\[msgpack\]'"):
        made.codec()


def colliding(count: int, bits: int) -> list[int]:
    """Integers whose search in a dict with `2**bits` slots goes through the same slots (CPython's dictobject.c).

    The slots i -> 5 i + 1 are a single cycle. Small integers fill its beginning; larger ones are chosen whose search
    begins there, and ends at its first free slot.
    """
    mask = 2**bits - 1
    cycle = [1]
    while len(cycle) <= mask:
        cycle.append((5 * cycle[-1] + 1) & mask)
    place = {slot: index for index, slot in enumerate(cycle)}
    keys = cycle[: count // 2]
    taken = set(keys)
    candidate = mask
    while len(keys) < count:
        candidate += 1
        slot = first_free(candidate, mask, taken)[0]
        if place[candidate & mask] < count // 8 and slot == cycle[len(keys)]:
            keys.append(candidate)
            taken.add(slot)
    return keys


def first_free(key: int, mask: int, taken: set[int]) -> tuple[int, int]:
    """The slot that a new key gets, and how many slots are looked at for it."""
    slot, perturb, steps = key & mask, key, 1
    while slot in taken:
        perturb >>= 5
        slot = (5 * slot + perturb + 1) & mask
        steps += 1
    return slot, steps


def work(keys: list[int], bits: int) -> int:
    """Slots that are looked at to insert all these keys into a dict of that size."""
    taken: set[int] = set()
    steps = 0
    for key in keys:
        slot, looked = first_free(key, 2**bits - 1, taken)
        taken.add(slot)
        steps += looked
    return steps


def int_map(keys: list[int]) -> bytes:
    """A map of these keys, each with the value 0."""
    return b"\xdf" + len(keys).to_bytes(4, "big") + b"".join(b"\xce" + key.to_bytes(4, "big") + b"\0" for key in keys)


def test_colliding_keys_are_refused() -> None:
    """Keys that a peer has chosen to collide cost the square of their count; over the limit none is inserted."""
    keys = colliding(600, 10)
    assert work(keys, 10) > 20 * len(keys)  # and n * n / 8 for larger n
    assert work(list(range(600)), 10) == 600
    codec = framing.Msgpack().codec()
    with pytest.raises(
        FramingError, match=r"more than 128 keys of a map .* \(allow them with other_keys=\) .* offset 1$"
    ):
        codec.feed(b"\1" + int_map(keys))
        codec.feed(b"")
    assert work(keys[:64] + keys[-64:], 10) <= 128 * 128 / 2


@pytest.mark.parametrize("wrap", [lambda data: data, lambda data: b"\x92\1" + data, lambda data: b"\x81\xa1k" + data])
def test_limit_of_other_keys(wrap) -> None:
    """As many keys as allowed are taken, at any depth; one more is refused, and skipped nothing."""
    codec = framing.Msgpack().codec()
    (value,) = codec.feed(wrap(int_map(list(range(128)))))
    assert dict.fromkeys(range(128), 0) in [value, *(value if isinstance(value, list) else value.values())]
    with pytest.raises(FramingError, match="more than 128 keys"):
        codec.feed(wrap(int_map(list(range(129)))))


def test_other_keys_can_be_allowed() -> None:
    keys = list(range(1000))
    assert framing.parse("msgpack:other_keys=1000").codec().feed(int_map(keys)) == [dict.fromkeys(keys, 0)]


def test_text_and_bytes_are_keys_without_limit() -> None:
    """Hashes of str and bytes are randomised; values may be what they like."""
    codec = framing.Msgpack().codec()
    value = {str(key): [{key: key}, {"n": key}] for key in range(5000)} | {bytes([key]): {1: 2} for key in range(200)}
    assert codec.feed(codec.encode([value])) == [value]


def test_no_other_keys_at_all() -> None:
    codec = framing.Msgpack(other_keys=0).codec()
    assert codec.feed(codec.encode([{"a": {b"b": 1}}])) == [{"a": {b"b": 1}}]
    for value in ({1: 2}, {None: 1}, {1.5: 0}, [{"a": {True: 1}}]):
        with pytest.raises(FramingError, match="more than 0 keys"):
            framing.Msgpack(other_keys=0).codec().feed(codec.encode([value]))


def test_extension_types_are_ext_values() -> None:
    msgspec = pytest.importorskip("msgspec")
    assert framing.Msgpack().codec().feed(b"\xd4\5a") == [msgspec.msgpack.Ext(5, b"a")]
