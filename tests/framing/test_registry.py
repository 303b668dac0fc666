"""Names, objects and classes: what stands for a framing, and what is said of what does not."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

from framing.subjects import SUBJECTS
from socketkit import framing
from socketkit.errors import OptionError

NAMES = (
    "chunks, lines, delimited, fixed, length, varint, netstring, octets, content-length, cobs, slip, json, "
    "json-stream, msgpack"
)


@pytest.mark.parametrize("text", [subject.text for subject in SUBJECTS])
def test_text_and_object_are_inverse(text):
    made = framing.parse(text)
    assert str(made) == text
    assert framing.parse(str(made)) == made
    assert hash(framing.parse(text)) == hash(made)
    assert pickle.loads(pickle.dumps(made)) == made


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("lines:crlf=yes", "lines:crlf"),
        ("lines:crlf=no", "lines"),
        ("lines:encoding=utf-8,max_size=1MiB,oversize=fail", "lines"),
        ("lines:oversize=skip,max_size=65536", "lines:max_size=64KiB,oversize=skip"),
        ("lines:max-size=64KiB", "lines:max_size=64KiB"),
        ("lines:encoding=None", "lines:encoding=none"),
        ("length:4,order=big", "length:4"),
        ("fixed:1KB", "fixed:1000"),
    ],
)
def test_many_texts_have_one_canonical_form(text, canonical):
    assert str(framing.parse(text)) == canonical


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nonsense", f"unknown framing 'nonsense'; allowed are {NAMES}"),
        ("", f"unknown framing ''; allowed are {NAMES}"),
        ("line", "unknown framing 'line' (did you mean lines?); allowed are"),
        ("LINES", "unknown framing 'LINES' (did you mean lines?)"),
        ("json_stream", "unknown framing 'json_stream' (did you mean json-stream?)"),
        (
            "lines:",
            "lines: unknown option ''; allowed are crlf (yes/no), encoding (encoding), max_size (size), oversize",
        ),
        ("lines:crlf,", "lines: unknown option ''"),
        ("lines:clrf", "lines: unknown option 'clrf' (did you mean crlf?)"),
        ("lines:maxsize=3", "lines: unknown option 'maxsize' (did you mean max_size?)"),
        ("lines:max_size", "lines: unknown option 'max_size'"),
        ("lines:max_size=64KB1", "lines: max_size: '64KB1' has the unknown unit 'KB1'; allowed is a size such as 4096"),
        ("lines:max_size=-1", "lines: max_size: '-1' is less than 0B"),
        ("lines:oversize=drop", "lines: oversize: 'drop' is none of fail, skip, truncate"),
        ("lines:crlf=maybe", "lines: crlf: 'maybe' is not a switch; allowed is yes or no"),
        ("lines:crlf,crlf=yes", "lines: crlf is given twice"),
        ("chunks:max_size=1", "chunks: unknown option 'max_size'; it takes no options"),
        (
            "netstring:4",
            "netstring: unknown option '4'; allowed are max_size (size), oversize (fail/skip/truncate)",
        ),
        ("lines\n", "unknown framing 'lines\\n'"),
    ],
)
def test_bad_framing_text_lists_allowed(text, said):
    """A wrong text is reported what is allowed."""
    with pytest.raises(OptionError) as caught:
        framing.parse(text)
    assert said in str(caught.value)


def test_every_framing_describes_its_options():
    for made in framing.FRAMINGS.values():
        assert made.title
        assert [row.name for row in made.describe()] == list(made.fields)
        assert all(row.sentence.endswith(".") for row in made.describe())


def test_a_framing_does_not_change():
    made = framing.Lines()
    with pytest.raises(AttributeError):
        made.crlf = True


class Own:
    def encode(self, messages):
        return b"".join(messages)

    def feed(self, data):
        return [data] if data else []

    def feed_eof(self):
        return []


class OwnFraming:
    def codec(self):
        return Own()


def test_what_stands_for_a_framing():
    made = framing.Lines(crlf=True)
    own = OwnFraming()
    assert framing.of("lines:crlf") == made
    assert framing.of(made) is made
    assert framing.of(framing.Lines) == framing.Lines()
    assert framing.of(own) is own
    assert isinstance(framing.of(OwnFraming).codec(), Own)
    assert isinstance(framing.of(Own).codec(), Own)
    assert isinstance(framing.of(lambda: Own()).codec(), Own)
    assert framing.of(Own).codec() is not framing.of(Own).codec()
    assert str(framing.of(Own)) == "Own"
    assert isinstance(Own(), framing.Codec)
    assert not isinstance(Own(), framing.FullCodec)
    assert all(isinstance(framing.parse(subject.text).codec(), framing.FullCodec) for subject in SUBJECTS)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (Own(), "is a codec, which holds one connection's bytes: give its class"),
        (None, "framing=None is no framing; allowed are a name (chunks, lines"),
        (b"lines", "framing=b'lines' is no framing"),
        (4, "framing=4 is no framing"),
        (dict, "framing=dict makes {}, which has no encode and no feed and no feed_eof"),
        (lambda one: Own(), "cannot be made without arguments"),
        (framing.Fixed, "fixed: the size is missing; allowed are size (size)"),
    ],
)
def test_what_does_not_stand_for_a_framing(value, said):
    with pytest.raises(OptionError) as caught:
        framing.of(value)
    assert said in str(caught.value)


def test_framings_import_nothing_heavy():
    """The modules load no optional library and nothing that waits."""
    code = "import sys, socketkit.framing; print(sorted({'msgspec', 'json', 'asyncio', 'ssl'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "[]\n"


def test_dir_lists_what_is_not_loaded() -> None:
    """Completion at a prompt finds every framing, also before its module is loaded."""
    assert set(framing.__all__) <= set(dir(framing))
