"""STARTTLS by protocol, against scripted servers whose TLS is the standard library's."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import trustme

from support.programs import PATIENCE, socketkit

SCRIPTS: dict[str, list[tuple[bytes, bytes]]] = {
    "smtp": [(b"220-a\r\n220 b\r\n", b"EHLO "), (b"250-a\r\n250 STARTTLS\r\n", b"STARTTLS\r\n"), (b"220 go\r\n", b"")],
    "imap": [(b"* OK hi\r\n", b"a1 STARTTLS\r\n"), (b"* CAP\r\na1 OK go\r\n", b"")],
    "pop3": [(b"+OK hi\r\n", b"STLS\r\n"), (b"+OK\r\n", b"")],
    "xmpp": [
        (b"", b"<?xml version='1.0'?><stream:stream to='localhost' "),
        (
            b"<?xml version='1.0'?><stream:stream from='localhost'>"
            b"<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>",
            b"<starttls",
        ),
        (b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", b""),
    ],
    "postgres": [(b"", bytes.fromhex("0000000804d2162f")), (b"S", b"")],
    "ldap": [(b"", b"\x30\x1d"), (bytes.fromhex("300c02010178070a010004000400"), b"")],
}


XMPP_ERROR = b"<stream:stream id='1'><stream:error><host-unknown xmlns='urn:ietf'/></stream:error></stream:stream>"


@contextmanager
def server(script: list[tuple[bytes, bytes]], tmp_path: Path) -> Iterator[tuple[int, str]]:
    """Speaks the script, then TLS, and echoes; its port and the authority's file."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)

        def serve() -> None:
            sock, _ = listener.accept()
            sock.settimeout(PATIENCE)
            with suppress(OSError), sock:
                for told, asked in script:
                    sock.sendall(told)
                    if asked:
                        assert sock.recv(4096).startswith(asked)
                with context.wrap_socket(sock, server_side=True) as secure:
                    secure.sendall(secure.recv(100))
                    secure.unwrap()

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1], str(tmp_path / "ca.pem")
        thread.join(PATIENCE)


@pytest.mark.parametrize("protocol", SCRIPTS)
def test_starttls(protocol: str, tmp_path: Path) -> None:
    with server(SCRIPTS[protocol], tmp_path) as (port, ca):
        with socketkit("connect", f"localhost:{port}", "--starttls", protocol, "--cacert", ca) as program:
            assert program.communicate(b"secret") == b"secret", program.stderr_lines
            assert (program.wait(), program.stderr_lines) == (0, [])


@pytest.mark.parametrize(
    ("protocol", "answer"),
    [("smtp", b"554 no\r\n"), ("postgres", b"N"), ("pop3", b"-ERR\r\n"), ("imap", b""), ("xmpp", XMPP_ERROR)],
)
def test_refusal_is_one_line(protocol: str, answer: bytes, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socketkit("connect", f"localhost:{port}", "--starttls", protocol) as program:
            listener.settimeout(PATIENCE)
            sock, _ = listener.accept()
            sock.sendall(answer)
            sock.shutdown(socket.SHUT_WR)
            assert (program.communicate(), program.wait()) == (b"", 3)
            sock.close()
        assert len(program.stderr_lines) == 1 and f"STARTTLS ({protocol})" in program.stderr_lines[0]
        assert protocol != "xmpp" or 'the server answered b"<stream:error><host-unknown' in program.stderr_lines[0]


def test_plain_text_before_tls_is_refused(tmp_path: Path) -> None:
    """Bytes behind the server's consent are an injection (CVE-2011-0411)."""
    script = [(b"+OK hi\r\n", b"STLS\r\n"), (b"+OK\r\n+OK injected\r\n", b"")]
    with server(script, tmp_path) as (port, ca):
        with socketkit("connect", f"localhost:{port}", "--starttls", "pop3", "--cacert", ca) as program:
            assert (program.communicate(b"secret"), program.wait()) == (b"", 3)
            assert "injection" in program.stderr_lines[0]
