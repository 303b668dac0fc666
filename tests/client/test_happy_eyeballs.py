"""Happy Eyeballs on a network that is written as a script: the moments are exact, and no time passes."""

from __future__ import annotations

import gc
import itertools
import weakref
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from socketkit.client.happy_eyeballs import HappyEyeballs, interleaved
from socketkit.engines.engine import Engine
from support.clock import virtual_engine
from support.engines import parameters
from support.network import (
    CONNECTS,
    ODD,
    REFUSES,
    SILENT,
    UNREACHABLE,
    Place,
    ScriptedAttempt,
    ScriptedNetwork,
    candidate,
    candidates,
)
from support.running import Running
from support.streams import open_descriptors

VIRTUAL = parameters("epoll", "poll", "select")

SIX, FOUR = "2001:db8::1", "192.0.2.1"


class Told:
    """How a race went: its winner, whether it was late, who was not tried, and the story with its moments."""

    def __init__(self, race: HappyEyeballs[Any, Any], network: ScriptedNetwork, winner: ScriptedAttempt | None) -> None:
        self.winner = None if winner is None else winner.host
        self.is_late = race.is_late
        self.untried = [candidate.name[0] for candidate in race.untried]
        self.story = network.story
        self.left_open = network.still_open()
        if winner is not None:
            winner.close()


def told(
    script: Sequence[Place], *, delay: float | None = 0.25, deadline: float | None = None, engine: str = "poll"
) -> Told:
    """Run the script."""
    made, clock = virtual_engine(engine)
    network = ScriptedNetwork(made, clock, script)
    race = HappyEyeballs(made, network, candidates(script), delay=delay, deadline=deadline)

    async def main() -> Told:
        return Told(race, network, await race.run())

    return made.run(main())


@pytest.mark.parametrize(
    ("resolved", "tried"),
    [
        ("6a 6b 6c 4a 4b", "6a 4a 6b 4b 6c"),
        ("4a 4b 6a", "4a 6a 4b"),
        ("6a 4a", "6a 4a"),
        ("4a 4b 4c", "4a 4b 4c"),
        ("4a", "4a"),
        ("", ""),
        ("4a 6a 4b 6b", "4a 6a 4b 6b"),
    ],
)
def test_families_alternate(resolved: str, tried: str) -> None:
    """The families take turns and the resolvers first begins."""

    def host(word: str) -> str:
        return f"2001:db8::{word[1]}" if word[0] == "6" else f"192.0.2.{ord(word[1])}"

    order = interleaved([candidate(host(word)) for word in resolved.split()])
    assert order == [candidate(host(word)) for word in tried.split()]


@pytest.mark.parametrize("engine", VIRTUAL)
def test_second_attempt_after_the_delay(engine: str) -> None:
    """The second begins a quarter of a second after a silent first."""
    run = told([(SIX, 0, SILENT), (FOUR, 0.04, CONNECTS)], engine=engine)
    assert run.story == [(0, "begins", SIX), (0.25, "begins", FOUR), (0.29, "connects", FOUR)]
    assert (run.winner, run.left_open) == (FOUR, [FOUR])


@pytest.mark.parametrize("engine", VIRTUAL)
def test_a_slow_but_good_first_is_not_cut(engine: str) -> None:
    run = told([(SIX, 0.3, CONNECTS), (FOUR, 0.2, CONNECTS)], engine=engine)
    assert run.story == [(0, "begins", SIX), (0.25, "begins", FOUR), (0.3, "connects", SIX)]
    assert run.left_open == [SIX]


def test_fast_first_attempt_is_alone() -> None:
    """A fast first leaves the second alone."""
    assert told([(SIX, 0.24, CONNECTS), (FOUR, 0, CONNECTS)]).story == [(0, "begins", SIX), (0.24, "connects", SIX)]


def test_failure_starts_next_at_once() -> None:
    """After a failure the next begins at once."""
    run = told([(SIX, 0.01, REFUSES), (FOUR, 0.02, CONNECTS)])
    assert run.story == [(0, "begins", SIX), (0.01, "fails", SIX), (0.01, "begins", FOUR), (0.03, "connects", FOUR)]


