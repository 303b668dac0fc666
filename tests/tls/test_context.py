"""TLS contexts: errors that name the file, sharing, reload, SNI, sessions, names to check."""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import shutil
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from socketkit import engines
from socketkit.config.address import Address
from socketkit.config.tls_settings import TLS
from socketkit.errors import HandshakeError, OptionError
from socketkit.streams.memory import memory_pair
from socketkit.tls.context import ServerSide, client_side, server_name_for, server_side
from socketkit.tls.handshake import client_for
from socketkit.tls.stream import secure
from support.running import Running
from support.streams import stream_pair
from support.tls import client_hello, papers, secured


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"ca": "/no/such/file"}, "ca: '/no/such/file' cannot be read: No such file"),
        ({"ca": __file__}, "holds no certificate in PEM"),
        ({"cert": "/no/such/file"}, "cert: '/no/such/file' cannot be read"),
        ({"cert": papers().cert, "key": "/no/such/key"}, "key: '/no/such/key' cannot be read"),
        ({"cert": __file__}, "there is no whole certificate .PEM."),
        ({"cert": papers().ca}, "holds no private key: give its file .key=FILE."),
        ({"cert": papers().cert, "key": papers().client}, "do not belong together: key values mismatch"),
        ({"cert": papers().cert, "key": __file__}, "cannot be read as a certificate with its key"),
        ({"ciphers": "no-such-cipher"}, "OpenSSL knows none of 'no-such-cipher'"),
    ],
)
def test_unusable_file_is_named(settings, told):
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
    with pytest.raises(OptionError, match=r"the password .key_password. does not open it"):
        ServerSide(TLS(cert=papers().cert, key=str(tmp_path / "key"), key_password="wrong-word"))


def test_name_checked_or_reason_given():
    """A name is checked or it is said why none is."""
    assert server_name_for(TLS(), "example.org", address="x") == "example.org"
    assert server_name_for(TLS(), "fe80::1%eth0", address="x") == "fe80::1"
    assert server_name_for(TLS(server_name="other"), "example.org", address="x") == "other"
    assert server_name_for(TLS(verify=False), "", address="x") is None
    assert server_name_for(TLS(), "faß.example", address="x") == "xn--fa-hia.example"
    assert server_name_for(TLS(server_name="faß.example"), "h", address="x") == "xn--fa-hia.example"
    with pytest.raises(OptionError, match=r"tls.unix:///s has no host .* give server_name=NAME"):
        server_name_for(TLS(), "", address="tls+unix:///s")


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


@pytest.mark.parametrize("missing", ["cert", "key"])
def test_reload_with_missing_file(tmp_path, missing):
    """What was read before stays, and the file is named."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    for path in (cert, key):
        shutil.copy(papers().cert, path)
    side = ServerSide(TLS(cert=str(cert), key=str(key)))
    context, pins = side.context, side.pins
    (cert if missing == "cert" else key).unlink()
    with pytest.raises(OptionError, match=rf"^{missing}: '.*{missing}.pem' cannot be read: No such file"):
        side.reload()
    assert (side.context, side.pins) == (context, pins)


def test_reload_while_files_are_replaced(tmp_path):
    """Removed, half written, of another key: each is an OptionError, whenever it happens."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    pairs = [Path(papers().cert).read_bytes(), Path(papers().other).read_bytes()]

    def replace(data: bytes) -> None:
        for path in (cert, key):
            path.unlink(missing_ok=True)
            with open(path, "wb", buffering=0) as file:
                file.write(data[:500])
                file.write(data[500:])

    replace(pairs[0])
    side = ServerSide(TLS(cert=str(cert), key=str(key)))
    done = threading.Event()

    def replace_for_ever() -> None:
        while not done.is_set():
            for data in pairs:
                replace(data)

    thread = threading.Thread(target=replace_for_ever)
    thread.start()
    try:
        for _ in range(300):
            with contextlib.suppress(OptionError):
                side.reload()
            assert len(side.pins) == 1
    finally:
        done.set()
        thread.join()
    replace(pairs[1])
    side.reload()
    assert side.pins == ServerSide(TLS(cert=papers().other)).pins


def test_certificate_is_read_once(tmp_path):
    """So what is loaded and what is pinned are the same bytes. A FIFO gives them once."""
    os.mkfifo(tmp_path / "fifo")
    writer = threading.Thread(target=(tmp_path / "fifo").write_bytes, args=(Path(papers().cert).read_bytes(),))
    writer.start()
    side = ServerSide(TLS(cert=str(tmp_path / "fifo")))
    writer.join()
    assert side.pins == ServerSide(TLS(cert=papers().cert)).pins


