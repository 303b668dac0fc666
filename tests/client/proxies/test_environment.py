"""The proxy of the environment is chosen as curl chooses it."""

from __future__ import annotations

import pytest

from socketkit import Address
from socketkit.client.proxies.environment import is_excepted, proxies_from_environment
from socketkit.errors import OptionError


@pytest.mark.parametrize(
    ("environment", "address", "proxies"),
    [
        ({}, "tcp://db:1", []),
        ({"ALL_PROXY": "socks5://a"}, "tcp://db:1", ["socks5://a:1080"]),
        ({"ALL_PROXY": "socks5://a", "all_proxy": "b:8080"}, "tcp://db:1", ["http://b:8080"]),
        ({"ALL_PROXY": "socks5://a", "all_proxy": ""}, "tcp://db:1", []),
        ({"ALL_PROXY": "socks5://a", "HTTPS_PROXY": "http://b"}, "tls://db:1", ["http://b:3128"]),
        ({"ALL_PROXY": "socks5://a", "HTTPS_PROXY": "http://b"}, "tcp://db:1", ["socks5://a:1080"]),
        ({"ALL_PROXY": "socks5://a", "NO_PROXY": "example.com, db"}, "tcp://db:1", []),
        ({"ALL_PROXY": "socks5://a", "no_proxy": "db:2"}, "tcp://db:1", ["socks5://a:1080"]),
    ],
)
def test_environment(environment: dict[str, str], address: str, proxies: list[str]) -> None:
    place = Address.parse(address)
    found = proxies_from_environment(environment, place, is_secure=place.scheme == "tls")
    assert [str(proxy) for proxy in found] == proxies


@pytest.mark.parametrize(
    ("no_proxy", "host", "expected"),
    [
        ("*", "db", True),
        ("", "db", False),
        ("example.com", "example.com", True),
        ("example.com", "EXAMPLE.com.", True),
        (".example.com", "www.example.com", True),
        ("example.com", "notexample.com", False),
        ("example.com", "example.com.evil", False),
        ("localhost", "", True),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("fd00::/8,::1", "::1", True),
        ("[::1]", "::1", True),
        ("1.2.3.4", "11.2.3.4", False),
        ("2.3.4", "1.2.3.4", False),
    ],
)
def test_no_proxy(no_proxy: str, host: str, expected: bool) -> None:
    assert is_excepted(no_proxy, host.lower()) is expected


def test_wrong_variable_is_named() -> None:
    """The variable is named, and its value is not shown."""
    for value in ("ftp://u:S3cret@h", "env"):
        with pytest.raises(OptionError, match="ALL_PROXY: ") as caught:
            proxies_from_environment({"ALL_PROXY": value}, Address.parse("tcp://db:1"), is_secure=False)
        assert "S3cret" not in str(caught.value)
