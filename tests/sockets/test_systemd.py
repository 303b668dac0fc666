"""What the service manager passes is read once, and only where it is meant for us."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from socketkit.sockets import systemd
from socketkit.sockets.systemd import FIRST, InheritedDescriptor, take_listen_fds


@pytest.fixture
def two_open(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """Two open descriptors in a row, and a first one that is theirs: 3 belongs to the test run."""
    ends = socket.socketpair()
    first = os.dup(ends[0].fileno()) + 100
    monkeypatch.setattr(systemd, "FIRST", first)
    for number, end in enumerate(ends):
        os.dup2(end.fileno(), first + number, inheritable=True)
    yield first, first + 1
    for descriptor in (first, first + 1, first - 100):
        os.close(descriptor)
    for end in ends:
        end.close()


def test_the_first_is_three() -> None:
    assert FIRST == 3


def test_descriptors_named_and_not_inheritable(two_open: tuple[int, int]) -> None:
    """Descriptors get their names and are inherited no further."""
    environment = {"LISTEN_PID": "17", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "web:tls", "HOME": "/"}
    assert take_listen_fds(environment, pid=17) == (
        InheritedDescriptor(two_open[0], "web"),
        InheritedDescriptor(two_open[1], "tls"),
    )
    assert environment == {"HOME": "/"}
    assert not any(map(os.get_inheritable, two_open))


def test_unnamed_descriptors_are_unknown(two_open: tuple[int, int]) -> None:
    """Without names they are unknown as the manual says."""
    for extra in ({}, {"LISTEN_FDNAMES": ""}):
        environment = {"LISTEN_PID": "17", "LISTEN_FDS": "2", **extra}
        assert [entry.name for entry in take_listen_fds(environment, pid=17)] == ["unknown", "unknown"]


def test_other_pid_ignored_and_removed() -> None:
    """What is meant for another process is ignored and taken away."""
    environment = {"LISTEN_PID": "18", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "web:tls"}
    assert take_listen_fds(environment, pid=17) == ()
    assert environment == {}


def test_listen_pid_may_be_absent(two_open: tuple[int, int]) -> None:
    """A helper that cannot know our number leaves it out."""
    assert [entry.descriptor for entry in take_listen_fds({"LISTEN_FDS": "1"}, pid=17)] == [two_open[0]]


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({"LISTEN_FDS": "two"}, "LISTEN_FDS is 'two', which is no count"),
        ({"LISTEN_FDS": "-1"}, "LISTEN_FDS is '-1', which is no count"),
        ({"LISTEN_FDS": "9" * 5000}, "which is no count"),
        ({"LISTEN_FDS": "2", "LISTEN_FDNAMES": "web"}, "LISTEN_FDNAMES holds 1 names, LISTEN_FDS says 2"),
        ({"LISTEN_FDS": "999999"}, "LISTEN_FDS is '999999', but descriptor [0-9]+ is not open"),
    ],
)
def test_what_is_garbled_is_said(two_open: tuple[int, int], variables: dict[str, str], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        take_listen_fds(variables, pid=17)
    assert variables == {}


def test_nothing_passed_is_nothing() -> None:
    assert take_listen_fds({}, pid=17) == ()
