"""The command over WebSocket: connect, listen, echo and wait."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from socketkit import Address
from support.programs import PATIENCE, Program, socketkit


@contextmanager
def echo_at(*arguments: str) -> Iterator[tuple[Program, Address]]:
    """`socketkit echo`, listening."""
    with socketkit("echo", *arguments) as server:
        yield server, server.address()


def finish(program: Program, data: bytes = b"") -> tuple[bytes, int, str]:
    """What a program writes, its status and its complaints, when its input was this."""
    with program:
        process = program.process
        process.stdin.write(data)
        process.stdin.close()
        output = process.stdout.read()
        status = process.wait(PATIENCE)
        program._reader.join(PATIENCE)
        return output, status, "\n".join(program.stderr_lines)


def test_lines_are_messages_and_come_back() -> None:
    with echo_at("ws://localhost:0/chat", "--subprotocol", "v1") as (_, address):
        client = socketkit("connect", str(address), "--header", "X-A: 1", "--subprotocol", "v1")
        assert finish(client, "one\nдва\n".encode() + b"\xff\n") == ("one\nдва\n".encode() + b"\xff\n", 0, "")


def test_a_refused_upgrade_is_status_3_with_the_http_status() -> None:
    with echo_at("ws://localhost:0/chat") as (_, address):
        for arguments, said in (
            ([str(address.replace(resource="/no"))], "404 Not Found"),
            ([str(address), "--origin", "http://evil.example"], "403 Forbidden"),
        ):
            _, status, text = finish(socketkit("connect", *arguments))
            assert status == 3
            assert said in text
            assert len(text.splitlines()) == 1


def test_a_server_may_let_another_page_in() -> None:
    with echo_at("ws://localhost:0", "--origins", "http://good.example") as (_, address):
        client = socketkit("connect", str(address), "--origin", "http://good.example")
        assert finish(client, b"x\n") == (b"x\n", 0, "")


def test_wait_waits_for_the_websocket_itself() -> None:
    with echo_at("ws://localhost:0/chat") as (_, address):
        assert finish(socketkit("wait", str(address)))[1] == 0


def test_its_options_are_refused_elsewhere() -> None:
    for arguments in (("connect", "tcp://localhost:1", "--origin", "http://a.example"), ("echo", "--origins", "*")):
        _, status, text = finish(socketkit(*arguments))
        assert status == 2
        assert "it has no effect at tcp:" in text
    assert "has no colon" in finish(socketkit("connect", "ws://localhost:1", "--header", "bad"))[2]