@pytest.mark.parametrize("comment", [b"subject=/CN=Z\374rich\n", b"\xff\xfe\x00 zero\n", b"\r\n", "отсюда\n".encode()])
def test_comment_around_certificate(tmp_path, comment):
    """What stands around a certificate is comment, in any encoding (RFC 7468, 2)."""
    data = Path(papers().cert).read_bytes()
    (tmp_path / "cert.pem").write_bytes(comment + data + comment)
    assert ServerSide(TLS(cert=str(tmp_path / "cert.pem"))).pins == ServerSide(TLS(cert=papers().cert)).pins


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"ca": "a\0b"}, "ca: .* contains a zero byte"),
        ({"cert": "a\0b"}, "cert: .* contains a zero byte"),
        ({"cert": papers().cert, "key": "a\0b"}, "key: .* contains a zero byte"),
        ({"ciphers": "ECDHE\0"}, "ciphers: .* contains a zero byte"),
        ({"ciphers": "ü"}, "ciphers: OpenSSL knows none of"),
        ({"cert": papers().cert, "key_password": "x" * 2000}, None),
    ],
)
def test_odd_settings_are_option_errors(settings, told):
    """Never ValueError or UnicodeError by itself, on either side."""
    for side in (client_side, server_side):
        try:
            side(TLS(**{"cert": papers().cert, **settings}))
        except OptionError as error:
            assert told is not None and re.search(told, str(error))
        else:
            assert told is None


@pytest.mark.parametrize("name", ["a\0b", ".example", "a..b", "a b", "", "x" * 64])
def test_odd_server_name(name):
    with pytest.raises(OptionError):
        server_name_for(TLS(server_name=name), "localhost", address="x")


@pytest.mark.parametrize("name", ["localhost", "localhost.", "LOCALHOST."])
def test_trailing_dot_of_server_name(name):
    """It is for DNS; SNI and certificates have none (RFC 6066, 3)."""
    assert server_name_for(TLS(server_name=name), "", address="x") == "localhost"
    assert client_for(TLS(), Address.parse(f"tls://{name}:1"))[1] == "localhost"


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("straße.de", "xn--strae-oqa.de"),
        ("βόλος.com", "xn--nxasmm1c.com"),
        ("Bücher.example.", "xn--bcher-kva.example"),
    ],
)
def test_server_name_in_unicode(host, name):
    """The same domain as the resolver asks for (IDNA 2008): `ssl` by itself would fold it to another one."""
    assert server_name_for(TLS(server_name=host), "", address="x") == name
    assert client_for(TLS(), Address.parse(f"tls://{host}:1"))[1] == name


def self_made(folder: Path, common_name: str, alternative: str | None = None) -> str:
    """A certificate with its key in one file, which vouches for itself."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
    if alternative is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(alternative)]), False)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / f"{common_name}-{alternative}.pem"
    path.write_bytes(private + builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return str(path)


@pytest.mark.parametrize(
    ("alternative", "refused"),
    [
        ("localhost", None),
        (None, r"it has no alternative name \(subjectAltName\), and its CN is not looked at"),
        ("other.example", r"it is for 'other.example': connect to that name, or give it \(server_name=NAME\)"),
    ],
)
def test_common_name_is_no_host(tmp_path, alternative, refused):
    """The name must stand among the alternative names (RFC 9525, 6.3); the error has those that do."""
    path = self_made(tmp_path, "localhost", alternative)

    async def main(engine):
        left, right = memory_pair(engine)
        answering = Running(engine, secure(right, server_side(TLS(cert=path)), timeout=20))
        try:
            await secure(left, client_side(TLS(ca=path)), server_name="localhost", timeout=20)
        finally:
            left.close()
            await answering.outcome()

    engine = engines.make("poll")
    if refused is None:
        engine.run(main(engine))
    else:
        with pytest.raises(HandshakeError, match=f"Hostname mismatch.*{refused}"):
            engine.run(main(engine))


def test_key_log_has_mode_0600(tmp_path, monkeypatch):
    """OpenSSL would create it readable by all users."""
    before = os.umask(0)
    try:
        monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
        client_side(TLS(ca=papers().ca))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o600


def test_key_log_behind_link_in_shared_folder(tmp_path, monkeypatch):
    tmp_path.chmod(0o1777)
    (tmp_path / "keys").symlink_to(tmp_path / "target")
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    with pytest.raises(OptionError, match=r"SSLKEYLOGFILE: .* cannot be written"):
        client_side(TLS(ca=papers().ca))
    assert not (tmp_path / "target").exists()


def test_server_name_that_is_not_ascii(capfd):
    """It gets the first certificate as any unknown name does; nothing is printed, no internal error is sent."""
    several = server_side(TLS(cert=[papers().cert, papers().other]))

    async def main(engine):
        left, right = memory_pair(engine)
        answering = Running(engine, secure(right, several, timeout=20))
        await left.send(client_hello("buerger.example").replace(b"buerger", b"b\xfcerger"))
        answer = await left.receive()
        left.close()
        await answering.outcome()
        return answer

    engine = engines.make("poll")
    assert engine.run(main(engine))[0] == 22, "a handshake record, and no alert (21)"
    assert capfd.readouterr().err == ""
