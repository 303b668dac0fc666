"""Proxies that others wrote: we reach our echo server through each of them, and each refusal is understood."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from socketkit import Address, ConnectError, connect
from support.programs import Program, echo_server, free_port, needs, socketkit
from support.proxies import wait_listening


@contextlib.contextmanager
def microsocks(*arguments: str) -> Iterator[str]:
    port = free_port()
    with Program(needs("microsocks"), "-i", "127.0.0.1", "-p", str(port), *arguments):
        wait_listening(port)
        yield f"127.0.0.1:{port}"


@contextlib.contextmanager
def tinyproxy(folder: Path, *lines: str) -> Iterator[str]:
    port = free_port()
    path = folder / "tinyproxy.conf"
    path.write_text("\n".join([f"Port {port}", "Listen 127.0.0.1", "Timeout 60", *lines]) + "\n")
    with Program(needs("tinyproxy"), "-d", "-c", str(path)):
        wait_listening(port)
        yield f"127.0.0.1:{port}"


@contextlib.contextmanager
def squid(folder: Path) -> Iterator[str]:
    """Squid with a user and a password, which sed knows: it becomes another user, who may read no file of ours."""
    port = free_port()
    path = folder / "squid.conf"
    path.write_text(
        f"""http_port 127.0.0.1:{port}
auth_param basic program /bin/sed -u s/^user.s3cret$/OK/;t;s/.*/ERR/
auth_param basic children 1
acl members proxy_auth REQUIRED
acl forbidden port 9
http_access deny forbidden
http_access allow members
http_access deny all
cache deny all
cache_mem 1 MB
cache_log /dev/null
access_log none
netdb_filename none
pinger_enable off
pid_filename none
coredump_dir /
shutdown_lifetime 0 seconds
"""
    )
    with Program(needs("squid"), "-N", "-f", str(path)):
        wait_listening(port)
        yield f"127.0.0.1:{port}"


@contextlib.contextmanager
def danted(folder: Path) -> Iterator[str]:
    """Dante: SOCKS4 and SOCKS5 on one port, for the loopback alone."""
    port = free_port()
    path = folder / "danted.conf"
    path.write_text(
        f"""logoutput: stderr
