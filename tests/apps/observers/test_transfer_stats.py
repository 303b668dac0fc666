"""The figures of a conversation, by a clock that the test moves."""

from __future__ import annotations

from socketkit.apps.observers.transfer_stats import TransferStats
from socketkit.errors import BrokenError
from socketkit.events import Accepted, Closed, Connected, Connecting, Received, Resolved, Sent

OURS, THEIRS, NAMED = "tcp://127.0.0.1:1", "tcp://127.0.0.1:2", "tcp://localhost:2"


class Told:
    """A tally, its clock, and the figures that it told."""

    def __init__(self):
        self.moment = 100.0
        self.ended = []
        self.tally = TransferStats(self.ended.append, clock=lambda: self.moment)

    def at(self, seconds, event):
        self.moment = 100.0 + seconds
        self.tally(event)


def test_each_step_is_timed():
    told = Told()
    told.at(0.25, Resolved(NAMED, (THEIRS,)))
    told.at(0.5, Connecting(THEIRS, THEIRS))
    told.at(0.75, Connecting(THEIRS, THEIRS))
    told.at(1, Connected(1, OURS, THEIRS))
    told.at(2, Sent(1, bytes(100)))
    told.at(3, Received(1, bytes(30)))
    told.at(4, Received(1, bytes(10)))
    told.at(5, Closed(1, 40, 100, None))
    (figures,) = told.ended
    assert figures.as_facts() == {
        "connection": 1,
        "peer": THEIRS,
        "resolve_seconds": 0.25,
        "connect_seconds": 0.5,
        "first_byte_seconds": 2.0,
        "seconds": 4.0,
        "received_size": 40,
        "sent_size": 100,
        "received_rate": 10.0,
        "sent_rate": 25.0,
        "error": None,
    }
    assert figures.as_text() == (
        f"[1] {THEIRS}: 250.0 ms to resolve, 500.0 ms to connect, 2000.0 ms to the first byte, "
        "100 bytes sent (25 B/s), 40 bytes received (10 B/s), 4.000 s"
    )


def test_accepted_summary_and_loss():
    """A client has no steps before it came and a loss is reported."""
    told = Told()
    told.at(1, Accepted(7, OURS, THEIRS))
    told.at(1, Closed(7, 0, 0, BrokenError("reset")))
    (figures,) = told.ended
    assert (figures.resolve_seconds, figures.connect_seconds, figures.seconds) == (None, None, 0.0)
    assert figures.as_text().endswith("0.000 s: reset")


def test_figures_can_be_asked_for_meanwhile():
    told = Told()
    told.at(0, Accepted(1, OURS, THEIRS))
    told.at(1, Received(1, bytes(2_500_000)))
    (figures,) = told.tally.figures()
    assert (figures.received_size, told.ended) == (2_500_000, [])
    assert "(2.5 MB/s)" in figures.as_text()


def test_what_began_unseen_is_passed_over():
    told = Told()
    told.at(0, Received(9, b"data"))
    told.at(0, Closed(9, 4, 0, None))
    assert told.ended == []


def test_a_number_was_not_looked_up():
    told = Told()
    told.at(0.25, Resolved(THEIRS, (THEIRS,)))
    told.at(1, Connected(1, OURS, THEIRS))
    told.at(2, Closed(1, 0, 0, None))
    (figures,) = told.ended
    assert figures.resolve_seconds is None
