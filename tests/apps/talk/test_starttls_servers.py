"""`connect --starttls` at servers that people run: Dovecot, PostgreSQL, Prosody (xmpp) and slapd (ldap)."""

from __future__ import annotations

import getpass
import grp
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.programs import PATIENCE, Program, needs, socketkit
from support.tls import papers

DOVECOT = """
base_dir = {folder}/run
state_dir = {folder}/state
log_path = /dev/stderr
protocols = imap pop3
listen = 127.0.0.1
ssl = required
ssl_cert = <{cert}
ssl_key = <{cert}
default_internal_user = {user}
default_login_user = {user}
default_internal_group = {group}
mail_location = maildir:{folder}/mail
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service pop3-login {{
  chroot =
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
passdb {{
  driver = static
  args = password=secret
}}
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@contextmanager
def dovecot(protocol: str) -> Iterator[int]:
    """A Dovecot of its own, in a folder of its own; the port of the protocol."""
    program = needs("dovecot")
    if not all(os.path.exists(f"/usr/lib/dovecot/{each}-login") for each in ("imap", "pop3")):
        pytest.skip("Dovecot's imap and pop3 are not installed")
    user = "nobody" if os.getuid() == 0 else getpass.getuser()
    group = grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name
    with tempfile.TemporaryDirectory(prefix="dovecot-", dir="/tmp") as name:  # paths of sockets must be short
        folder = Path(name)
        ports = {each: free_port() for each in ("imap", "pop3")}
        text = DOVECOT.format(folder=folder, cert=papers().cert, user=user, group=group, **ports)
        (folder / "dovecot.conf").write_text(text)
        folder.chmod(0o755)
        with Program(program, "-F", "-c", str(folder / "dovecot.conf")) as server:
            server.wait_line("starting up")
            yield ports[protocol]
            server.stop()


@pytest.mark.parametrize(
    ("protocol", "asked", "answered"),
    [("imap", b"a CAPABILITY\r\nb LOGOUT\r\n", b"b OK"), ("pop3", b"CAPA\r\nQUIT\r\n", b"+OK")],
)
def test_dovecot(protocol: str, asked: bytes, answered: bytes) -> None:
    """After STARTTLS the session goes on in TLS, verified; without trust nothing is sent."""
    with dovecot(protocol) as port:
        address = f"localhost:{port}"
        with socketkit("connect", address, "--starttls", protocol, "--cacert", papers().ca, "--summary", "text") as it:
            answer = it.communicate(asked)
            assert (answered in answer, it.wait()) == (True, 0), (answer, it.stderr_lines)
            assert any(line.startswith("[1] TLSv1.") for line in it.stderr_lines)
        with socketkit("connect", address, "--starttls", protocol) as it:
            assert (it.communicate(asked), it.wait()) == (b"", 3)


@contextmanager
def postgres() -> Iterator[int]:
    """A PostgreSQL of its own; its port. It does not run as root."""
    initdb, server = needs("initdb"), needs("postgres")
    as_user: dict[str, object] = {}
    if os.getuid() == 0:
        account = pwd.getpwnam("nobody")
        as_user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    with tempfile.TemporaryDirectory(prefix="postgres-", dir="/tmp") as name:
        key = Path(name) / "server.pem"
        key.write_bytes(Path(papers().cert).read_bytes())
        key.chmod(0o600)
        if as_user:
            for path in (Path(name), key):
                os.chown(path, as_user["user"], as_user["group"])  # type: ignore[call-overload]
        data = f"{name}/data"
        made = [initdb, "-D", data, "-A", "trust", "-U", "postgres", "--no-sync", "--no-locale"]
        subprocess.run(made, check=True, capture_output=True, timeout=PATIENCE * 3, cwd=name, **as_user)  # type: ignore[call-overload]
        port = free_port()
        given = {
            "ssl": "on",
            "ssl_cert_file": key,
            "ssl_key_file": key,
            "listen_addresses": "127.0.0.1",
            "fsync": "off",
        }
        options = [word for each in given.items() for word in ("-c", f"{each[0]}={each[1]}")]
        with Program(server, "-D", data, "-p", str(port), "-k", name, *options, cwd=name, **as_user) as program:
            program.wait_line("ready to accept connections")
            yield port
            program.stop()


def test_postgres() -> None:
    """The server's answer to a start-up message comes through TLS; AuthenticationOk, and it is ready for queries."""
    body = b"\0\3\0\0user\0postgres\0database\0postgres\0\0"
    message = (len(body) + 4).to_bytes(4, "big") + body + b"X\0\0\0\4"
    with postgres() as port:
        with socketkit(
            "connect", f"localhost:{port}", "--starttls", "postgres", "--cacert", papers().ca, "--summary", "text"
        ) as it:
            answer = it.communicate(message)
            assert answer.startswith(b"R\0\0\0\x08\0\0\0\0"), (answer, it.stderr_lines)
            assert answer.endswith(b"Z\0\0\0\5I")
            assert any(line.startswith("[1] TLSv1.") for line in it.stderr_lines)


