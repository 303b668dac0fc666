"""Files that cannot be used are refused by name before anything is opened; what is read is shared, renewed, resumed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from socketkit import engines
from socketkit.config.tls_settings import TLS
from socketkit.errors import OptionError
from socketkit.streams.memory import memory_pair
from socketkit.tls.context import ServerSide, client_side, server_name_for, server_side
from support.streams import stream_pair
from support.tls import papers, secured


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"ca": "/no/such/file"}, "ca: '/no/such/file' cannot be read: No such file"),
        ({"ca": __file__}, "holds no certificate in PEM"),
        ({"cert": "/no/such/file"}, "cert: '/no/such/file' cannot be read"),
        ({"cert": papers().cert, "key": "/no/such/key"}, "key: '/no/such/key' cannot be read"),
        ({"cert": papers().ca}, "are no certificate .PEM. with its key"),
        ({"cert": papers().cert, "key": papers().client}, "with its key: .*key values mismatch"),
        ({"ciphers": "no-such-cipher"}, "OpenSSL knows none of 'no-such-cipher'"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(settings, told):
    with pytest.raises(OptionError, match=told):
        client_side(TLS(**settings))


def test_server_needs_certificate():
    """A server without a certificate is refused."""
    with pytest.raises(OptionError, match="needs a certificate: give cert=FILE"):
        ServerSide(TLS())
    with pytest.raises(OptionError, match="only where ca=FILE vouches"):
        ServerSide(TLS(cert=papers().cert, pin="sha256:" + "0" * 64))


def test_encrypted_key_password(tmp_path):
    """A locked key is opened by its password and asks no one."""
    from cryptography.hazmat.primitives import serialization

    data = Path(papers().cert).read_bytes()
    key = serialization.load_pem_private_key(data, None)
    locked = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"open")
    )
    (tmp_path / "key").write_bytes(locked)
    with pytest.raises(OptionError, match=r"is locked by a password; give TLS\(key_password=...\)"):
        ServerSide(TLS(cert=papers().cert, key=str(tmp_path / "key")))
    assert ServerSide(TLS(cert=papers().cert, key=str(tmp_path / "key"), key_password="open")).pins
    with pytest.raises(OptionError, match=r"no certificate .PEM. with its key"):
        ServerSide(TLS(cert=papers().cert, key=str(tmp_path / "key"), key_password="wrong-word"))


def test_name_checked_or_reason_given():
    """A name is checked or it is said why none is."""
    assert server_name_for(TLS(), "example.org", place="x") == "example.org"
    assert server_name_for(TLS(), "fe80::1%eth0", place="x") == "fe80::1"
    assert server_name_for(TLS(server_name="other"), "example.org", place="x") == "other"
    assert server_name_for(TLS(verify=False), "", place="x") is None
    with pytest.raises(OptionError, match=r"tls.unix:///s has no host .* give server_name=NAME"):
        server_name_for(TLS(), "", place="tls+unix:///s")


def test_contexts_shared_until_files_change(tmp_path):
    """Sides are shared until a file changes."""
    copy = tmp_path / "cert.pem"
    shutil.copy(papers().cert, copy)
    first = server_side(TLS(cert=str(copy)))
    assert server_side(TLS(cert=str(copy))) is first
    shutil.copy(papers().other, copy)
    assert server_side(TLS(cert=str(copy))).pins != first.pins


def test_a_bad_new_file_changes_nothing(tmp_path):
    copy = tmp_path / "cert.pem"
    shutil.copy(papers().cert, copy)
    side = ServerSide(TLS(cert=str(copy)))
    context, pins = side.context, side.pins
    copy.write_text("rubbish")
    with pytest.raises(OptionError):
        side.reload()
    assert side.context is context
    assert side.pins == pins
    shutil.copy(papers().other, copy)
    side.reload()
    assert side.pins != pins


def test_certificate_chosen_by_sni():
    """The client chooses among several certificates by the name it wants."""
    several = TLS(cert=[papers().cert, papers().other])

    async def main(engine):
        for name in ("localhost", "other.example"):
            left, right = await secured(memory_pair(engine), server=several, name=name)
            left.close()
            right.close()

    engine = engines.make("poll")
    engine.run(main(engine))


def test_session_resumption():
    """A session goes on where the client comes again."""
    client = TLS(ca=papers().ca, ciphers="ECDHE")

    async def visit(engine):
        left, right = await secured(memory_pair(engine), client=client)
        right.send_now(b"hello")
        assert await left.receive() == b"hello"
        left.close()
        right.close()
        return left.tls.is_resumed, left.tls.peer_pin

    async def main(engine):
        return [await visit(engine) for _ in range(3)]

    engine = engines.make("poll")
    visits = engine.run(main(engine))
    assert [is_resumed for is_resumed, _ in visits] == [False, True, True]
    assert len({pin for _, pin in visits}) == 1  # it is still known who the peer is


def test_sslkeylogfile_gets_secrets(tmp_path, monkeypatch):
    """Secrets are written where sslkeylogfile says."""
    log = tmp_path / "keys"
    monkeypatch.setenv("SSLKEYLOGFILE", str(log))

    async def main(engine):
        left, right = await secured(stream_pair(engine, "tcp4"))
        left.close()
        right.close()

    engine = engines.make("poll")
    engine.run(main(engine))
    assert "CLIENT_TRAFFIC_SECRET_0" in log.read_text()
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "no" / "folder"))
    with pytest.raises(OptionError, match=r"SSLKEYLOGFILE: .* cannot be written"):
        client_side(TLS(ca=papers().ca))


def test_self_signed_certificate_and_pin():
    """A certificate of our own making is for this machine and reported by its pin."""
    own = TLS(self_signed=True)
    side = ServerSide(own)
    assert len(side.pins) == 1
    side.reload()
    pins = side.pins
    assert ServerSide(own).pins != pins  # every server has a key of its own
    assert side.pins == pins  # and keeps it


def test_tls_loaded_on_demand():
    """Nothing of tls is loaded before it is wanted."""
    code = "import sys, socketkit; socketkit.TLS(pin='sha256:' + '0'*64); print('ssl' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == "False\n"
