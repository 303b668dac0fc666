"""Time is proportional to the bytes: four times as many take about four times as long, not sixteen times."""

from __future__ import annotations

import time

import pytest

from framing.subjects import SUBJECTS

MIB = 1024 * 1024

pytestmark = pytest.mark.slow

limited = pytest.mark.parametrize("subject", [one for one in SUBJECTS if one.payload], ids=lambda subject: subject.text)


@pytest.fixture(scope="module", autouse=True)
def one_side_of_the_threshold():
    """Have glibc serve both sizes from the heap.

    Blocks over its threshold are mapped and unmapped each time, at ten times the price. The threshold is 128 KiB until
    a mapped block is freed: then it is the size of that, up to 32 MiB (mallopt(3)). Without this 2 MiB may be below it
    and 8 MiB above.
    """
    block = bytearray(31 * MIB)
    del block


def cost(subject, data, step):
    codec = subject.framing(max_size=1024 * MIB).codec()
    begin = time.process_time()
    messages = []
    for index in range(0, len(data), step):
        messages += codec.feed(data[index : index + step])
    spent = time.process_time() - begin
    assert messages
    return spent


def assert_linear(subject, make, sizes, step):
    """Ratio of the two costs; tried again, since a machine does other things too."""
    small, large = (make(size) for size in sizes)
    if step > 1:
        cost(subject, large, step)  # the heap has grown before anything is measured
    ratios = []
    for _ in range(4):
        ratios.append(cost(subject, large, step) / max(cost(subject, small, step), 1e-6))
        if ratios[-1] < 9:
            return
    raise AssertionError(f"four times the bytes took {ratios} times the time")


def one_frame(subject):
    def make(size):
        return subject.framing(max_size=1024 * MIB).codec().encode([subject.payload(size)])

    return make


boundless = pytest.mark.parametrize(
    "subject",
    [one for one in SUBJECTS if one.payload and not one.text.startswith(("length:1", "length:2"))],
    ids=lambda subject: subject.text,
)


@boundless
def test_one_huge_frame_in_pieces(subject):
    assert_linear(subject, one_frame(subject), (2 * MIB, 8 * MIB), 64 * 1024)


@boundless
def test_one_frame_byte_by_byte(subject):
    assert_linear(subject, one_frame(subject), (32 * 1024, 128 * 1024), 1)


@limited
def test_many_small_frames_in_one_feed(subject):
    def make(count):
        return subject.framing().codec().encode([subject.payload(3)]) * count

    assert_linear(subject, make, (10_000, 40_000), 1024 * MIB)


@boundless
def test_oversized_frame_skipped(subject):
    """An over long frame that is passed over."""

    def make(size):
        return one_frame(subject)(size) + subject.framing().codec().encode([subject.payload(3)])

    passing = type("Passing", (), {"framing": lambda self, **_: subject.framing(max_size=100, oversize="skip")})()
    assert_linear(passing, make, (16 * 1024, 64 * 1024), 1)