def test_missing_family_costs_no_time() -> None:
    """A machine without a family loses no time."""
    run = told([("2001:db8::1", 0, UNREACHABLE), ("2001:db8::2", 0, UNREACHABLE), (FOUR, 0, CONNECTS)])
    assert [moment for moment, _, _ in run.story] == [0] * 4
    assert run.winner == FOUR


def test_early_failure_restarts_the_delay() -> None:
    """A failure of an earlier one hastens the next and the delay counts from there."""
    run = told(
        [("192.0.2.1", 0.3, REFUSES), ("192.0.2.2", 0, SILENT), ("192.0.2.3", 0, SILENT), ("192.0.2.4", 0, CONNECTS)]
    )
    assert run.story == [
        (0, "begins", "192.0.2.1"),
        (0.25, "begins", "192.0.2.2"),
        (0.3, "fails", "192.0.2.1"),
        (0.3, "begins", "192.0.2.3"),
        (0.55, "begins", "192.0.2.4"),
        (0.55, "connects", "192.0.2.4"),
    ]  # fmt: skip


def test_last_attempt_has_no_timeout() -> None:
    """When the last has begun only answers count."""
    run = told([(SIX, 7, CONNECTS), (FOUR, 9, CONNECTS)])
    assert run.story[-1] == (7, "connects", SIX)


def test_simultaneous_answers_earliest_wins() -> None:
    """Of two that answer at once the one that began first wins."""
    run = told([(SIX, 0.5, CONNECTS), (FOUR, 0.25, CONNECTS)])
    assert (run.winner, run.left_open) == (SIX, [SIX])


def test_all_fail_each_reported() -> None:
    """When all fail there is no winner and each was reported."""
    run = told([(SIX, 0.1, REFUSES), (FOUR, 0.1, REFUSES)])
    assert (run.winner, run.is_late, run.untried, run.left_open) == (None, False, [], [])
    assert [(moment, host) for moment, what, host in run.story if what == "fails"] == [(0.1, SIX), (0.2, FOUR)]


def test_no_candidate_no_winner() -> None:
    assert told([]).winner is None


def test_another_delay_is_kept() -> None:
    run = told([(SIX, 0, SILENT), (FOUR, 0, CONNECTS)], delay=2)
    assert run.story[-1] == (2, "connects", FOUR)


def test_zero_delay_starts_all() -> None:
    """Without a delay between them all begin at once."""
    run = told([(SIX, 0.3, CONNECTS), (FOUR, 0.2, CONNECTS), ("192.0.2.2", 0, SILENT)], delay=0)
    assert [moment for moment, what, _ in run.story if what == "begins"] == [0, 0, 0]
    assert run.story[-1] == (0.2, "connects", FOUR)


def test_sequential_equal_shares() -> None:
    """One after another each has an equal share of what is left."""
    run = told([(SIX, 0, SILENT), (FOUR, 0, SILENT), ("2001:db8::2", 1, CONNECTS)], delay=None, deadline=9)
    assert run.story == [
        (0, "begins", SIX),
        (3, "given up", SIX),
        (3, "begins", FOUR),
        (6, "given up", FOUR),
        (6, "begins", "2001:db8::2"),
        (7, "connects", "2001:db8::2"),
    ]


def test_sequential_failure_frees_its_share() -> None:
    """One after another a failure leaves its share to the others."""
    run = told([(SIX, 1, REFUSES), (FOUR, 0, SILENT), ("2001:db8::2", 0, CONNECTS)], delay=None, deadline=9)
    assert run.story[-1] == (5, "connects", "2001:db8::2")


def test_sequential_without_deadline() -> None:
    """One after another without a deadline waits for the answer."""
    run = told([(SIX, 1000, REFUSES), (FOUR, 0, CONNECTS)], delay=None)
    assert run.story[-1] == (1000, "connects", FOUR)


@pytest.mark.parametrize("delay", [0.25, None])
def test_deadline_lists_untried_attempts(delay: float | None) -> None:
    """The deadline gives up those under way and names those that never began."""
    hosts = [f"192.0.2.{number}" for number in range(1, 8)]
    run = told([(host, 0, SILENT) for host in hosts], delay=delay, deadline=0.7)
    assert (run.winner, run.is_late, run.left_open) == (None, True, [])
    given_up = [host for _, what, host in run.story if what == "given up"]
    assert [*given_up, *run.untried] == hosts
    assert run.story[-1][0] == 0.7