internal: 127.0.0.1 port = {port}
external: 127.0.0.1
clientmethod: none
socksmethod: none
client pass {{ from: 127.0.0.1/32 to: 0.0.0.0/0 }}
socks block {{ from: 0.0.0.0/0 to: 0.0.0.0/0 port = 9 }}
socks pass {{ from: 127.0.0.1/32 to: 0.0.0.0/0 command: connect }}
"""
    )
    with Program(needs("danted"), "-f", str(path)):
        wait_listening(port)
        yield f"127.0.0.1:{port}"


@contextlib.contextmanager
def ssh_tunnel(folder: Path) -> Iterator[str]:
    """`ssh -D` to an sshd of the loopback with keys of its own: SOCKS4 and SOCKS5."""
    daemon, port, sshd_port = needs("sshd"), free_port(), free_port()
    if os.geteuid() == 0 and not Path("/run/sshd").is_dir():
        pytest.skip("sshd needs /run/sshd, which its service makes")
    for name in ("host", "user"):
        subprocess.run([needs("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    lines = [
        f"Port {sshd_port}",
        "ListenAddress 127.0.0.1",
        f"HostKey {folder}/host",
        f"AuthorizedKeysFile {folder}/user.pub",
        "PidFile none",
        "StrictModes no",
        "UsePAM no",
        "LogLevel ERROR",
    ]
    (folder / "sshd.conf").write_text("\n".join(lines) + "\n")
    known = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes")
    way = ("-F", "none", "-i", str(folder / "user"), "-p", str(sshd_port), "-o", "LogLevel=ERROR", *known)
    with Program(daemon, "-D", "-e", "-f", str(folder / "sshd.conf")):
        wait_listening(sshd_port)
        with Program(needs("ssh"), *way, "-N", "-D", f"127.0.0.1:{port}", "127.0.0.1"):
            wait_listening(port)
            yield f"127.0.0.1:{port}"


def echoes(address: str, proxy: str) -> bool:
    with connect(address, proxy=proxy, framing="lines") as connection:
        connection.send("ping")
        return bool(connection.receive() == "ping")


def is_echoed(client: Program) -> bool:
    """Whether a line comes back. The end is sent after that: microsocks closes both directions at the first end."""
    assert client.process.stdin is not None and client.process.stdout is not None
    client.process.stdin.write(b"hi\n")
    client.process.stdin.flush()
    return bool(client.process.stdout.readline() == b"hi\n")


def test_microsocks() -> None:
    """SOCKS5 without and with a password, by name and by number; a refused port is said to be refused."""
    with echo_server() as (_, address), microsocks() as plain, microsocks("-u", "us%er", "-P", "p@ss") as secret:
        port = address.port
        for host in ("localhost", "127.0.0.1"):
            assert echoes(f"tcp://{host}:{port}", f"socks5://{plain}")
            assert echoes(f"tcp://{host}:{port}", f"socks5h://us%25er:p%40ss@{secret}")
        assert echoes(f"tcp://localhost:{port}", f"socks5://{plain},socks5://us%25er:p%40ss@{secret}")
        with pytest.raises(ConnectError, match="does not accept the user and the password"):
            echoes(f"tcp://localhost:{port}", f"socks5://us%25er:wrong@{secret}")
        with pytest.raises(ConnectError, match="wants a user and a password"):
            echoes(f"tcp://localhost:{port}", f"socks5://{secret}")
        with pytest.raises(ConnectError, match="answered: connection refused"):
            echoes("tcp://127.0.0.1:1", f"socks5://{plain}")


@pytest.mark.parametrize("secret", ["p%40ss-word", "wr%6fng-word"])
def test_no_output_has_the_password(secret: str) -> None:
    """Every way to watch, and the error where it is refused: plain, escaped and in base64."""
    with echo_server() as (_, address), microsocks("-u", "user", "-P", "p@ss-word") as proxy:
        place, url = f"tcp://localhost:{address.port}", f"socks5://user:{secret}@{proxy}"
        with socketkit("connect", place, "--proxy", url, "-vv", "--explain", "--dump", "text") as client:
            client.communicate(b"hi\n")
            said = "\n".join(client.stderr_lines)
    assert proxy in said
    for word in ("ss-word", "ng-word", secret):
        assert word not in said, said


def test_danted(tmp_path: Path) -> None:
    """SOCKS4 and SOCKS5, and a rule that forbids."""
    with echo_server() as (_, address), danted(tmp_path) as proxy:
        for scheme in ("socks4", "socks5"):  # it has no SOCKS4a: it connects to 0.0.0.1
            assert echoes(f"tcp://localhost:{address.port}", f"{scheme}://{proxy}")
        with pytest.raises(ConnectError, match="connection not allowed by ruleset"):
            echoes("tcp://127.0.0.1:9", f"socks5://{proxy}")
        with pytest.raises(ConnectError, match="request rejected or failed"):
            echoes("tcp://127.0.0.1:9", f"socks4://{proxy}")


def test_ssh(tmp_path: Path) -> None:
    """A bastion: names are resolved behind it, also for WebSocket; a port that refuses is an error and no hang."""
    with echo_server() as (_, address), ssh_tunnel(tmp_path) as proxy:
        for scheme in ("socks4a", "socks5"):
            assert echoes(f"tcp://localhost:{address.port}", f"{scheme}://{proxy}")
        with socketkit("echo", "ws://127.0.0.1:0/chat") as server:
            assert echoes(f"ws://localhost:{server.address().port}/chat", f"socks5h://{proxy}")
        with pytest.raises(ConnectError, match="closed the connection instead of a reply"):
            echoes("tcp://127.0.0.1:1", f"socks5://{proxy}")


def test_tinyproxy(tmp_path: Path) -> None:
    """HTTP CONNECT with Basic credentials; 401 or 407 without them, 5xx for a port that refuses."""
    with echo_server() as (_, address), tinyproxy(tmp_path, "BasicAuth user secret") as proxy:
        assert echoes(f"tcp://localhost:{address.port}", f"http://user:secret@{proxy}")
        with pytest.raises(ConnectError, match=r"answered: 40[17] "):
            echoes(f"tcp://localhost:{address.port}", f"http://{proxy}")
        with pytest.raises(ConnectError, match=r"answered: 5\d\d "):
            echoes("tcp://127.0.0.1:1", f"http://user:secret@{proxy}")


def test_squid(tmp_path: Path) -> None:
    """HTTP CONNECT with a long answer of its own to each refusal; a WebSocket through it."""
    with squid(tmp_path) as proxy, echo_server() as (_, address):
        way = f"http://user:s3cret@{proxy}"
        assert echoes(f"tcp://127.0.0.1:{address.port}", way)
        with socketkit("echo", "ws://127.0.0.1:0/chat") as server:
            assert echoes(f"ws://127.0.0.1:{server.address().port}/chat", way)
        for place, url, answer in (
            (f"tcp://127.0.0.1:{address.port}", f"http://{proxy}", "407"),
            (f"tcp://127.0.0.1:{address.port}", f"http://user:wrong@{proxy}", "407"),
            ("tcp://127.0.0.1:9", way, "403"),
            ("tcp://127.0.0.1:1", way, "503"),
        ):
            with pytest.raises(ConnectError, match=f"answered: {answer} "):
                echoes(place, url)


def test_chain_of_kinds(tmp_path: Path) -> None:
    with echo_server() as (_, address), tinyproxy(tmp_path) as http, microsocks() as socks:
        assert echoes(f"tcp://localhost:{address.port}", f"http://{http},socks5://{socks}")
        assert echoes(f"tcp://localhost:{address.port}", f"socks5://{socks},http://{http}")


def test_tls_through_a_proxy() -> None:
    """TLS begins behind the proxy, with the server's own name."""
    with microsocks() as proxy, socketkit("echo", "tls://127.0.0.1:0", "--self-signed") as server:
        pin = server.wait_line("sha256:").split("sha256:")[1].split()[0]
        address = server.address()
        assert echoes(f"tls://localhost:{address.port}?pin=sha256:{pin}", f"socks5://{proxy}")


