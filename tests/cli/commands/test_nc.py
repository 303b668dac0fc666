"""`socketkit nc`: what people paste works, and says what scripts look for."""

from __future__ import annotations

import socket
import sys

import pytest

from support.programs import PATIENCE, Program, echo_server, free_port, needs, socketkit


def nc(*arguments, data=b""):
    with socketkit("nc", *map(str, arguments)) as program:
        return program.communicate(data), program.stderr_lines, program.wait()


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
    assert (output, told, status) == (b"", [], 1)


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
        with Program(sys.executable, "-m", "socketkit", "nc", "-U", path) as client:
            client.process.stdin.write(b"hello")
            client.process.stdin.close()
            assert (server.communicate(), server.wait(), client.wait()) == (b"hello", 0, 0)


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
        (["-x", "u:p@h:1", "localhost", "1"], "the user for -P"),
        (["-x", "h:1", "-X", "6", "localhost", "1"], "none of 4, 5, connect, socks4, socks5 and http"),
        (["-x", "h:1", "--proxy", "h:1", "localhost", "1"], "two proxies"),
        (["--proxy-auth", "u", "localhost", "1"], "which names the proxy"),
        (["--ssl-verify", "localhost", "1"], "--ssl-verify is ncat's; take `socketkit connect tls://"),
        (["--sh-exec=date", "localhost", "1"], "--sh-exec is ncat's; take -e 'sh -c COMMAND'"),
        (["--wait", "3d", "localhost", "1"], "is not a number of seconds"),
        (["-X", "5", "localhost", "1"], "which names the proxy"),
        (["-u", "-x", "h:1", "localhost", "1"], "a proxy is asked for TCP connections"),
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
        with Program(foreign, "-N", "127.0.0.1", str(port)) as client:
            client.process.stdin.write(b"hello")
            client.process.stdin.close()
            assert (server.communicate(), server.wait(), client.wait()) == (b"hello", 0, 0)


def test_nc_source_is_listening_address():
    """`nc -l -s ADDRESS` listens at that address alone."""
    port = free_port()
    with socketkit("nc", "-l", "-v", "-s", "127.0.0.1", "-p", str(port)) as server:
        assert server.wait_line("Listening on") == f"Listening on 127.0.0.1 {port}"
        socket.create_connection(("127.0.0.1", port)).close()
        assert server.communicate() == b""
        assert [line for line in server.stderr_lines if line.startswith("Listening")] == [
            f"Listening on 127.0.0.1 {port}"
        ]


@pytest.mark.parametrize(
    "arguments",
    [
        ("-l", "-s", "127.0.0.1", "127.0.0.2", "1"),
        ("-l", "-p", "1", "127.0.0.1", "2"),
        ("-z", "-e", "cat", "127.0.0.1", "1"),
        ("-z", "-q", "1", "127.0.0.1", "1"),
        ("-z", "-C", "127.0.0.1", "1"),
        ("-e", "cat", "-d", "127.0.0.1", "1"),
        ("-e", "cat", "-t", "127.0.0.1", "1"),
        ("-U", "-s", "127.0.0.1", "/nowhere"),
        ("-U", "-p", "1", "/nowhere"),
        ("-U", "-4", "/nowhere"),
        ("-U", ""),
        ("-w", "nan", "127.0.0.1", "1"),
        ("-w", "1e-9", "127.0.0.1", "1"),
    ],
)
def test_nc_flag_without_effect_refused(arguments):
    """A flag that could have no effect is a usage error in the words of nc's flags."""
    output, told, status = nc(*arguments)
    assert (output, len(told), status) == (b"", 1, 2)
    assert "idle_timeout" not in told[0] and "-" in told[0]


@pytest.mark.parametrize("wait", ["0", "0.1"])
def test_nc_datagram_with_w_is_sent(wait):
    """`echo metric | nc -u -w0` sends, waits no longer than it says, and has succeeded."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(PATIENCE)
        assert nc("-u", "-w", wait, "127.0.0.1", receiver.getsockname()[1], data=b"foo:1|c") == (b"", [], 0)
        assert receiver.recv(100) == b"foo:1|c"


@pytest.mark.parametrize("wait", ["0", "0.1"])
def test_nc_silent_peer_with_w_is_success(wait):
    """A peer that stays silent for -w seconds ends nc without a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert nc("-w", wait, "127.0.0.1", listener.getsockname()[1], data=b"x") == (b"", [], 0)
        peer, _ = listener.accept()
        with peer:
            assert peer.recv(10) == b"x"


def test_nc_negative_w_is_no_limit():
    with echo_server() as (_, address):
        assert nc("-w", "-1", "127.0.0.1", address.port, data=b"hello") == (b"hello", [], 0)


def test_nc_udp_test_uses_refusal():
    """`nc -zu` believes the ICMP refusal, and else the silence."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        port = receiver.getsockname()[1]
        assert nc("-zvu", "-w", "0.2", "127.0.0.1", port)[1:] == (
            [f"socketkit nc: -w: {_W}", f"Connection to 127.0.0.1 {port} port [udp/*] succeeded!"],
            0,
        )
    assert nc("-zu", "127.0.0.1", port) == (b"", [], 1)
    _, told, status = nc("-zvu", "127.0.0.1", port)
    assert (told, status) == ([f"nc: connect to 127.0.0.1 port {port} (udp) failed: Connection refused"], 1)


_W = "OpenBSD's meaning is taken: connecting, and silence later on (ncat: connecting alone); 0 awaits no answer"


@pytest.mark.parametrize(("flag", "shows"), [("-h", b"Usage: socketkit nc"), ("-V", b"socketkit ")])
def test_nc_help_and_version(flag, shows):
    output, told, status = nc(flag)
    assert (output.startswith(shows), told, status) == (True, [], 0)


def test_nc_slow_input_after_peer_eof():
    """A peer that ended its direction first still gets all of the input, also with -q."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with socketkit("nc", "-q", "0.1", "127.0.0.1", str(listener.getsockname()[1])) as client:
            peer, _ = listener.accept()
            with peer:
                peer.shutdown(socket.SHUT_WR)
                assert client.process.stdout is not None and client.process.stdin is not None
                client.process.stdin.write(b"one")
                client.process.stdin.flush()
                assert peer.recv(3, socket.MSG_WAITALL) == b"one"
                assert client.communicate(b"two") == b""
                assert peer.recv(10, socket.MSG_WAITALL) == b"two"
        assert client.stderr_lines == []


def test_long_options_of_ncat() -> None:
    """Those of ncat that have an equal: a server by long names, and a client by long names."""
    with socketkit("nc", "--listen", "--verbose", "--source", "127.0.0.1", "0", "--exec", "cat") as server:
        port = server.wait_line("Listening on ").split()[-1]
        with socketkit("nc", "--nodns", "--crlf", "--wait", "10", "127.0.0.1", port) as client:
            assert (client.communicate(b"one\n"), client.wait()) == (b"one\r\n", 0), client.stderr_lines
        assert server.wait() == 0
