"""`socketkit wait`: statuses, one line, and the command that takes our place."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.programs import Program, free_port, needs, run_socketkit, socketkit


@pytest.fixture
def closed() -> Iterator[str]:
    """An address at which nobody listens, and that nobody else gets."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield f"tcp://127.0.0.1:{sock.getsockname()[1]}"


@pytest.fixture
def there() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield f"tcp://127.0.0.1:{sock.getsockname()[1]}"


def test_done_is_quiet(there: str) -> None:
    with socketkit("wait", there) as program:
        assert (program.communicate(), program.wait(), program.stderr_lines) == (b"", 0, [])


def test_v_tells_each_target(there: str, closed: str) -> None:
    with socketkit("wait", there, "-v") as program:
        assert (program.communicate(), program.wait()) == (b"", 0)
        assert len(program.stderr_lines) == 1 and program.stderr_lines[0].startswith(f"{there} accepts, after ")
    with socketkit("wait", closed, "--free", "-v") as program:
        assert (program.communicate(), program.wait()) == (b"", 0)
        assert program.stderr_lines[0].startswith(f"{closed} is free, after ")


def test_timeout_is_124_command_not_run(there: str, closed: str, tmp_path: Path) -> None:
    """Too late is 124 and one line and no command is run."""
    mark = tmp_path / "mark"
    with socketkit("wait", there, closed, "--for", "200ms", "--", "touch", str(mark)) as program:
        assert (program.communicate(), program.wait()) == (b"", 124)
        assert program.stderr_lines == [
            f"socketkit: 1 of 2 targets is not there after 200ms: {closed}: Connection refused (ECONNREFUSED): "
            "nobody listens there"
        ]
    assert not mark.exists()


def test_any(there: str, closed: str) -> None:
    with socketkit("wait", closed, there, "--any", "--for", "10s") as program:
        assert (program.communicate(), program.wait(), program.stderr_lines) == (b"", 0, [])


def test_command_inherits_stdio_and_options(there: str) -> None:
    """The command has our input output and options of its own."""
    with socketkit("wait", there, "--", "sh", "-c", 'cat; echo "$0 $@"; exit 7', "-v", "--for", "--") as program:
        assert program.communicate(b"hello\n") == b"hello\n-v --for --\n"
        assert (program.wait(), program.stderr_lines) == (7, [])


def test_the_command_is_our_very_process(there: str) -> None:
    with socketkit("wait", there, "--", "sh", "-c", "echo $$") as program:
        assert program.communicate() == b"%d\n" % program.process.pid


def test_command_dies_of_sigpipe(there: str) -> None:
    """Python ignores SIGPIPE; what it starts must not."""
    if not os.path.exists("/proc/self/status"):
        pytest.skip("this system has no /proc")
    with socketkit("wait", there, "--", "sh", "-c", "grep SigIgn /proc/$$/status") as program:
        output = program.communicate().decode()
    assert not int(output.split()[1], 16) & (1 << (signal.SIGPIPE - 1))


def test_script_without_shebang(there: str, tmp_path: Path) -> None:
    """A script without a first line is run by the shell."""
    script = tmp_path / "script"
    script.write_text('echo "I am $1"\n')
    script.chmod(0o755)
    with socketkit("wait", there, "--", str(script), "run") as program:
        assert (program.communicate(), program.wait()) == (b"I am run\n", 0)


@pytest.mark.parametrize(("command", "status"), [("no-such-command-here", 127), ("/", 126)])
def test_unrunnable_command_status(there: str, command: str, status: int) -> None:
    """A command that cannot be run ends as under a shell."""
    with socketkit("wait", there, "--", command) as program:
        assert (program.communicate(), program.wait()) == (b"", status)
        assert len(program.stderr_lines) == 1 and command in program.stderr_lines[0]


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("tcp://127.0.0.1",),
        ("nosuch://x",),
        ("tcp://127.0.0.1:1?nodelay=perhaps",),
        ("tcp://127.0.0.1:1", "--for", "3 fortnights"),
        ("tcp://127.0.0.1:1", "--"),
        ("--", "true"),
    ],
)
def test_usage_errors_before_probing(arguments: tuple[str, ...]) -> None:
    """What cannot be is status 2 before anything is looked at."""
    with socketkit("wait", *arguments) as program:
        assert (program.communicate(), program.wait()) == (b"", 2)
        assert len(program.stderr_lines) == 1


def test_unknown_scheme_lists_http() -> None:
    """`wait` takes URLs of HTTP too; its help shows escapes as they are typed."""
    status, _, told = run_socketkit("wait", "postgres://db:5432")
    assert status == 2 and ", exec, http, https (see:" in told
    assert r"escapes: \r \n \x00;" in " ".join(run_socketkit("wait", "--help")[1].split())


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_wait(closed: str, number: signal.Signals, status: int) -> None:
    with socketkit("wait", closed, "-vvv", "--for", "forever", "--", "echo", "never") as program:
        program.wait_line("Connection refused")
        assert program.stop(number) == status
        assert program.process.stdout is not None and program.process.stdout.read() == b""