SLAPD = """
include /etc/ldap/schema/core.schema
pidfile {folder}/pid
modulepath /usr/lib/ldap
moduleload back_mdb
TLSCertificateFile {cert}
TLSCertificateKeyFile {cert}
database mdb
suffix "dc=x"
directory {folder}
"""

PROSODY = """
pidfile = "{folder}/pid"
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {port} }}
s2s_ports = {{ }}
c2s_direct_tls_ports = {{ }}
run_as_root = true
modules_enabled = {{ "tls"; "saslauth" }}
modules_disabled = {{ "s2s"; "offline"; "presence"; "message"; "iq" }}
data_path = "{folder}"
log = {{ info = "/dev/stderr" }}
c2s_require_encryption = true
VirtualHost "localhost"
  ssl = {{ certificate = "{cert}", key = "{cert}" }}
"""


def with_server(text: str, folder: Path) -> tuple[int, str]:
    """Write a server's configuration; its port and the file."""
    port, file = free_port(), folder / "conf.lua"
    file.write_text(text.format(folder=folder, port=port, cert=papers().cert))
    return port, str(file)


def talk(port: int, protocol: str, data: bytes, *, host: str = "localhost") -> tuple[bytes, int, list[str]]:
    """What comes back through TLS, the status, and standard error. The input stays open until then."""
    address = f"{host}:{port}"
    with socketkit("connect", address, "--starttls", protocol, "--cacert", papers().ca) as it:
        assert it.process.stdin is not None and it.process.stdout is not None
        it.process.stdin.write(data)
        it.process.stdin.flush()
        answer = it.process.stdout.read1(4096)
        it.communicate()
        return answer, it.wait(), it.stderr_lines


def test_slapd(tmp_path: Path) -> None:
    """A bind without a name is answered: success."""
    program = shutil.which("slapd", path=os.environ.get("PATH", "") + ":/usr/sbin") or needs("slapd")
    port, file = with_server(SLAPD, tmp_path)
    with Program(program, "-f", file, "-h", f"ldap://127.0.0.1:{port}", "-d", "stats") as server:
        server.wait_line("slapd starting")
        answer, status, told = talk(port, "ldap", bytes.fromhex("300c020102600702010304008000"))
        assert (answer, status) == (bytes.fromhex("300c02010261070a010004000400"), 0), told
        server.stop()


def test_prosody(tmp_path: Path) -> None:
    """The stream is opened to the host that was typed; for another one the stream error is shown."""
    port, file = with_server(PROSODY, tmp_path)
    with Program(needs("prosody"), "--config", file, "-F") as server:
        server.wait_line("Activated service 'c2s' on")
        opening = (
            b'<?xml version="1.0"?><stream:stream to="localhost" version="1.0" '
            b'xmlns="jabber:client" xmlns:stream="http://etherx.jabber.org/streams">'
        )
        answer, status, told = talk(port, "xmpp", opening)
        assert (b"<stream:stream" in answer, status) == (True, 0), (answer, told)
        answer, status, told = talk(port, "xmpp", b"", host="127.0.0.1")
        assert (answer, status) == (b"", 3)
        assert "<stream:error><host-unknown" in told[0]
        server.stop()