@pytest.mark.parametrize("flags", [[], ["-X", "5"]])
def test_nc(flags: list[str]) -> None:
    with echo_server() as (_, address), microsocks("-u", "user", "-P", "secret") as proxy:
        place = ("localhost", str(address.port))
        with socketkit("nc", *flags, "-x", proxy, "-P", "user:secret", *place) as client:
            assert is_echoed(client), client.stderr_lines


def test_nc_with_options_of_ncat(tmp_path: Path) -> None:
    """`--proxy` alone is HTTP CONNECT, as for ncat; `--proxy-type` and `--proxy-auth` are its words."""
    with echo_server() as (_, address), tinyproxy(tmp_path) as http, microsocks("-u", "u", "-P", "s") as socks:
        place = ("--wait", "20s", "localhost", str(address.port))
        for flags in (["--proxy", http], ["--proxy", socks, "--proxy-type", "socks5", "--proxy-auth", "u:s"]):
            with socketkit("nc", *flags, *place) as client:
                assert is_echoed(client), client.stderr_lines


def test_commands(tmp_path: Path) -> None:
    """`connect`, `wait` and a relay's target through a proxy, with --proxy and from the environment."""
    with echo_server() as (_, address), microsocks() as proxy:
        place, url = f"tcp://localhost:{address.port}", f"socks5://{proxy}"
        with socketkit("connect", place, "--proxy", url) as client:
            assert is_echoed(client), client.stderr_lines
        with socketkit("connect", place, "--proxy", "env", env={"ALL_PROXY": url, "NO_PROXY": ""}) as client:
            assert is_echoed(client), client.stderr_lines
        with socketkit("wait", place, "--for", "20s", "--proxy", url) as waiting:
            assert waiting.wait() == 0
        with socketkit("wait", "tcp://localhost:1", "--for", "0", "--proxy", url) as waiting:
            assert waiting.wait() == 124
            assert "answered: connection refused" in waiting.wait_line("tcp://localhost:1")
        with socketkit("relay", "tcp://127.0.0.1:0", place, "--proxy", url) as relay:
            here = Address.parse(str(relay.address()))
            with connect(here, framing="lines") as connection:
                connection.send("through")
                assert connection.receive() == "through"
