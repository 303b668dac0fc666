"""Clients that others wrote use our proxy: curl, ncat, OpenBSD's nc and git."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from socketkit import Connection, serve
from support.programs import PATIENCE, Program, echo_server, needs, socketkit

RESPONSE = b"HTTP/1.0 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n"


@contextlib.contextmanager
def http_server() -> Iterator[str]:
    """One page, at its `host:port`."""

    async def answer(connection: Connection) -> None:
        await connection.receive_until(b"\r\n\r\n")
        await connection.send(RESPONSE)

    with serve(answer, "tcp://127.0.0.1:0", engine="poll") as server:
        yield f"localhost:{server.addresses[0].port}"


@contextlib.contextmanager
def proxy(protocol: str, *arguments: str) -> Iterator[str]:
    with socketkit("relay", "tcp://127.0.0.1:0", "--dynamic", protocol, *arguments) as program:
        yield f"127.0.0.1:{program.address().port}"


def curl(*arguments: str) -> tuple[int, str]:
    """Its exit status and what it wrote."""
    done = subprocess.run(
        [needs("curl"), "-s", "-S", "-m", str(PATIENCE), *arguments],
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        env={"no_proxy": ""},
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("scheme", ["socks5", "socks5h", "socks4", "socks4a", "http"])
def test_curl(scheme: str) -> None:
    """Each kind of proxy that curl knows; -p makes it use CONNECT for http:// too."""
    with http_server() as server, proxy("http" if scheme == "http" else "socks5") as gateway:
        assert curl("-p", "-x", f"{scheme}://{gateway}", f"http://{server}/") == (0, "hello\n")


@pytest.mark.parametrize("scheme", ["socks5h", "http"])
def test_curl_with_a_password(scheme: str, tmp_path: Path) -> None:
    users = tmp_path / "users"
    users.write_text("# who may\nuser:p@ss\n")
    protocol = "http" if scheme == "http" else "socks5"
    with http_server() as server, proxy(protocol, "--user-file", str(users)) as gateway:
        assert curl("-p", "-x", f"{scheme}://user:p%40ss@{gateway}", f"http://{server}/") == (0, "hello\n")
        for wrong in (f"{scheme}://user:pass@{gateway}", f"{scheme}://{gateway}"):
            status, said = curl("-p", "-x", wrong, f"http://{server}/")
            assert status in (56, 97), said  # a refused tunnel; a failed SOCKS handshake
            assert protocol == "socks5" or "407" in said


def test_curl_refusals() -> None:
    """curl reports our codes: refused, not allowed, and a GET without CONNECT."""
    with http_server() as server, proxy("socks5", "--to-deny", "localhost") as socks, proxy("http") as http:
        status, said = curl("-x", f"socks5h://{socks}", f"http://{server}/")
        assert (status, "(2)" in said) == (97, True), said
        status, said = curl("-x", f"socks5h://{socks}", "http://127.0.0.1:1/")
        assert (status, "(5)" in said) == (97, True), said
        status, said = curl("-p", "-x", f"http://{http}", "http://127.0.0.1:1/")
        assert (status, "502" in said) == (56, True), said
        status, said = curl("-w", "%{http_code}", "-x", f"http://{http}", f"http://{server}/")
        assert (status, "use CONNECT" in said, said.endswith("405")) == (0, True, True), said


def client(name: str, gateway: str, kind: str, port: str) -> tuple[str, ...]:
    if name == "ncat":
        known = {"socks5": "socks5", "socks4": "socks4", "http": "http"}[kind]
        return (needs("ncat"), "--proxy", gateway, "--proxy-type", known, "127.0.0.1", port)
    known = {"socks5": "5", "socks4": "4", "http": "connect"}[kind]
    return (needs("nc.openbsd"), "-N", "-X", known, "-x", gateway, "127.0.0.1", port)


