"""Every framing keeps every law."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.framing_laws import LAW, FramingLaws, Subject
from framing.subjects import SUBJECTS

every_framing = pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.text)


def laws_of(subject: Subject) -> FramingLaws:
    laws = FramingLaws()
    laws.chunky = subject.text == "chunks"
    return laws


@every_framing
@LAW
@given(data=st.data())
def test_messages_come_back(subject, data):
    laws_of(subject).check_round_trip(subject, data)


@every_framing
@LAW
@given(data=st.data())
def test_frames_stand_alone(subject, data):
    laws_of(subject).check_batches(subject, data)


@every_framing
@LAW
@given(data=st.data())
def test_single_equals_batch_of_one(subject, data):
    """One message is framed as a batch of one is."""
    laws_of(subject).check_one(subject, data)


@every_framing
@LAW
@given(data=st.data())
def test_any_bytes_decode_or_documented_error(subject, data):
    """Any bytes are messages or a documented error."""
    laws_of(subject).check_garbage(subject, data)


@every_framing
@LAW
@given(data=st.data())
def test_one_message_at_a_time(subject, data):
    """Decoding on demand gives what decoding in batches gives."""
    laws_of(subject).check_one_by_one(subject, data)


@every_framing
@LAW
@given(data=st.data())
def test_unread_messages_return_to_bytes(subject, data):
    """What no one received can be given back."""
    laws_of(subject).check_giving_back(subject, data)


@every_framing
@LAW
@given(data=st.data())
def test_the_end_loses_nothing(subject, data):
    laws_of(subject).check_end(subject, data)


@pytest.mark.parametrize("subject", [one for one in SUBJECTS if one.payload], ids=lambda subject: subject.text)
@LAW
@given(data=st.data())
def test_the_limit_is_inclusive_both_ways(subject, data):
    laws_of(subject).check_limit(subject, data)


@pytest.mark.parametrize("subject", [one for one in SUBJECTS if one.payload], ids=lambda subject: subject.text)
@LAW
@given(data=st.data())
def test_oversized_frame_skipped_with_one_error(subject, data):
    """An over long frame is passed over with one error value."""
    laws_of(subject).check_passing_over(subject, data)


@every_framing
@LAW
@given(data=st.data())
def test_a_buffer_stays_its_owners(subject, data):
    laws_of(subject).check_buffers(subject, data)
