"""`--retry` and `--backoff` where the command dials."""

from __future__ import annotations

import re
import signal
import socket

import pytest

from support.dead_ports import refusing_port
from support.programs import echo_server, socketkit


def test_two_more_tries_are_three() -> None:
    with socketkit(
        "connect", f"tcp://127.0.0.1:{refusing_port()}", "-v", "--retry", "2", "--backoff", "1ms..2ms"
    ) as program:
        program.communicate()
        assert program.wait() == 3
        assert [("trying again in" in line) for line in program.stderr_lines] == [True, True, False]
        assert re.search(r"\(3 tries in \d\.\d s\)$", program.stderr_lines[-1])


def test_no_retry_by_default() -> None:
    """Without it the first failure ends it."""
    with socketkit("connect", f"tcp://127.0.0.1:{refusing_port()}", "-v") as program:
        program.communicate()
        assert (program.wait(), len(program.stderr_lines)) == (3, 1)


@pytest.mark.parametrize("verb", [["connect"], ["chat", "join"]], ids=" ".join)
def test_a_server_that_comes_later_is_found(verb: list[str]) -> None:
    port = refusing_port()
    arguments = (*verb, f"tcp://127.0.0.1:{port}", "-v", "--retry", "forever", "--backoff", "10ms..20ms")
    with socketkit(*arguments) as program:
        program.wait_line("trying again")
        with socket.create_server(("127.0.0.1", port)) as listener:
            caller, _ = listener.accept()
            with caller:
                caller.sendall(b"at last\n")
                caller.shutdown(socket.SHUT_WR)
                assert program.communicate() == b"at last\n"
    assert program.wait() == 0


def test_relay_retries_target() -> None:
    """A client of a relay is put through to a target that comes later."""
    port = refusing_port()
    arguments = ("tcp://127.0.0.1:0", f"tcp://127.0.0.1:{port}", "-v", "--retry", "forever", "--backoff", "10ms..20ms")
    with socketkit("relay", *arguments) as relay:
        place = relay.address()
        with socket.create_connection((place.host, place.port), 20) as client:
            relay.wait_line("trying again")
            with socket.create_server(("127.0.0.1", port)) as target:
                caller, _ = target.accept()
                with caller:
                    caller.sendall(b"at last")
                assert client.recv(7, socket.MSG_WAITALL) == b"at last"
        assert relay.stop() == 0


def test_retry_deadline_in_address() -> None:
    """The deadline of an address ends the tries."""
    address = f"tcp://127.0.0.1:{refusing_port()}?retry=forever,first=10ms,deadline=100ms"
    with socketkit("connect", address) as program:
        program.communicate()
        assert program.wait() == 124
        assert "socketkit: gave up after" in program.stderr_lines[-1]
        assert len(program.stderr_lines) == 1


def test_permanent_errors_not_retried() -> None:
    """What will not go well later is not tried again."""
    with pytest.raises(socket.gaierror) as caught:
        socket.getaddrinfo("name.invalid", 1)  # RFC 6761: a name that never exists
    if caught.value.errno == socket.EAI_AGAIN:
        pytest.skip("this machine has no resolver that could say so")
    with socketkit("connect", "tcp://name.invalid:1", "--retry", "forever", "--backoff", "1m..1m", "-v") as program:
        program.communicate()
        assert (program.wait(), len(program.stderr_lines)) == (3, 1)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_pause(number: signal.Signals, status: int) -> None:
    arguments = ("-v", "--retry", "forever", "--backoff", "1m..1m")
    with socketkit("connect", f"tcp://127.0.0.1:{refusing_port()}", *arguments) as program:
        program.wait_line("trying again")
        assert program.stop(number) == status


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--backoff", "1s..2s"), "say how many with --retry"),
        (("--retry", "2", "--backoff", "1s"), "'1s' is not a range of times"),
        (("--retry", "2", "--backoff", "2s..1s"), "'2s..1s' ends before it begins"),
        (("--retry", "2", "--backoff", "1..x"), "'--backoff': 'x' is not a time"),
        (("--retry", "often"), "'--retry': 'often' is not a count"),
        (("--retry", "-1"), "'--retry': '-1' is not a count"),
    ],
)
def test_a_wrong_argument_is_a_usage_error(arguments: tuple[str, ...], text: str) -> None:
    with socketkit("connect", "tcp://127.0.0.1:1", *arguments) as program:
        program.communicate()
        assert program.wait() == 2
        assert len(program.stderr_lines) == 1 and text in program.stderr_lines[0]


def test_first_success_ends_retries() -> None:
    """A server that is there is dialled once."""
    with echo_server() as (_, address), socketkit("connect", str(address), "--retry", "5", "-vv") as program:
        assert program.communicate(b"hello") == b"hello"
        assert program.wait() == 0
        assert sum("trying" in line for line in program.stderr_lines) == 1
