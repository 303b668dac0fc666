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
def test_one_message_is_framed_as_a_batch_of_one_is(subject, data):
    laws_of(subject).check_one(subject, data)


@every_framing
@LAW
@given(data=st.data())
def test_any_bytes_are_messages_or_a_documented_error(subject, data):
    laws_of(subject).check_garbage(subject, data)


@every_framing
@LAW
@given(data=st.data())
def test_what_nobody_received_can_be_given_back(subject, data):
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
def test_an_over_long_frame_is_passed_over_with_one_error_value(subject, data):
    laws_of(subject).check_passing_over(subject, data)


@every_framing
@LAW
@given(data=st.data())
def test_a_buffer_stays_its_owners(subject, data):
    laws_of(subject).check_buffers(subject, data)
