"""The rules for destinations: deny wins, names have subdomains, and no spelling of an address escapes."""

from __future__ import annotations

import pytest

from socketkit.apps.relay.dynamic.access import Access, Places, parse_places
from socketkit.errors import OptionError

FAR = "203.0.113.7"


def access(allow: str | None = None, deny: str = "", **more: bool) -> Access:
    return Access(None if allow is None else parse_places(allow), parse_places(deny) if deny else Places(), **more)


@pytest.mark.parametrize(
    ("rules", "host", "number", "expected"),
    [
        (access(), "db", "198.51.100.1", True),
        (access(allow="example.com"), "www.example.com", "198.51.100.1", True),
        (access(allow="*.example.com"), "example.com.", "198.51.100.1", True),
        (access(allow="example.com"), "notexample.com", "198.51.100.1", False),
        (access(allow="198.51.100.0/24"), "db", "198.51.100.1", True),
        (access(allow="198.51.100.0/24"), "db", "198.51.101.1", False),
        (access(allow="198.51.100.0/24"), "db", "::ffff:198.51.100.1", True),
        (access(deny="198.51.100.0/24"), "db", "::ffff:198.51.100.1", False),
        (access(allow="db", deny="198.51.100.0/24"), "db", "198.51.100.1", False),
        (access(allow="198.51.100.0/24", deny="db"), "db", "198.51.100.1", False),
        (access(allow="198.51.100.0/24", deny="example.com"), "a.example.com", "198.51.100.1", False),
        (access(), "localtest.example", "127.0.0.1", False),
        (access(), "db", "::1", False),
        (access(), "db", "::ffff:127.0.0.1", False),
        (access(), "db", "64:ff9b::7f00:1", False),
        (access(), "db", "0.0.0.0", False),
        (access(), "metadata", "169.254.169.254", False),
        (access(), "db", "fe80::1%2", False),
        (access(allow="db"), "db", "127.0.0.1", False),
        (access(allow="127.0.0.0/8"), "db", "127.0.0.1", True),
        (access(denies_local=False), "db", "127.0.0.1", True),
        (access(), "db", "10.0.0.1", True),
    ],
)
def test_rules(rules: Access, host: str, number: str, expected: bool) -> None:
    assert rules.permits(host, number, FAR) is expected


def test_clients_of_this_machine() -> None:
    """They reach this machine anyway, so only the rules that were given count for them."""
    for client in ("127.0.0.1", "::1", "::ffff:127.0.0.1", "unix"):
        assert access().permits("db", "127.0.0.1", client)
        assert not access(deny="127.0.0.0/8").permits("db", "127.0.0.1", client)
        assert not access(allow="10.0.0.0/8").permits("db", "127.0.0.1", client)


@pytest.mark.parametrize("text", ["10.0.0.1/8", "10.0.0.0/33", "", "a b", "1.2.3", "10.0.0.0/8,,db", "."])
def test_wrong_places(text: str) -> None:
    with pytest.raises(OptionError, match="--to-deny: "):
        parse_places(text, name="--to-deny")
