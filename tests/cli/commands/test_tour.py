"""`socketkit tour`: true, beautiful and short."""

from __future__ import annotations

import re
import subprocess
import time

import pytest

from socketkit import engines
from socketkit.apps.tour.benchmark import ENGINES, FAMILIES
from socketkit.apps.tour.texts import STEPS
from socketkit.cli.commands.tour import _CODE
from support.programs import run_socketkit, socketkit

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def page() -> str:
    began = time.monotonic()
    with socketkit("tour", env={"COLUMNS": "80"}) as tour:
        text = tour.communicate().decode()
        assert tour.wait() == 0
        assert tour.stderr_lines == []
    assert time.monotonic() - began < 15
    return text


def test_every_step_is_there_with_its_trap(page: str) -> None:
    for number, text in enumerate(STEPS.values(), 1):
        assert re.search(rf"^ *{number}  {re.escape(text.title)} *$", page, re.MULTILINE), text.title
    assert len(re.findall(r"^ *trap  ", page, re.MULTILINE)) == len(STEPS)


def test_real_calls_are_shown(page: str) -> None:
    listening = re.search(r"^server  socket\(AF_INET, SOCK_STREAM, IPPROTO_TCP\) = (\d+)", page, re.MULTILINE)
    assert listening is not None
    for call in (
        rf"server  bind\({listening[1]}, tcp://127.0.0.1:0\) = 0",
        rf"server  listen\({listening[1]}, \d+\) = 0",
        r"client  connect\(\d+, tcp://127.0.0.1:\d+\) = ",
        rf"server  accept\({listening[1]}\) = \d+, tcp://127.0.0.1:\d+",
        r"client  send\(\d+, 6 bytes\) = 6 bytes",
        r"server  recv\(\d+, \d+ bytes\) = 11 bytes",
        r"client  shutdown\(\d+, SHUT_WR\) = 0",
        rf"server  close\({listening[1]}\) = 0",
    ):
        assert re.search(call, page), call


def test_tour_table_families_and_engines(page: str) -> None:
    """Every family has a row and every engine a column or a reason."""
    for family in FAMILIES:
        row = re.search(rf"│ {family} *│(.*)", page)
        assert row is not None, family
        cells = [cell.strip() for cell in row[1].rstrip().strip("│").split("│")]
        assert len(cells) == len(ENGINES)
        for name, cell in zip(ENGINES, cells, strict=True):
            reason = engines.missing(name)
            if reason is not None:
                assert cell == "-"
                assert reason in " ".join(page.split())
            elif family in ("tcp4", "udp4", "unix", "exec"):
                assert re.fullmatch(r"[\d.]+k", cell), (family, name)


def test_tour_fits_80_columns(page: str) -> None:
    """It fits 80 columns and has no colour without a terminal."""
    assert max(map(len, page.splitlines())) <= 80
    assert "\x1b" not in page


def test_narrow_terminal_cuts_nothing() -> None:
    """At 40 columns every word is there, every engine has its column, and no line is longer."""
    with socketkit("tour", env={"COLUMNS": "40"}) as tour:
        page = tour.communicate().decode()
        assert tour.wait() == 0
    assert max(map(len, page.splitlines())) <= 40
    assert "…" not in page
    words = re.sub(r"\W+", "", page)
    for text in STEPS.values():
        assert re.sub(r"\W+", "", text.title) in words
    for line in _CODE.splitlines():
        assert re.sub(r"\W+", "", line) in words
    for name in ENGINES:
        assert re.search(rf"┃ *{name} *┃", page), name
    for family in FAMILIES:
        assert len(re.findall(rf"│ {family} *│", page)) > 1, family


def test_every_descriptor_is_given_back(page: str) -> None:
    found = re.search(r"before the first step: (\d+); after the last: (\d+)", page)
    assert found is not None and found[1] == found[2]


def test_closed_stdout_is_no_failure() -> None:
    """A reader that has seen enough is no failure."""
    with socketkit("tour") as tour:
        assert tour.process.stdout is not None
        tour.process.stdout.readline()
        tour.process.stdout.close()
        assert tour.wait() == 0
        assert tour.stderr_lines == []


@pytest.mark.parametrize("step", ["12", "half-close"])
def test_one_step(step: str) -> None:
    """A step is shown by its number or its name, and nothing else."""
    status, text, _ = run_socketkit("tour", step)
    assert status == 0
    assert re.findall(r"^ +\d+  (\S.*\S)", text, re.MULTILINE) == ["half-close"]
    assert "shutdown(" in text and "trap" in text


def test_unknown_step() -> None:
    status, text, errors = run_socketkit("tour", "half-clsoe")
    assert (status, text) == (2, "")
    assert "there is no step 'half-clsoe' (did you mean half-close?); there are 1 to 15" in errors


def test_russian_page() -> None:
    """In Russian every line is Russian, but for calls, code and what systems say; it fits 80 columns."""
    status, text, _ = run_socketkit("tour", "--lang", "ru")
    assert status == 0
    assert max(map(len, text.splitlines())) <= 80
    for title in ("Жизнь сокета", "То же самое с socketkit", "Один обработчик, все движки", "Что попробовать дальше"):
        assert title in text
    assert len(re.findall(r"^ *ловушка  ", text, re.MULTILINE)) == len(STEPS)
    assert "trap" not in text and "the peer has ended" not in text
    assert " blocking┃" in text  # no column of the table is cut


def test_language_of_locale() -> None:
    assert "ловушка" in run_socketkit("tour", "bind", LC_ALL="ru_RU.UTF-8")[1]
    assert "ловушка" not in run_socketkit("tour", "bind", LC_ALL="C.UTF-8")[1]


def test_closing_commands_can_be_copied(page: str) -> None:
    """Each command at the end is one that a shell here runs."""
    commands = re.findall(r"^ (\S.* (?:echo|connect|chat) [\w-]+) *$", page[page.index("To try next") :], re.MULTILINE)
    assert len(commands) == 4
    for typed in commands:
        done = subprocess.run([*typed.split(), "--help"], capture_output=True, check=False)
        assert done.returncode == 0, typed
