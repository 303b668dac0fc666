"""The tour tells what happens, and nothing else."""

from __future__ import annotations

import re
import sys

import pytest

from socketkit import engines
from socketkit.apps.tour import benchmark, walkthrough
from socketkit.apps.tour.socket_state import open_descriptor_count, state_of_ports
from socketkit.apps.tour.texts import RUSSIAN, RUSSIAN_STEPS, STEPS, step_text

NAMES = [name for name in engines.NAMES if engines.is_available(name) and name != "blocking"]


def walked(engine_name: str) -> list[walkthrough.Step]:
    engine = engines.make(engine_name)
    steps: list[walkthrough.Step] = []
    engine.run(walkthrough.walk(engine, steps.append))
    return steps


def calls_of(step: walkthrough.Step) -> list[str]:
    return [call.event.name for call in step.calls]


@pytest.mark.parametrize("engine_name", NAMES)
def test_tour_steps_in_order_with_calls(engine_name: str) -> None:
    """Every step of the story is lived in order and reported with its calls."""
    steps = walked(engine_name)
    assert [step.text.title for step in steps] == [text.title for text in STEPS.values()]
    assert [set(calls_of(step)) for step in steps] == [
        {"socket"},
        {"setsockopt", "bind"},
        {"listen"},
        {"socket", "connect", "getsockopt"},
        {"getsockopt"},
        {"accept"},
        {"setsockopt"},
        {"send"},
        {"recv"},
        {"send"},
        {"recv"},
        {"shutdown", "recv"},
        {"send", "recv"},
        {"close", "recv"},
        {"close"},
    ]
    assert all("{" not in step.text.meaning + step.text.trap for step in steps)


def test_tour_numbers_match_calls() -> None:
    """Numbers in the words are those of the calls."""
    steps = walked(NAMES[0])
    by_title = {step.text.title: step for step in steps}
    accepted, peer = by_title["accept"].calls[-1].event.result.split(", ")
    assert f"a new socket, {accepted}," in by_title["accept"].text.meaning
    assert f"a port of its own, {peer.rpartition(':')[2]}." in by_title["connect"].text.meaning
    assert "wait to be accepted: 1." in by_title["is a client waiting?"].text.meaning
    assert by_title["recv"].calls[0].event.data == b"hello world"
    short = by_title["send, too much"]
    assert int(short.calls[-1].event.result.split()[0]) < walkthrough.LARGE_SIZE
    closed = [call.event.descriptor for step in steps[-2:] for call in step.calls if call.event.name == "close"]
    assert len(set(closed)) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the states of TCP")
def test_states_are_those_of_the_system() -> None:
    states = [[state for _, state in step.states] for step in walked(NAMES[0])]
    assert states[2:6] == [["LISTEN"], ["LISTEN", "ESTABLISHED"], ["LISTEN"], ["LISTEN", "ESTABLISHED"]]
    assert states[11][0].startswith("FIN_WAIT") and states[11][1] == "CLOSE_WAIT"
    assert state_of_ports(0, 0) == ""


def test_tour_closes_all_descriptors() -> None:
    """The tour gives every descriptor back."""
    walked(NAMES[0])
    before = open_descriptor_count()
    walked(NAMES[0])
    assert open_descriptor_count() == before


def test_thousand_lines_few_calls() -> None:
    """A thousand lines take a handful of calls."""
    engine = engines.make(engines.best_readiness())
    summary = engine.run(walkthrough.summarize(engine))
    assert summary.line_count == 1000
    assert summary.calls["accept"] == summary.calls["connect"] == summary.calls["listen"] == 1
    assert summary.calls["close"] == 3
    assert summary.calls["send"] + summary.calls["recv"] < 20


def test_benchmark_covers_engines_and_families() -> None:
    """Every engine is timed at every family or says why not."""
    bursts = list(benchmark.measure(0.001))
    assert [(one.engine, one.family) for one in bursts] == [
        (name, family) for name in benchmark.ENGINES for family in benchmark.FAMILIES
    ]
    assert set(benchmark.ENGINES) == set(engines.NAMES)
    for one in bursts:
        assert (one.rate is None) == bool(one.reason)
        if not engines.is_available(one.engine):
            assert one.reason == engines.missing(one.engine)
        elif one.family in ("tcp4", "unix", "pair"):
            assert one.rate is not None and one.rate > 0, one


def fields_of(text: str) -> list[str]:
    return sorted(re.findall(r"\{[^}]*\}", text))


def test_every_text_in_both_languages() -> None:
    """Each step and each text of the page has a Russian one, with the same fields."""
    assert list(RUSSIAN_STEPS) == list(STEPS)
    for name, english in STEPS.items():
        russian = step_text("ru", name)
        assert russian.side == english.side
        for attribute in ("meaning", "trap"):
            assert fields_of(getattr(russian, attribute)) == fields_of(getattr(english, attribute)), name
            assert re.search("[а-я]", getattr(russian, attribute)), name
    for english_text, russian_text in RUSSIAN.items():
        assert fields_of(russian_text) == fields_of(english_text)
        assert russian_text != english_text


def test_walkthrough_in_russian() -> None:
    """The texts are of the language, with the real values, the calls are the same."""
    steps: list[walkthrough.Step] = []
    engine = engines.make(NAMES[0])
    engine.run(walkthrough.walk(engine, steps.append, language="ru"))
    assert [step.name for step in steps] == list(STEPS)
    assert all("{" not in step.text.meaning + step.text.trap for step in steps)
    assert "ждёт приёма: 1." in steps[4].text.meaning