def test_with_no_time_at_all_nobody_is_tried() -> None:
    run = told([(SIX, 0, CONNECTS)], deadline=0)
    assert (run.story, run.is_late, run.untried) == ([], True, [SIX])


fates = st.sampled_from([CONNECTS, CONNECTS, REFUSES, SILENT, UNREACHABLE])
moments = st.integers(0, 40).map(lambda tick: tick / 20)
scripts = st.lists(st.tuples(st.booleans(), moments, fates), max_size=6).map(
    lambda places: [
        (f"2001:db8::{number}" if is_six else f"192.0.2.{number}", seconds, fate)
        for number, (is_six, seconds, fate) in enumerate(places, 1)
    ]
)


@settings(max_examples=200, deadline=None)
@given(scripts, st.one_of(st.none(), moments), st.one_of(st.none(), moments))
def test_one_winner_others_closed(script: list[Place], delay: float | None, deadline: float | None) -> None:
    """At most one wins and all others are closed."""
    if deadline is None and any(fate == SILENT for _, _, fate in script):
        deadline = 5.0  # else nobody would ever know
    before = open_descriptors()
    run = told(script, delay=delay, deadline=deadline)
    assert open_descriptors() <= before  # others may have closed theirs meanwhile

    began = {host: moment for moment, what, host in run.story if what == "begins"}
    ended = [host for _, what, host in run.story if what in ("fails", "given up")]
    answers = {host: began[host] + seconds for host, seconds, fate in script if fate == CONNECTS and host in began}
    assert run.left_open == ([] if run.winner is None else [run.winner])
    assert sorted([*began, *run.untried]) == sorted(host for host, _, _ in script)
    assert not set(ended) & {run.winner}
    if run.winner is None:
        assert sorted(ended) == sorted(began)  # each with an error of its own
        assert run.is_late or not run.untried
    else:
        assert answers[run.winner] == pytest.approx(
            min(moment for host, moment in answers.items() if host not in ended)
        )
    if delay is not None:
        starts = list(began.values())
        assert all(later - sooner <= delay + 1e-6 for sooner, later in itertools.pairwise(starts))


@settings(max_examples=200, deadline=None)
@given(scripts, st.one_of(st.none(), moments), moments)
def test_cancel_at_any_moment_closes_all(script: list[Place], delay: float | None, moment: float) -> None:
    """Cancelled at any moment it leaves nothing open."""
    before = open_descriptors()
    engine, clock = virtual_engine()
    network = ScriptedNetwork(engine, clock, script)
    race = HappyEyeballs(engine, network, candidates(script), delay=delay)

    async def main() -> object:
        task = Running(engine, race.run())
        await engine.sleep(moment)
        task.cancel()
        return await task.outcome()

    outcome = engine.run(main())
    if isinstance(outcome, ScriptedAttempt):
        outcome.close()  # it had won before
    else:
        assert outcome is None or isinstance(outcome, engine.cancelled)
    assert network.still_open() == []
    assert open_descriptors() <= before


def test_unexpected_error_closes_all() -> None:
    """What no one expects ends the race and leaves nothing open."""
    engine, clock = virtual_engine()
    network = ScriptedNetwork(engine, clock, script := [(SIX, 1, ODD), (FOUR, 0, SILENT)])
    with pytest.raises(ZeroDivisionError):
        engine.run(HappyEyeballs(engine, network, candidates(script), delay=0.25).run())
    assert (len(network.opened), network.still_open()) == (2, [])


@pytest.mark.parametrize("fate", [CONNECTS, REFUSES])
def test_it_leaves_no_circle(no_gc: None, fate: str) -> None:
    gone: list[weakref.ref[object]] = []

    def run() -> None:
        engine: Engine
        engine, clock = virtual_engine()
        network = ScriptedNetwork(engine, clock, script := [(SIX, 0, REFUSES), (FOUR, 1, fate)])
        race = HappyEyeballs(engine, network, candidates(script), delay=0.25)
        winner = engine.run(race.run())
        if winner is not None:
            winner.close()
        gone.extend([weakref.ref(race), weakref.ref(network), *map(weakref.ref, network.opened)])

    run()
    assert [reference() for reference in gone] == [None] * len(gone)
    gc.collect()
