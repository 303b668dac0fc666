"""Who is let in: each limit at the limit, beyond it, and released again; no socket and no clock is needed to decide."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketkit.config.options import Options
from socketkit.errors import OptionError
from socketkit.server.admission import Admission, is_proxy


def admission(**limits):
    return Admission(**{"max_connections": 100, **limits})


def test_limit_is_inclusive_and_released():
    """The limit is inclusive and a place that is left is free."""
    book = admission(max_connections=2)
    for _ in range(2):
        assert book.overload(0) is None
        book.enter(0)
    assert book.is_full
    assert book.overload(0) == "2 conversations, and max_connections is 2"
    book.leave("")
    assert book.overload(0) is None


def test_limit_per_peer_released():
    """Each peer has its own limit and gets its place back."""
    book, options = admission(), Options.make(max_per_peer=2)
    keys = [book.admit("10.0.0.1", options) for port in (1, 2)]
    assert [reason for _, reason in keys] == [None, None]
    assert book.admit("10.0.0.1", options) == (
        "",
        "10.0.0.1 has 2 open already, and max_per_peer is 2",
    )
    assert book.admit("10.0.0.2", options)[1] is None
    book.enter(0)
    book.leave(keys[0][0])
    assert book.admit("10.0.0.1", options)[1] is None


def test_ipv6_counted_by_network_mapped_by_host():
    """A machine of ipv6 counts by its network and a mapped one by its number."""
    book, options = admission(), Options.make(max_per_peer=1)
    assert book.admit("2001:db8::1", options)[1] is None
    assert "2001:db8::/64" in str(book.admit("2001:db8::2", options)[1])
    assert book.admit("2001:db8:0:1::1", options)[1] is None
    assert book.admit("10.0.0.1", options)[1] is None
    assert book.admit("::ffff:10.0.0.1", options)[1] is not None


def test_unix_sockets_not_counted():
    """Unix sockets have no address to be counted by."""
    book, options = admission(), Options.make(max_per_peer=1)
    assert [book.admit("unix", options) for _ in range(3)] == [("", None)] * 3


@pytest.mark.parametrize(
    ("allow", "deny", "peer", "is_let_in"),
    [
        (None, None, "10.1.2.3", True),
        ("10.0.0.0/8", None, "10.1.2.3", True),
        ("10.0.0.0/8", None, "11.1.2.3", False),
        ("10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", False),
        ("10.0.0.0/8", "10.1.0.0/16", "10.2.2.3", True),
        (None, "10.1.0.0/16", "10.1.2.3", False),
        (None, "10.1.0.0/16", "::1", True),
        ("::1", None, "::1", True),
        ("10.0.0.0/8,::1", None, "::2", False),
        ("10.0.0.0/8", None, "::ffff:10.1.2.3", True),
        ("fe80::/10", None, "fe80::1%lo", True),
        ("10.0.0.0/8", None, "unix", False),
        ("10.0.0.0/8,unix", None, "unix", True),
        (None, "unix", "unix", False),
        (None, "10.0.0.0/8", "unix", True),
        (None, "::ffff:127.0.0.1", "127.0.0.1", False),
        (None, "::ffff:127.0.0.1", "::ffff:127.0.0.1", False),
        (None, "::ffff:127.0.0.0/104", "127.1.2.3", False),
        (None, "::ffff:127.0.0.0/104", "128.0.0.1", True),
        ("::ffff:127.0.0.1", None, "127.0.0.1", True),
        ("::ffff:0:0/96", None, "10.0.0.1", True),
        ("::/0", None, "10.0.0.1", False),
    ],
)
def test_deny_wins_over_allow(allow, deny, peer, is_let_in):
    """What is denied is denied whatever is allowed."""
    options = Options.make(allow=allow, deny=deny)
    assert (admission().admit(peer, options)[1] is None) is is_let_in


@pytest.mark.parametrize("value", ["10.0.0.0/33", "10.0.0.1/8", "localhost", "", "10.0.0.0/8,,", 5, True, "fe80::1%lo"])
@pytest.mark.parametrize("name", ["allow", "deny", "accept_proxy"])
def test_what_is_no_network_is_refused(name, value):
    with pytest.raises(OptionError, match=rf"{name}: .* allowed is networks as"):
        Options.make({name: value})


def test_networks_have_one_spelling():
    assert Options.make(allow="::1, 10.0.0.0/8,10.0.0.0/8").allow == ("10.0.0.0/8", "::1/128")
    assert Options.make(allow=["unix", "0::1"]).allow == ("::1/128", "unix")


def test_rate_burst_then_even():
    """A rate lets one second's worth in at once and then evenly."""
    book = admission(accept_rate=4)
    for _ in range(4):
        assert book.delay(10.0) == 0
        book.enter(10.0)
    assert book.delay(10.0) == pytest.approx(0.25)
    assert "accept_rate" in str(book.overload(10.0))
    assert book.overload(10.25) is None
    book.enter(10.25)
    assert book.delay(10.25) == pytest.approx(0.25)
    assert book.delay(20) == 0


@given(st.integers(1, 50), st.lists(st.floats(0, 0.5), min_size=1, max_size=200))
def test_rate_at_most_twice_per_second(rate, steps):
    """No second sees more than twice the rate and on the whole it is kept."""
    book, now, entered = admission(accept_rate=rate), 0.0, []
    for step in steps:
        now += step
        if book.delay(now) == 0:
            book.enter(now)
            entered.append(now)
    for moment in entered:
        assert sum(moment <= other < moment + 1 for other in entered) <= 2 * rate
    assert len(entered) <= rate * (now + 1) + 1


def test_proxies_are_known_by_their_networks():
    assert is_proxy("127.0.0.1", ("127.0.0.0/8",))
    assert not is_proxy("128.0.0.1", ("127.0.0.0/8",))
    assert is_proxy("unix", ("unix",))
