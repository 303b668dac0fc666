"""`TLS(context=...)`: an SSLContext of one's own, on both sides; and what is known of the peer's certificate."""

from __future__ import annotations

import ssl
import subprocess

import pytest

from socketkit import TLS, connect, serve
from socketkit.errors import HandshakeError, OptionError
from socketkit.tls.context import server_side
from socketkit.tls.x509 import read_certificate
from support.programs import PATIENCE, needs
from support.tls import papers


def client_context(**options: object) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=papers().ca)
    for name, value in options.items():
        setattr(context, name, value)
    return context


def server_context(cert: str | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert or papers().cert)
    return context


async def echo(connection):
    async for message in connection:
        await connection.send(message)


@pytest.mark.parametrize("engine", ["blocking", "epoll", "asyncio", "trio"])
def test_context_on_both_sides(engine):
    """Both sides use the contexts as they are: their own ALPN and version."""
    mine, theirs = client_context(maximum_version=ssl.TLSVersion.TLSv1_2), server_context()
    mine.set_alpn_protocols(["h2", "lines/1"])
    theirs.set_alpn_protocols(["lines/1"])
    with serve(echo, "tls://localhost:0", engine=engine, framing="lines", tls=TLS(context=theirs)) as server:
        with connect(server.addresses[0], framing="lines", tls=TLS(context=mine, server_name="localhost")) as client:
            client.send("hello")
            assert client.receive() == "hello"
            assert (client.tls.version, client.tls.alpn) == ("TLSv1.2", "lines/1")


def test_context_in_starttls():
    """`start_tls` takes one on both sides."""

    async def handler(connection):
        assert await connection.receive() == "STARTTLS"
        await connection.start_tls(TLS(context=server_context()))
        async for message in connection:
            await connection.send(message)

    with serve(handler, "tcp://localhost:0", framing="lines") as server:
        with connect(server.addresses[0], framing="lines") as client:
            client.send("STARTTLS")
            client.start_tls(TLS(context=client_context(), server_name="localhost"))
            client.send("secret")
            assert client.receive() == "secret"


def test_context_checks_the_peer():
    """The context's own authorities decide; the error has the pin of the key that was refused."""
    pin = server_side(TLS(cert=papers().stranger)).pins[0]
    with serve(echo, "tls://localhost:0", tls=TLS(context=server_context(papers().stranger))) as server:
        with pytest.raises(HandshakeError, match=f"trust its authority .*pin={pin}"):
            connect(server.addresses[0], tls=TLS(context=client_context(), server_name="localhost")).open()
        blind = client_context(check_hostname=False)
        blind.verify_mode = ssl.CERT_NONE
        with connect(server.addresses[0], tls=TLS(context=blind, pin=pin)) as client:
            assert client.tls.peer_pin == pin
        wrong = "sha256:" + "0" * 64
        with pytest.raises(HandshakeError, match=f"it is {pin}, allowed is {wrong}"):
            connect(server.addresses[0], tls=TLS(context=blind, pin=wrong)).open()


@pytest.mark.parametrize(
    ("excluded", "value"),
    [
        ("ca", "ca.pem"),
        ("cert", "me.pem"),
        ("key_password", "word"),
        ("verify", False),
        ("alpn", "h2"),
        ("require_client_cert", True),
        ("self_signed", True),
        ("minimum_version", "1.3"),
        ("ciphers", "AES256"),
    ],
)
def test_context_excludes_others(excluded, value):
    """What the context decides cannot be said beside it."""
    extra = {"ca": "ca.pem"} if excluded == "require_client_cert" else {}
    with pytest.raises(OptionError, match=r"the context decides that; .* server_name and pin are allowed"):
        TLS(context=client_context(), **{excluded: value}, **extra)


def test_option_beside_context():
    """An option of the address is refused beside a context too, before anything is opened."""
    with pytest.raises(OptionError, match="ca: the context decides that"):
        connect("tls://127.0.0.1:9?ca=a.pem", tls=TLS(context=client_context())).open()


def test_no_context():
    with pytest.raises(OptionError, match=r"context: .*no ssl.SSLContext"):
        TLS(context="context")  # type: ignore[arg-type]


def test_context_of_other_side():
    """A client's context does not serve, and a server's does not connect."""
    with pytest.raises(OptionError, match=r"PROTOCOL_TLS_SERVER.*a client is opened"):
        connect("tls://127.0.0.1:9", tls=TLS(context=server_context())).open()
    with pytest.raises(OptionError, match=r"PROTOCOL_TLS_CLIENT.*a server is opened"):
        with serve(echo, "tls://127.0.0.1:0", tls=TLS(context=client_context())):
            pass
    with pytest.raises(OptionError, match="pin: the context asks clients for no certificate"):
        with serve(echo, "tls://127.0.0.1:0", tls=TLS(context=server_context(), pin="sha256:" + "0" * 64)):
            pass


def test_certificate_in_der():
    """`connection.tls` has the certificate as Python's own `ssl` reads it, its names, and a short repr."""
    with serve(echo, "tls://localhost:0", cert=papers().cert) as server:
        with connect(server.addresses[0], ca=papers().ca, server_name="localhost") as client:
            facts = client.tls
    with open(papers().cert) as file:
        pem = file.read()
    begin = pem.index("-----BEGIN CERTIFICATE")
    first = pem[begin : pem.index("-----END CERTIFICATE-----", begin) + len("-----END CERTIFICATE-----")]
    assert facts.peer_certificate == ssl.PEM_cert_to_DER_cert(first)
    assert facts.peer_alternative_names == (("DNS", "localhost"), ("IP Address", "127.0.0.1"), ("IP Address", "::1"))
    assert f"peer_certificate=<{len(facts.peer_certificate)} bytes>" in repr(facts)


def test_alternative_names_of_each_kind():
    """Names of hosts, addresses, mail and URIs are read; the kinds are those of `ssl`."""
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")])
    names = [
        x509.DNSName("*.example.com"),
        x509.RFC822Name("me@example.com"),
        x509.UniformResourceIdentifier("spiffe://example/me"),
        x509.IPAddress(ipaddress.ip_address("10.0.0.7")),
        x509.RegisteredID(x509.ObjectIdentifier("1.2.3")),
    ]
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 7, now, now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    found = read_certificate(made.public_bytes(serialization.Encoding.DER))
    assert found.alternative_names == (
        ("DNS", "*.example.com"),
        ("email", "me@example.com"),
        ("URI", "spiffe://example/me"),
        ("IP Address", "10.0.0.7"),
    )
    assert found.dns_names == ("*.example.com",)


def test_openssl_client_at_context():
    """`openssl s_client` talks to a server with a context of its own, and finds the certificate that was loaded."""
    openssl = needs("openssl")
    with serve(echo, "tls://127.0.0.1:0", tls=TLS(context=server_context()), framing="lines") as server:
        done = subprocess.run(
            [openssl, "s_client", "-connect", f"127.0.0.1:{server.addresses[0].port}", "-CAfile", papers().ca,
             "-verify_return_error", "-servername", "localhost", "-brief"],
            input=b"hello\n", capture_output=True, timeout=PATIENCE,
        )  # fmt: skip
    assert b"Verification: OK" in done.stderr