def test_a_server_that_opens_late(tmp_path: Path) -> None:
    path = tmp_path / "late.sock"
    with socketkit("wait", f"unix://{path}", "-vvv", "--", "echo", "up") as waiting:
        waiting.wait_line("No such file")
        with socketkit("echo", f"unix://{path}") as server:
            assert (waiting.communicate(), waiting.wait()) == (b"up\n", 0)
            assert server.stop() == 0
        with socketkit("wait", f"unix://{path}", "--free") as after:
            assert (after.communicate(), after.wait(), after.stderr_lines) == (b"", 0, [])


def test_a_signal_reaches_the_command(there: str) -> None:
    code = "import signal, sys; signal.signal(15, lambda *_: sys.exit(9)); print('up', flush=True); signal.pause()"
    with socketkit("wait", there, "--", sys.executable, "-c", code) as program:
        assert program.process.stdout is not None
        assert program.process.stdout.readline() == b"up\n"
        assert program.stop() == 9


def test_command_inherits_no_descriptor(there: str) -> None:
    """Nothing of ours is inherited by the command."""
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("this system has no /proc")
    with Program("ls", "/proc/self/fd") as plain:
        expected = plain.communicate()
    with socketkit("wait", there, "--", "ls", "/proc/self/fd") as program:
        assert program.communicate() == expected


def test_http_of_a_foreign_server(tmp_path: Path) -> None:
    """Python's own HTTP server: a page, a missing page, a body, a redirect to a directory."""
    (tmp_path / "health").write_text('{"state": "ready"}')
    (tmp_path / "folder").mkdir()
    server = Program(sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", cwd=tmp_path)
    with server:
        assert server.process.stdout is not None
        port = server.process.stdout.readline().decode().split()[5]
        url = f"http://127.0.0.1:{port}"
        for arguments, status, line in (
            ((f"{url}/health", "--body", '"ready"'), 0, None),
            ((f"{url}/nope", "--status", "404"), 0, None),
            ((f"{url}/nope", "--for", "0"), 124, f"{url}/nope: HTTP 404 File not found; expected 2xx"),
            ((f"{url}/folder", "--for", "0"), 124, "to /folder/; expected 2xx (--location follows redirects)"),
            ((f"{url}/folder", "--for", "0", "--location"), 0, None),
        ):  # fmt: skip
            with socketkit("wait", *arguments) as program:
                assert (program.communicate(), program.wait()) == (b"", status), program.stderr_lines
                assert program.stderr_lines[0].endswith(line) if line else program.stderr_lines == []


def test_https_of_openssl(tmp_path: Path) -> None:
    import trustme

    openssl = needs("openssl")
    authority = trustme.CA()
    pem, ca = tmp_path / "server.pem", tmp_path / "ca.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(pem)
    authority.cert_pem.write_to_path(ca)
    port = free_port()
    with Program(openssl, "s_server", "-accept", f"127.0.0.1:{port}", "-cert", str(pem), "-www"):
        with socketkit(
            "wait", f"https://localhost:{port}/", "--cacert", str(ca), "--body", "Ciphers supported"
        ) as told:
            assert (told.communicate(), told.wait(), told.stderr_lines) == (b"", 0, [])
        with socketkit("wait", f"https://localhost:{port}/", "--for", "0") as told:
            assert (told.communicate(), told.wait()) == (b"", 124) and "certificate" in told.stderr_lines[0]


def test_redis_answers_ping() -> None:
    port = free_port()
    with Program(needs("redis-server"), "--port", str(port), "--save", ""):
        with socketkit("wait", f"localhost:{port}", "--send", r"PING\r\n", "--expect", "^.PONG") as program:
            assert (program.communicate(), program.wait(), program.stderr_lines) == (b"", 0, [])


def test_udp_of_socat() -> None:
    port = free_port()
    with Program(needs("socat"), f"UDP4-LISTEN:{port},bind=127.0.0.1", "PIPE"):
        with socketkit("wait", f"udp://127.0.0.1:{port}", "--send", "hex:00ff", "--expect", r"^\x00\xff$") as program:
            assert (program.communicate(), program.wait(), program.stderr_lines) == (b"", 0, [])


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("tcp://h:1", "--status", "200"), "--status is for an http:// or https:// URL; there is none"),
        (("http://h/", "--send", "x"), "--send is for a socket's address, as tcp://host:port; there is none"),
        (("udp://h:1", "--expect", "x"), "over udp no side sends first: give --send TEXT too"),
        (("http://h/", "--insecure"), "--insecure does nothing without TLS"),
        (("exec:true", "--free"), "to be free is asked of a listener's address"),
        (("h:1", "--expect", "("), "'(' is not a regular expression"),
    ],
)
def test_options_without_a_use_are_refused(arguments: tuple[str, ...], reason: str) -> None:
    with socketkit("wait", *arguments) as program:
        assert (program.communicate(), program.wait()) == (b"", 2)
        assert len(program.stderr_lines) == 1 and reason in program.stderr_lines[0]


def test_exec_output_is_shown_at_failure_only(tmp_path: Path) -> None:
    with socketkit("wait", "exec:sh -c 'echo loud; echo louder >&2'") as program:
        assert (program.communicate(), program.wait(), program.stderr_lines) == (b"", 0, [])
    with socketkit("wait", "exec:sh -c 'echo no server; exit 3'", "--for", "0") as program:
        assert (program.communicate(), program.wait()) == (b"", 124)
        assert program.stderr_lines[0].endswith(": status 3: no server")
    with socketkit("wait", "exec:/nonexistent") as program:
        assert (program.communicate(), program.wait()) == (b"", 127)
