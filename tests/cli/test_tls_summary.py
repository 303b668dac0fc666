"""`connect --summary` at a TLS server of OpenSSL: the handshake, and each certificate that the server sent."""

from __future__ import annotations

import contextlib
import datetime
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from support.programs import PATIENCE, Program, needs, socketkit
from support.tls import papers


@contextlib.contextmanager
def openssl_server(folder: Path, *arguments: str, expired: bool = False) -> Iterator[tuple[str, str]]:
    """`openssl s_server -rev` with a chain of two; its address, and the file of its authority."""
    openssl = needs("openssl")
    authority = trustme.CA()
    issuer = authority.create_child_ca()
    past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=10, hours=1)
    leaf = issuer.issue_cert("localhost", "127.0.0.1", **({"not_after": past} if expired else {}))
    files = {name: folder / f"{name}.pem" for name in ("ca", "leaf", "issuer", "key")}
    files["ca"].write_bytes(authority.cert_pem.bytes())
    files["leaf"].write_bytes(leaf.cert_chain_pems[0].bytes())
    files["issuer"].write_bytes(leaf.cert_chain_pems[1].bytes())
    files["key"].write_bytes(leaf.private_key_pem.bytes())
    given = ("-cert", files["leaf"], "-cert_chain", files["issuer"], "-key", files["key"])
    words = [openssl, "s_server", "-accept", "127.0.0.1:0", "-rev", *map(str, given), *arguments]
    with Program(*words) as server:
        assert server.process.stdout is not None
        for line in server.process.stdout:
            if line.startswith(b"ACCEPT 127.0.0.1:"):
                break
        yield f"tls://{line.split()[1].decode()}", str(files["ca"])


def summary(form: str, address: str, *options: str) -> list[str]:
    with socketkit("connect", address, "--summary", form, *options) as client:
        assert client.communicate(b"abc\n") == b"cba\n"
        assert client.wait() == 0
        return client.stderr_lines


@pytest.mark.parametrize(("switch", "version"), [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")])
def test_summary_shows_handshake_and_chain(tmp_path: Path, switch: str, version: str) -> None:
    """The summary has the protocol, the cipher, ALPN, and both certificates with their names, days left and pins."""
    with openssl_server(tmp_path, switch, "-alpn", "h2,rev") as (address, ca):
        (line,) = summary("json", address, "--cacert", ca, "--alpn", "rev")
        tls = json.loads(line)["tls"]
        assert (tls["version"], tls["alpn"], tls["is_resumed"]) == (version, "rev", False)
        assert tls["cipher"]
        own, issuer = tls["chain"]
        assert own["issuer"] == issuer["subject"]
        assert own["alternative_names"] == [["DNS", "localhost"], ["IP Address", "127.0.0.1"]]
        assert own["days_left"] > 0
        assert own["pin"] != issuer["pin"]
        figures, agreed, first, second = summary("text", address, "--pin", own["pin"])
        assert "bytes received" in figures
        assert agreed.startswith(f"[1] {version}, {tls['cipher']}, no ALPN")
        assert f"subject {own['subject']}; issuer {own['issuer']}; names DNS:localhost, IP Address:127.0.0.1" in first
        assert f"expires {own['expiry']} ({own['days_left']} days left); pin {own['pin']}" in first
        assert issuer["pin"] in second


def test_expired_certificate_shown_with_insecure(tmp_path: Path) -> None:
    """An expired certificate is refused; with --insecure the summary says since when it has been invalid."""
    with openssl_server(tmp_path, expired=True) as (address, ca):
        with socketkit("connect", address, "--summary", "text", "--cacert", ca) as client:
            assert client.communicate(b"abc\n") == b""
            assert client.wait() == 3
            assert "expired" in client.stderr_lines[0]
        lines = summary("text", address, "--insecure")
        assert "EXPIRED" in lines[2]
        assert "(10 days ago)" in lines[2]
        (line,) = summary("json", address, "--insecure")
        assert json.loads(line)["tls"]["chain"][0]["days_left"] == -11  # rounded down


def test_summary_without_tls_has_no_tls() -> None:
    """A plain connection has no `tls` in its JSON, and one line as text."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        for form in ("json", "text"):
            with socketkit("connect", f"tcp://127.0.0.1:{listener.getsockname()[1]}", "--summary", form) as client:
                listener.accept()[0].close()
                assert client.communicate(b"") == b""
                (line,) = client.stderr_lines
                assert "tls" not in line.lower()


def test_summary_against_our_own_server() -> None:
    """A server with one certificate shows one, by its file's names."""
    with socketkit("echo", "tls://127.0.0.1:0", "--cert", papers().cert) as server:
        with socketkit("connect", str(server.address()), "--cacert", papers().ca, "--summary", "text") as client:
            assert client.communicate(b"hello") == b"hello"
            assert len([line for line in client.stderr_lines if "certificate: " in line]) == 1
            assert "IP Address:::1" in client.stderr_lines[2]
