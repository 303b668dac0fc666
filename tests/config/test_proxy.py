"""The option `proxy` is read strictly, written canonically, and no text of it shows a password."""

from __future__ import annotations

import pickle
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketkit import Address
from socketkit.config.options import Options, format_option, parse_option
from socketkit.config.proxy import MAX_PROXIES, Proxy, parse_proxies
from socketkit.errors import AddressError, OptionError

SECRET = "S3cret,@:/%"


@pytest.mark.parametrize(
    ("text", "proxies"),
    [
        ("socks5://gateway", (Proxy("socks5", "gateway", 1080),)),
        ("SOCKS5H://Gateway:9050/", (Proxy("socks5h", "gateway", 9050),)),
        ("socks4a://me@[::1]:1", (Proxy("socks4a", "::1", 1, "me"),)),
        ("gateway:8080", (Proxy("http", "gateway", 8080),)),
        ("http://gateway", (Proxy("http", "gateway", 3128),)),
        ("http://a%40b:c%3Ad@h", (Proxy("http", "h", 3128, "a@b", "c:d"),)),
        ("socks5://a:1, http://b:2", (Proxy("socks5", "a", 1), Proxy("http", "b", 2))),
        ("ENV", "env"),
    ],
)
def test_parse_proxies(text: str, proxies: object) -> None:
    assert parse_proxies(text) == proxies
    assert parse_option("proxy", format_option("proxy", text)) == proxies


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "needs a host"),
        ("socks5://", "needs a host"),
        ("socks6://h", "'socks6' is no kind of proxy"),
        ("https://h", "is not spoken to"),
        ("socks5://h:0", "from 1 to 65535"),
        ("socks5://u:hidden-word", "from 1 to 65535"),
        ("socks5://u:***@h", "was hidden"),
        ("socks5://:hidden-word@h", "a password without a user"),
        ("socks4://u:hidden-word@h", "SOCKS4 has a user, and no password"),
        ("http://a%3Ab:hidden-word@h", "contains a colon"),
        ("socks5://u:hidden-word%zz@h", "wrong percent-encoding"),
        ("socks5://u:hidden-word%0A@h", "control character"),
        (f"socks5://u:{'hidden-word' * 30}@h", "more than 255 bytes"),
        ("socks5://u:hidden-word@a b", "host 'a b'"),
        ("socks5://u:hidden,word@h", "from 1 to 65535"),
        ("socks5://[gateway]:1", "needs a host"),
        (",".join(["h"] * (MAX_PROXIES + 1)), "no chain of 1 to 8"),
        ("socks5://h/path:hidden-word", "from 1 to 65535"),
    ],
)
def test_wrong_proxies(text: str, says: str) -> None:
    """The error names the option and what is allowed, and holds no password; so does that of an address."""
    with pytest.raises(OptionError) as caught:
        parse_option("proxy", text)
    assert says in str(caught.value)
    assert str(caught.value).startswith("proxy: ")
    assert "hidden" not in str(caught.value).replace("was hidden", "")
    if text:
        with pytest.raises(AddressError) as wrong:
            Address.parse(f"tcp://h:1?proxy={quote(text, safe='')}")
        assert "hidden" not in str(wrong.value).replace("was hidden", "")


@given(
    user=st.text(min_size=1, max_size=20), password=st.text(max_size=20), host=st.sampled_from(["h", "::1", "1.2.3.4"])
)
def test_round_trip(user: str, password: str, host: str) -> None:
    """Any user and password that are accepted come back from the text, also through an address."""
    try:
        proxies = parse_proxies([Proxy("socks5", host, 1, user, password).text])
    except OptionError:
        return
    assert proxies == (Proxy("socks5", host, 1, user, password),)
    address = Address("tcp", "db", 1, options={"proxy": proxies})
    assert Options.make(dict(address.options)).proxy == proxies


def test_no_text_shows_a_password() -> None:
    """Texts and representations hide it, wherever the value travels; the value itself keeps it."""
    proxy = Proxy("socks5", "gateway", 1080, "user", SECRET)
    token = Proxy("http", "gateway", 3128, "token-S3cret")
    address = Address("tcp", "db", 5432, options={"proxy": (proxy, token)})
    options = Options.make(dict(address.options))
    for value in (proxy, token, address, options, (proxy,), {"a": address}):
        assert "S3cret" not in str(value) + repr(value) + f"{value}"
    assert str(proxy) == "socks5://user:***@gateway:1080"
    assert str(token) == "http://***@gateway:3128"
    assert str(address) == "tcp://db:5432?proxy=socks5://user:***@gateway:1080,http://***@gateway:3128"
    assert pickle.loads(pickle.dumps(address)) == address
    assert options.proxy == (proxy, token)


def test_a_printed_address_is_not_used() -> None:
    """An address whose password was hidden is refused, where it would be used with a wrong password else."""
    address = Address.parse("tcp://db:1?proxy=socks5://u:p@gateway")
    with pytest.raises(AddressError, match="give the real one"):
        Address.parse(str(address))


@pytest.mark.parametrize(
    "typed", ["proxi=socks5://u:S3cret@h", "proxy=socks5%3A%2F%2Fu%3AS3cret%40h%3Ax", "proxy=x&proxy=a:S3cret@b"]
)
def test_errors_of_addresses(typed: str) -> None:
    """A misspelled option that looks like a proxy is not quoted either."""
    with pytest.raises(AddressError) as caught:
        Address.parse(f"tcp://h:1?{typed}")
    assert "S3cret" not in str(caught.value)


def test_proxy_acts_at_tcp_clients() -> None:
    from socketkit import connect, serve

    with pytest.raises(OptionError, match=r"proxy: it has no effect at unix:; it acts at TCP"):
        connect("unix:/run/x?proxy=socks5://h")
    with pytest.raises(OptionError, match=r"proxy: it has no effect on serve"):
        serve(lambda connection: None, "tcp://localhost:0?proxy=socks5://h")
