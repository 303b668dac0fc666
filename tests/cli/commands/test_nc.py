"""`socketkit nc`: what people paste works, and says what scripts look for."""

from __future__ import annotations

import socket
import subprocess

import pytest

from support.programs import echo_server, free_port, needs, socketkit


def nc(*arguments, data=b""):
    with socketkit("nc", *map(str, arguments)) as program:
        return program.communicate(data), program.told, program.wait()


def test_a_conversation_and_its_phrase():
    with echo_server() as (_, address):
        assert nc("127.0.0.1", address.port, data=b"hello\n") == (b"hello\n", [], 0)
        output, told, status = nc("-v", "-N", "127.0.0.1", address.port, data=b"hello\n")
    assert (output, status) == (b"hello\n", 0)
    assert told == [f"Connection to 127.0.0.1 {address.port} port [tcp/*] succeeded!"]


def test_nc_refused_port_message():
    """A refused port says so in the usual words."""
    port = free_port()
    output, told, status = nc("127.0.0.1", port)
    assert (output, told, status) == (
        b"",
        [f"nc: connect to 127.0.0.1 port {port} (tcp) failed: Connection refused"],
        3,
    )


def test_nc_port_range():
    """A range is tested and one that accepts is enough."""
    with echo_server() as (_, address):
        port = address.port
        output, told, status = nc("-zv", "127.0.0.1", f"{port}-{port}", data=b"")
        assert (output, status) == (b"", 0)
        assert told == [f"Connection to 127.0.0.1 {port} port [tcp/*] succeeded!"]
    output, told, status = nc("-z", "127.0.0.1", free_port(), free_port())
    assert (output, told, status) == (b"", [], 3)


@pytest.mark.parametrize(
    "arguments", [["-lv", "{port}"], ["-l", "-v", "-p", "{port}"], ["-lvp", "{port}", "127.0.0.1"]]
)
def test_every_way_to_say_where_to_listen(arguments):
    port = free_port()
    with socketkit("nc", *(word.format(port=port) for word in arguments)) as server:
        server.wait_line("Listening on")
        with socket.create_connection(("127.0.0.1", port)) as caller:
            caller.sendall(b"hello")
            caller.shutdown(socket.SHUT_WR)
            server.wait_line("Connection received on 127.0.0.1")
            assert server.communicate(b"back") == b"hello"
            assert caller.makefile("rb").read() == b"back"
        assert server.wait() == 0


def test_a_unix_socket_both_ways(tmp_path):
    path = str(tmp_path / "talk.sock")
    with socketkit("nc", "-lUv", path) as server:
        server.wait_line(f"Listening on {path}")
        assert nc("-U", path, data=b"hello")[::2] == (b"", 0)
        assert (server.communicate(), server.wait()) == (b"hello", 0)


def test_a_program_for_each_caller():
    port = free_port()
    with socketkit("nc", "-lkv", "-p", str(port), "-e", "cat -n") as server:
        server.wait_line("Listening on")
        for _ in range(2):
            assert nc("127.0.0.1", port, data=b"hello\n") == (b"     1\thello\n", [], 0)
        assert server.stop() == 0


def test_a_program_at_the_callers_end():
    port = free_port()
    with socketkit("nc", "-lv", "127.0.0.1", str(port)) as server:
        server.wait_line("Listening on")
        with socketkit("nc", "-e", "echo from the child", "127.0.0.1", str(port)) as client:
            assert server.communicate() == b"from the child\n"
            assert client.wait() == 0


@pytest.mark.parametrize("bundle", ["-verbose", "-ecat", "-le", "-lvke"])
def test_a_typo_never_arms_a_program(bundle):
    output, told, status = nc(bundle, "127.0.0.1", 1)
    assert (output, status) == (b"", 2)
    assert "only as a whole option of its own: -e PROGRAM" in told[0]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["localhost"], "a host and a port are needed"),
        (["-l"], "a port to listen at is needed"),
        (["-4", "-6", "localhost", "1"], "take one"),
        (["-k", "localhost", "1"], "it needs -l"),
        (["-z", "-l", "1"], "does not go with -l"),
        (["-n", "localhost", "1"], "is a name, and no number"),
        (["localhost", "nosuchservice"], "neither a port (0 to 65535) nor a service"),
        (["-z", "localhost", "30-20"], "is no range of ports"),
        (["-x", "proxy:1", "localhost", "1"], "differs between flavours"),
        (["-w", "soon", "localhost", "1"], "is not a number of seconds"),
        (["-U", "a", "b"], "takes one path"),
    ],
)
def test_nc_ambiguous_flags_refused(arguments, says):
    """What cannot be meant is refused with what could."""
    output, told, status = nc(*arguments)
    assert (output, len(told), status) == (b"", 1, 2)
    assert says in told[0]


def test_nc_flavour_warning():
    """Where flavours differ it is reported to who asks."""
    with echo_server() as (_, address):
        _, told, status = nc("-v", "-w", "5", "-q", "1", "127.0.0.1", address.port, data=b"x")
    assert status == 0
    assert [line[:18] for line in told[:2]] == ["socketkit nc: -w: ", "socketkit nc: -q: "]


def test_nc_quit_after_is_success():
    """Seconds to receive the peer out are no failure."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert nc("-q", "0", "127.0.0.1", listener.getsockname()[1], data=b"x") == (b"", [], 0)


def test_the_foreign_nc_on_the_other_end():
    foreign, port = needs("nc.openbsd"), free_port()
    with socketkit("nc", "-lv", "127.0.0.1", str(port)) as server:
        server.wait_line("Listening on")
        done = subprocess.run([foreign, "-N", "127.0.0.1", str(port)], input=b"hello", timeout=50, check=False)
        assert (server.communicate(), server.wait(), done.returncode) == (b"hello", 0, 0)
