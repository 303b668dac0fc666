"""What the errors of every framing say: the framing, the limit and the size, the offset, the option that would help."""

from __future__ import annotations

import pytest

from framing.subjects import SUBJECTS
from socketkit.errors import FrameTooLongError


@pytest.mark.parametrize("subject", [one for one in SUBJECTS if one.payload], ids=lambda subject: subject.text)
def test_too_long(subject):
    small = subject.framing(max_size=8)
    before = subject.framing().codec().encode([subject.payload(8)])
    codec = small.codec()
    assert len(codec.feed(before + subject.framing().codec().encode([subject.payload(12)]))) == 1
    with pytest.raises(FrameTooLongError) as caught:
        codec.feed(b"")
    error = caught.value
    assert str(error) == (
        f"{small}: a frame of 12 bytes at offset {len(before)} is over max_size=8B (8 bytes); "
        "allow it with max_size=, or pass it over with oversize=skip or truncate"
    ).replace("skip or truncate", " or ".join(subject.policies[1:]))
    assert (error.framing, error.offset, error.size, error.max_size) == (str(small), len(before), 12, 8)


@pytest.mark.parametrize("subject", [one for one in SUBJECTS if one.payload], ids=lambda subject: subject.text)
def test_too_long_to_send(subject):
    small = subject.framing(max_size=8)
    with pytest.raises(FrameTooLongError) as caught:
        small.codec().encode([subject.payload(8), subject.payload(12)])
    assert str(caught.value) == (
        f"{small}: message 1 has 12 bytes, over max_size=8B (8 bytes); nothing was encoded; allow it with max_size="
    )
