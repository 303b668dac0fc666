"""Two spellings of one host are one text; what is no host is refused, and nothing is looked up."""

from __future__ import annotations

import ipaddress
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketkit.config.host import PLACEHOLDER, ascii_host, host_family, normal_host, unmapped
from socketkit.errors import AddressError


@pytest.mark.parametrize(
    ("written", "normal", "family"),
    [
        ("", "", ""),
        ("LocalHost", "localhost", ""),
        ("my_host-1.example.", "my_host-1.example.", ""),
        ("BÜCHER.example", "bücher.example", ""),
        ("b\u0075\u0308cher.example", "bücher.example", ""),
        ("a\u3002b", "a.b", ""),
        ("straße", "straße", ""),
        ("{HOSTNAME}", PLACEHOLDER, ""),
        ("127.0.0.1", "127.0.0.1", "AF_INET"),
        ("::1", "::1", "AF_INET6"),
        ("0:0:0:0:0:0:0:1", "::1", "AF_INET6"),
        ("2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1", "AF_INET6"),
        ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1", "AF_INET6"),
        ("::ffff:a00:1", "::ffff:10.0.0.1", "AF_INET6"),
        ("fe80::1%eth0", "fe80::1%eth0", "AF_INET6"),
        ("::", "::", "AF_INET6"),
    ],
)
def test_one_spelling(written: str, normal: str, family: str) -> None:
    assert normal_host(written) == normal
    assert normal_host(normal) == normal
    assert host_family(normal) == family


@given(st.ip_addresses(v=6))
def test_ipv6_text_is_rfc_5952(number: ipaddress.IPv6Address) -> None:
    """Every ipv6 address however it is written becomes what rfc 5952 says."""
    exploded = normal_host(number.exploded.upper())
    assert exploded == normal_host(str(number))
    assert ipaddress.ip_address(exploded) == number
    if number.ipv4_mapped is None:
        assert exploded == str(number)


@pytest.mark.parametrize(
    ("host", "problem"),
    [
        ("127.1", "is not an IPv4 address; allowed are four numbers from 0 to 255"),
        ("2130706433", "is not an IPv4 address"),
        ("0x7f.1", "is not an IPv4 address"),
        ("1.2.3.256", "is not an IPv4 address"),
        ("01.2.3.4", "is not an IPv4 address"),
        ("1::2::3", "is not an IPv6 address; allowed is a number as ::1"),
        ("1:2:3:4:5:6:7", "is not an IPv6 address"),
        ("12345::", "is not an IPv6 address"),
        ("::1.2.3", "is not an IPv6 address"),
        ("::1%", "is not a zone of an IPv6 address"),
        ("::1%a b", "is not a zone of an IPv6 address"),
        ("a..b", "has an empty label"),
        (".a", "has an empty label"),
        ("a" * 64, "has 64 characters; allowed are 63"),
        (".".join(["a" * 63] * 4), "has 255 characters; allowed are 253"),
        ("a b", "contains ' '"),
        ("a\u200bb", "contains"),
        ("a@b", "contains '@'"),
        ("[a]", "contains '['"),
        ("a\x00b", "contains"),
    ],
)
def test_what_is_no_host(host: str, problem: str) -> None:
    with pytest.raises(AddressError) as caught:
        normal_host(host)
    assert problem in str(caught.value)
    assert str(caught.value).isprintable()


def test_ipv4_mapped_peer_is_ipv4() -> None:
    """An ipv4 peer of a socket for both families is itself."""
    assert unmapped("::ffff:10.0.0.1") == "10.0.0.1"
    assert unmapped("::ffff:a:b") == "::ffff:a:b"
    assert unmapped("10.0.0.1") == "10.0.0.1"


@pytest.mark.parametrize(
    ("host", "written"),
    [
        ("", ""),
        ("localhost", "localhost"),
        ("10.0.0.1", "10.0.0.1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("bücher.example.", "xn--bcher-kva.example."),
        ("_srv.bücher.example", "_srv.xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("пример.рф", "xn--e1afmkfd.xn--p1ai"),
    ],
)
@pytest.mark.parametrize("has_idna", [True, False])
def test_ascii_host(host: str, written: str, has_idna: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """As DNS and TLS take it, with the package idna and without."""
    if not has_idna:
        monkeypatch.setitem(sys.modules, "idna", None)
    assert ascii_host(host) == written


@pytest.mark.parametrize(
    ("host", "written"),
    [
        ("faß.de", "xn--fa-hia.de"),
        ("straße.de", "xn--strae-oqa.de"),
        ("βόλος.com", "xn--nxasmm1c.com"),
    ],
)
def test_idna_deviations(host: str, written: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that IDNA 2003 takes for another domain is the one of IDNA 2008, or refused with how to write it."""
    assert ascii_host(host) == written
    monkeypatch.setitem(sys.modules, "idna", None)
    with pytest.raises(AddressError, match="is another name in IDNA 2003") as caught:
        ascii_host(host)
    assert str(caught.value).endswith(
        f"install the package idna (pip install 'socketkit[idna]'), or write {written.split('.')[0]}"
    )


@pytest.mark.parametrize("host", ["ü" * 62, "-ü-.de", "\u0301a.de", "☃.de"])
def test_no_domain_name(host: str) -> None:
    with pytest.raises(AddressError, match="is no domain name"):
        ascii_host(host)
