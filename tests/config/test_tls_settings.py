"""Settings of TLS are checked when they are made, mean the same as text and natively, and keep the password to
themselves."""

from __future__ import annotations

import base64
import hashlib
import pickle
from pathlib import Path

import pytest

from socketkit import Address, connect, serve
from socketkit.config.options import Options, format_option
from socketkit.config.tls_settings import TLS, parse_pins
from socketkit.endpoint import tls_for, tls_settings_of
from socketkit.errors import AddressError, OptionError

DIGEST = hashlib.sha256(b"a key").digest()
PIN = f"sha256:{DIGEST.hex()}"


@pytest.mark.parametrize(
    "text",
    [
        PIN,
        f"sha256:{DIGEST.hex().upper()}",
        f"sha256//{base64.b64encode(DIGEST).decode()}",
        f"sha256:{base64.b64encode(DIGEST).decode()}",
        f"sha256:{base64.b64encode(DIGEST).decode().rstrip('=')}",
    ],
)
def test_pin_formats(text):
    """A pin is read as we write it and as curl does."""
    assert parse_pins(text) == (PIN,)
    assert TLS(pin=text).pin == (PIN,)


def test_several_pins():
    """Several pins are joined by commas or as curl has it."""
    other = "sha256:" + "0" * 64
    assert parse_pins(f"{PIN};{other}") == parse_pins(f"{PIN},{other}") == (PIN, other)
    assert TLS(pin=[PIN, other]).pin == (PIN, other)
    assert format_option("pin", f"{PIN};{other}") == f"{PIN},{other}"


@pytest.mark.parametrize("text", ["", ",", "sha256:", "sha256:abc", "sha1:" + "0" * 40, PIN + "0", "sha256//!!!", "x"])
def test_bad_pin_names_allowed_forms(text):
    """What is no pin is refused with what is allowed."""
    with pytest.raises(OptionError, match=r"is not a pin; allowed is sha256:HEX .* sha256//BASE64"):
        parse_pins(text)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"key": "k.pem"}, "1 keys for 0 certificates"),
        ({"cert": "a.pem,b.pem", "key": "a.key"}, "1 keys for 2 certificates"),
        ({"self_signed": True, "cert": "a.pem"}, "there is a certificate already"),
        ({"require_client_cert": True}, "give ca=FILE too"),
        ({"require_client_cert": True, "ca": "ca.pem", "verify": False}, "contradicts verify=no"),
        ({"minimum_version": "1.1"}, "minimum_version: '1.1' is not allowed; allowed are 1.2 and 1.3"),
        ({"alpn": ["x" * 256]}, "allowed are 1 to 255 characters of ASCII"),
        ({"alpn": "ü"}, "alpn: 'ü' is not a protocol's name; allowed are 1 to 255 characters of ASCII"),
        ({"alpn": [1]}, "alpn: 1 is not a name"),
        ({"alpn": "a\0b"}, r"alpn: 'a\\x00b' contains a zero byte"),
        ({"ca": "a\0b"}, r"ca: 'a\\x00b' contains a zero byte"),
        ({"ca": 5}, "ca: 5 is not a name"),
        ({"cert": "a\0b"}, r"cert: 'a\\x00b' contains a zero byte"),
        ({"cert": ["a.pem"], "key": ["a\0b"]}, r"key: 'a\\x00b' contains a zero byte"),
        ({"ca": "\ud800"}, "ca: .* contains half a character"),
        ({"ciphers": "a\0b"}, r"ciphers: 'a\\x00b' contains a zero byte"),
        ({"server_name": "a\0b"}, r"server_name: 'a\\x00b' contains a zero byte"),
        ({"server_name": "a b"}, "server_name: host 'a b' contains ' '"),
        ({"server_name": "☃.example"}, "server_name: host '☃.example' is no domain name"),
        ({"verify": "perhaps"}, "verify: 'perhaps' is not a switch"),
    ],
)
def test_contradicting_tls_settings_refused(settings, told):
    """Settings that contradict each other are refused."""
    with pytest.raises(OptionError, match=told):
        TLS(**settings)


def test_switches_are_read_as_options_do():
    """The text `no` is not taken for a value that counts as true."""
    assert TLS(verify="no", self_signed="no", require_client_cert="no") == TLS(verify=False)


@pytest.mark.parametrize("name", ["alpn", "ca", "cert", "server_name"])
def test_bad_tls_text_in_options(name):
    """The same as an option of an address or a keyword, before anything is opened."""
    with pytest.raises(OptionError, match=f"{name}: .* contains a zero byte"):
        connect("tls://localhost:1", **{name: "a\0b"})
    with pytest.raises(AddressError, match=f"{name}: .* contains a zero byte"):
        connect(f"tls://localhost:1?{name}=a%00b")
    with pytest.raises(OptionError, match="alpn: 'ü'"):
        serve(print, "tls://localhost:1", alpn="ü")


def test_texts_and_lists_mean_the_same():
    assert TLS(alpn="h2,http/1.1") == TLS(alpn=["h2", "http/1.1"]) == TLS(alpn=("h2", "http/1.1"))
    assert TLS(ca=Path("/a/ca.pem"), cert=Path("/a/b.pem")) == TLS(ca="/a/ca.pem", cert="/a/b.pem")


def test_pin_replaces_authority():
    """A pin decides alone unless an authority is named."""
    assert TLS().is_verified
    assert not TLS(pin=PIN).is_verified
    assert TLS(pin=PIN, ca="ca.pem").is_verified
    assert TLS(pin=PIN, verify=True).is_verified
    assert not TLS(ca="ca.pem", verify=False).is_verified


def test_the_password_is_never_shown():
    tls = TLS(cert="c.pem", key_password="secret-word")
    assert "secret-word" not in repr(tls)
    assert "key_password=..." in repr(tls)
    assert pickle.loads(pickle.dumps(tls)) == tls


def test_options_equal_tls_value():
    """Options say one by one what tls says at once."""
    options = Options.make({"ca": "ca.pem", "verify": "no", "alpn": "h2"}, tls=TLS(ca="other.pem", server_name="n"))
    assert tls_settings_of(options) == TLS(ca="ca.pem", verify=False, alpn="h2", server_name="n")


@pytest.mark.parametrize(
    ("address", "keywords", "is_secure"),
    [
        ("tcp://h:1", {}, False),
        ("tcp://h:1", {"ca": "ca.pem"}, False),
        ("tls://h:1", {}, True),
        ("tls+unix:///run/s", {}, True),
        ("tcp://h:1?tls=yes", {}, True),
        ("tcp://h:1", {"tls": True}, True),
        ("unix:///run/s", {"tls": TLS()}, True),
        ("tls://h:1", {"tls": False}, True),
    ],
)
def test_tls_by_scheme_or_option(address, keywords, is_secure):
    """The address or the option asks for tls."""
    parsed = Address.parse(address)
    options = Options.make(dict(parsed.options), **keywords)
    assert (tls_for(parsed, options) is not None) == is_secure


@pytest.mark.parametrize(
    "text",
    ["tls://localhost:443", "tls://[::1]:443?ca=%2Fetc%2Fca.pem", "tls+unix:///run/s.sock", f"tls://h:1?pin={PIN}"],
)
def test_tls_address_round_trip(text):
    """Addresses of tls are read and written alike."""
    address = Address.parse(text)
    assert Address.parse(str(address)) == address
    assert address.transport.is_secure


def test_tls_value_in_address_refused():
    """A whole tls cannot stand in an address."""
    with pytest.raises(OptionError, match="cannot stand in an address"):
        format_option("tls", TLS())