@pytest.mark.parametrize("kind", ["socks5", "socks4", "http"])
@pytest.mark.parametrize("name", ["ncat", "nc"])
def test_netcats(name: str, kind: str) -> None:
    """A half-close passes through: the echo comes after the client's end."""
    with echo_server() as (_, address), proxy("http" if kind == "http" else "socks5") as gateway:
        with Program(*client(name, gateway, kind, str(address.port))) as program:
            assert program.communicate(b"hello\n") == b"hello\n"


def test_git(tmp_path: Path) -> None:
    """git reads a repository over its dumb HTTP protocol through the proxy."""
    git = needs("git")
    source = tmp_path / "source"
    environment = {
        **{f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        "HOME": str(tmp_path),
        "GIT_CONFIG_NOSYSTEM": "1",
        "no_proxy": "",
        "PATH": "/usr/bin:/bin",
    }

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [git, *arguments], capture_output=True, text=True, timeout=60, env=environment, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("init", "-q", str(source))
    run("-C", str(source), "commit", "-q", "--allow-empty", "-m", "first")
    run("-C", str(source), "update-server-info")
    commit = run("-C", str(source), "rev-parse", "HEAD").strip()

    async def files(connection: Connection) -> None:
        head = await connection.receive_until(b"\r\n\r\n")
        path = source / ".git" / head.split(b" ", 2)[1].decode().partition("?")[0].lstrip("/")
        body = path.read_bytes() if path.is_file() else b""
        status = b"200 OK" if path.is_file() else b"404 Not Found"
        await connection.send(b"HTTP/1.0 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))

    with serve(files, "tcp://127.0.0.1:0", engine="poll") as server, proxy("socks5") as gateway:
        url = f"http://localhost:{server.addresses[0].port}/"
        assert commit in run("-c", f"http.proxy=socks5h://{gateway}", "ls-remote", url)


def test_our_own_client_and_chain() -> None:
    """Our client through two of our proxies."""
    with echo_server() as (_, address), proxy("socks5", "--user", "user:secret") as first, proxy("http") as second:
        chain = f"socks5://user:secret@{first},http://{second}"
        with socketkit("connect", f"tcp://localhost:{address.port}", "--proxy", chain) as ours:
            assert ours.communicate(b"hello\n") == b"hello\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["tcp://localhost:0", "--dynamic", "socks5", "tcp://localhost:1"], "takes no TARGET"),
        (["tcp://localhost:0", "tcp://localhost:1", "--to-deny", "db"], "--to-deny: only for --dynamic"),
        (["tcp://localhost:0", "tcp://localhost:1", "--user", "a:hidden-word"], "only for --dynamic"),
        (["tcp://localhost:0", "--dynamic", "socks5", "--user", "hidden-word"], "USER:PASSWORD"),
        (["tcp://localhost:0", "--dynamic", "socks5", "--to-deny", "10.0.0.1/8"], "has bits beside its mask"),
        (["tcp://localhost:0", "--dynamic", "ftp"], "'ftp'"),
        (["tcp://localhost:0"], "Missing argument 'TARGET...'"),
        ([], "Missing argument 'LISTEN'"),
        (["--dynamic", "http", "--proxy", "h", "--to-allow", "10.0.0.0/8"], "it resolves the names"),
        (["--dynamic", "http", "--user-file", "/nonexistent"], "No such file"),
    ],
)
def test_wrong_options(arguments: list[str], says: str) -> None:
    """One line, status 2, and no password in it."""
    with socketkit("relay", *arguments) as program:
        assert program.wait() == 2
        [line] = program.stderr_lines
    assert says in line
    assert "hidden" not in line


def test_open_proxy_is_reported() -> None:
    """One line where every machine may use it, none on the loopback or with users."""
    with socketkit("relay", "tcp4://:0", "--dynamic", "socks5") as program:
        assert "every machine" in program.wait_line("every machine")
        assert program.stop() == 0
    for arguments in (["tcp4://:0", "--user", "a:b"], ["tcp://127.0.0.1:0"], ["tcp4://:0", "--allow", "127.0.0.1"]):
        with socketkit("relay", *arguments, "--dynamic", "http") as program:
            program.address()
            assert program.stop() == 0
            assert len(program.stderr_lines) == 1
