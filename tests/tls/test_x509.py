"""Certificates are read as the package `cryptography` reads them."""

from __future__ import annotations

import datetime
import hashlib
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from socketkit.tls.x509 import read_certificate
from support.tls import papers


def made(*, days: int = 100, rsa_key: bool = False, name: x509.Name | None = None) -> x509.Certificate:
    key = rsa.generate_private_key(65537, 2048) if rsa_key else ec.generate_private_key(ec.SECP256R1())
    names = x509.NameOID
    name = name or x509.Name(
        [
            x509.NameAttribute(names.COUNTRY_NAME, "DE"),
            x509.NameAttribute(names.ORGANIZATION_NAME, "Größe & Söhne"),
            x509.NameAttribute(names.COMMON_NAME, "host.example"),
            x509.NameAttribute(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), "odd"),
        ]
    )
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(x509.Name([x509.NameAttribute(names.COMMON_NAME, "an authority")]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("a.example"), x509.DNSName("*.b.example")]), False)
        .sign(key, hashes.SHA256())
    )


@pytest.mark.parametrize(("days", "rsa_key"), [(100, False), (100, True), (365 * 60, False)], ids=["ec", "rsa", "2086"])
def test_it_agrees_with_a_library(days, rsa_key):
    certificate = made(days=days, rsa_key=rsa_key)
    der = certificate.public_bytes(serialization.Encoding.DER)
    ours = read_certificate(der)
    key = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert ours.pin == f"sha256:{hashlib.sha256(key).hexdigest()}"
    assert ours.fingerprint == certificate.fingerprint(hashes.SHA256()).hex()
    assert ours.subject == "C=DE, O=Größe & Söhne, CN=host.example, 1.3.6.1.4.1.99999.1=odd"
    assert ours.issuer == "CN=an authority"
    assert ours.expiry == f"{certificate.not_valid_after_utc:%Y-%m-%d %H:%M:%S}Z"
    assert ours.dns_names == ("a.example", "*.b.example")


@pytest.mark.parametrize(
    "data", [b"", b"0", b"\x30\x00", b"\x30\x84\xff\xff\xff\xff", b"\x02\x01\x00", b"\x30\x80\x00\x00"]
)
def test_no_certificate_is_refused(data):
    with pytest.raises(ValueError):
        read_certificate(data)


REAL = ssl.PEM_cert_to_DER_cert(Path(papers().ca).read_text())


@given(st.data())
def test_mutated_certificate_parsed_or_refused(data):
    """A peer sends what it likes."""
    spoilt = bytearray(REAL[: data.draw(st.integers(0, len(REAL)))])
    for _ in range(data.draw(st.integers(0, 5))):
        if spoilt:
            spoilt[data.draw(st.integers(0, len(spoilt) - 1))] = data.draw(st.integers(0, 255))
    try:
        read_certificate(bytes(spoilt))
    except ValueError:
        pass
