"""A dump says who said what and when, in records that stand alone, and nothing in it moves a terminal."""

from __future__ import annotations

import base64
import json

import pytest

from socketkit.apps.observers.dump import FORMATS, Dump
from socketkit.errors import BrokenError
from socketkit.events import Accepted, Closed, Connected, EndReceived, EndSent, Listening, Received, Sent

NOON = 1_700_000_000.25
TALK = [
    Listening("tcp://127.0.0.1:1", 5),
    Accepted(7, "tcp://127.0.0.1:1", "tcp://127.0.0.1:2"),
    Received(7, b"hello\nworld"),
    Sent(7, b"\x1b[31m\xff\n"),
    EndReceived(7),
    EndSent(7),
    Closed(7, 11, 7, None),
]


def records(form, events=TALK):
    written = []
    dump = Dump(form, written.append, clock=lambda: NOON)
    for event in events:
        dump(event)
    return written


def test_text_dump_escapes_nontext():
    """Text gives each line and writes out what is none."""
    assert records("text") == [
        "2023-11-14T22:13:20.250000Z [7] accepted tcp://127.0.0.1:1 tcp://127.0.0.1:2\n",
        "2023-11-14T22:13:20.250000Z [7] < 11 bytes\n  hello\\n\n  world\n",
        "2023-11-14T22:13:20.250000Z [7] > 7 bytes\n  \\x1b[31m\\xff\\n\n",
        "2023-11-14T22:13:20.250000Z [7] end received\n",
        "2023-11-14T22:13:20.250000Z [7] end sent\n",
        "2023-11-14T22:13:20.250000Z [7] closed\n",
    ]


def test_hex_gives_rows_of_sixteen():
    (record,) = records("hex", [Sent(1, bytes(range(0x30, 0x42)))])
    assert record == (
        "2023-11-14T22:13:20.250000Z [1] > 18 bytes\n"
        "  00000000  30 31 32 33 34 35 36 37  38 39 3a 3b 3c 3d 3e 3f  |0123456789:;<=>?|\n"
        "  00000010  40 41                                             |@A|\n"
    )


def test_json_gives_the_bytes_back():
    values = [json.loads(record) for record in records("json")]
    assert [value["event"] for value in values] == [
        "accepted",
        "received",
        "sent",
        "end received",
        "end sent",
        "closed",
    ]
    assert values[1]["text"] == "hello\nworld"
    assert base64.b64decode(values[2]["base64"]) == b"\x1b[31m\xff\n"
    assert {value["connection"] for value in values} == {7}


@pytest.mark.parametrize("form", FORMATS)
def test_a_loss_is_told(form):
    start = Connected(1, "tcp://127.0.0.1:1", "tcp://127.0.0.1:2")
    *_, last = records(form, [start, Closed(1, 0, 0, BrokenError("the peer has reset it"))])
    assert "the peer has reset it" in last


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("byte", [0x07, 0x1B, 0x7F, 0x85, 0x9B])
def test_no_control_character_gets_through(form, byte):
    text = "".join(records(form, [Received(1, bytes([byte])), Received(1, chr(byte).encode())]))
    assert not any(character != "\n" and not character.isprintable() for character in text)
