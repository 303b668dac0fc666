"""Guests of our chat that nobody here wrote."""

from __future__ import annotations

import pytest

from socketkit import Address
from support.programs import Program, needs, socketkit


def line_of(program: Program) -> str:
    assert program.process.stdout is not None
    return bytes(program.process.stdout.readline()).decode().rstrip("\r\n")


def types(program: Program, text: str) -> None:
    assert program.process.stdin is not None
    program.process.stdin.write(text.encode())
    program.process.stdin.flush()


def command(name: str, address: Address) -> tuple[str, ...]:
    path, host, port = needs(name), str(address.host), str(address.port)
    return (path, "-", f"TCP:{host}:{port}") if name == "socat" else (path, host, port)


@pytest.mark.parametrize("name", ["nc", "ncat", "socat", "telnet"])
def test_foreign_guest_talks_and_leaves(name: str) -> None:
    """A foreign guest is greeted talks and is let go."""
    with socketkit("chat", "host", "tcp://127.0.0.1:0") as host, Program(*command(name, host.address())) as guest:
        while not (greeting := line_of(guest)).startswith("* "):
            assert greeting.startswith(("Trying", "Connected", "Escape")), greeting  # telnet's own words
        assert greeting.startswith("* welcome, you are guest1; ")
        assert line_of(host) == "* guest1 has joined"
        types(guest, "/name Иван\nhello\n")
        assert line_of(guest) == "* you are Иван now"
        assert [line_of(host), line_of(host)] == ["* guest1 is Иван now", "Иван: hello"]
        types(host, "good evening\n")
        assert line_of(guest) == "host: good evening"
        types(guest, "bye\n")
        assert line_of(guest) == "* goodbye, Иван"
        assert line_of(host) == "* Иван has left"
        types(host, "bye\n")
        assert host.wait() == 0
