"""An option that cannot act is refused with where it would, whatever verb it is given to and however."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from socketkit import Address, Options, connect, listen, pair, serve
from socketkit.config.options import check_addresses
from socketkit.errors import OptionError

VALUES = {
    "retry": 3,
    "send_proxy": "v1",
    "proxy": "socks5://h",
    "takeover": "/run/t",
    "mode": "600",
    "bind": "127.0.0.1",
    "device": "lo",
    "interface": "lo",
    "protocol": "icmp",
    "ca": "ca.pem",
    "cert": "c.pem",
    "key": "k.pem",
    "server_name": "h",
    "alpn": "h2",
    "pin": "sha256:" + "0" * 64,
    "framing": "lines",
    "engine": "poll",
    "allow": "10.0.0.0/8",
    "deny": "10.0.0.0/8",
    "accept_proxy": "10.0.0.0/8",
    "overload": "reject",
    "user_timeout": "2s",
    "idle_timeout": "2s",
    "reuse_address": True,
    "verify": False,
    "subprotocols": "chat.v1",
    "origin": "https://example.com",
    "origins": "https://example.com",
    "headers": "X-A: 1",
    "compression": "none",
}
VERBS = {
    "connect": connect,
    "listen": listen,
    "serve": lambda address, **options: serve(echo, address, **options),
}
PLACES = {
    "TCP": "tcp://127.0.0.1:1",
    "socket": "tcp://127.0.0.1:1",
    "accepting": "tcp://127.0.0.1:1",
    "UNIX": "unix:///s",
    "datagram": "udp://127.0.0.1:1",
    "stream": "unix:///s",
    "internet": "udp://127.0.0.1:1",
    "internet datagram": "udp://127.0.0.1:1",
    "raw": "ip://127.0.0.1",
    "IPv6": "tcp://127.0.0.1:1",
    "connection": "unixpacket:///s",
    "WebSocket": "ws://127.0.0.1:1",
}


async def echo(connection):
    async for message in connection:
        await connection.send(message)


def other_value(name):
    """A value that is not the default."""
    default = Options.fields[name].default
    if name in VALUES:
        return VALUES[name]
    if isinstance(default, bool):
        return not default
    return 2 if default is None else default + 1


def scope_of(name):
    return Options.fields[name].facts["scope"]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("name", Options.fields)
def test_every_option_on_every_verb(name, verb):
    """As a keyword, and in the address; what acts is taken, what does not is refused."""
    scope, value = scope_of(name), other_value(name)
    address = PLACES[scope.medium or "TCP"]
    with_option = Address.parse(address).replace(options={name: value})
    others = {"key": {"cert": "c.pem"}, "require_client_cert": {"ca": "ca.pem"}}.get(name, {})
    for call in (
        lambda: VERBS[verb](address, **{name: value}, **others),
        lambda: VERBS[verb](with_option, **others),
    ):
        if verb in scope.verbs:
            call()
        else:
            with pytest.raises(OptionError, match=f"^{name}: it has no effect on {verb}; it acts on "):
                call()


@pytest.mark.parametrize("name", Options.fields)
def test_every_option_on_pair(name):
    if "pair" in scope_of(name).verbs:
        pair(**{name: other_value(name)})
    else:
        with pytest.raises(OptionError, match=f"^{name}: it has no effect on pair; it acts on "):
            pair(**{name: other_value(name)})


@pytest.mark.parametrize("name", Options.fields)
@pytest.mark.parametrize("verb", VERBS)
def test_default_value_is_let_through(name, verb):
    """It changes nothing, so that a program may pass all of its settings on."""
    VERBS[verb]("tcp://127.0.0.1:1", **{name: Options.fields[name].default})


@pytest.mark.parametrize(
    ("name", "address", "told"),
    [
        ("nodelay", "unix:///s", "nodelay: it has no effect at unix:; it acts at TCP, as tcp:// and tls://"),
        ("nodelay", "udp://127.0.0.1:1", "nodelay: it has no effect at udp:; it acts at TCP, as tcp:// and tls://"),
        ("mode", "tcp://:1", "mode: it has no effect at tcp:; it acts at UNIX sockets that are files, as unix:///path"),
        (
            "broadcast",
            "tcp://:1",
            "broadcast: it has no effect at tcp:; it acts at UDP and raw sockets, as udp:// and ip://",
        ),
        (
            "ttl",
            "unixgram:///s",
            "ttl: it has no effect at unixgram:; it acts at internet addresses, as tcp:// and udp://",
        ),
        (
            "v6only",
            "unix:///s",
            "v6only: it has no effect at unix:; it acts at TCP over IPv6, as tcp:// and tcp6://",
        ),
        (
            "v6only",
            "udp://:1",
            "v6only: it has no effect at udp:; it acts at TCP over IPv6, as tcp:// and tcp6://",
        ),
        (
            "v6only",
            "tcp4://:1",
            "v6only: it has no effect at tcp4:; it acts at TCP over IPv6, as tcp:// and tcp6://",
        ),
        (
            "multicast_loop",
            "unixgram:///s",
            "multicast_loop: it has no effect at unixgram:; it acts at UDP and raw sockets, as udp:// and ip://",
        ),
        (
            "interface",
            "unixgram:///s",
            "interface: it has no effect at unixgram:; it acts at UDP and raw sockets, as udp:// and ip://",
        ),
        (
            "protocol",
            "udp://:1",
            "protocol: it has no effect at udp:; it acts at raw and ping sockets, as ip://host",
        ),
        (
            "accept_proxy",
            "udp://:1",
            "accept_proxy: it has no effect at udp:; it acts at streams, as tcp:// and unix://",
        ),
        (
            "accept_proxy",
            "unixpacket:///s",
            "accept_proxy: it has no effect at unixpacket:; it acts at streams, as tcp:// and unix://",
        ),
        (
            "reuse_port",
            "unix:///s",
            "reuse_port: it has no effect at unix:; it acts at internet addresses, as tcp:// and udp://",
        ),
        (
            "backlog",
            "udp://:1",
            "backlog: it has no effect at udp:; it acts at connections, as tcp:// and unixpacket://",
        ),
        (
            "handshake_timeout",
            "udp://:1",
            "handshake_timeout: it has no effect at udp:; it acts at streams, as tcp:// and unix://",
        ),
        (
            "mode",
            "unix://@s",
            "mode: it has no effect at unix://@; it acts at UNIX sockets that are files, as unix:///path",
        ),
        (
            "max_per_peer",
            "unix:///s",
            "max_per_peer: it has no effect at unix:; it acts at internet addresses, as tcp:// and udp://, "
            "or beside accept_proxy",
        ),
        (
            "max_per_peer",
            "vsock://1:1",
            "max_per_peer: it has no effect at vsock:; it acts at internet addresses, as tcp:// and udp://, "
            "or beside accept_proxy",
        ),
        (
            "send_buffer",
            "exec:cat",
            "send_buffer: it has no effect at exec:; it acts at sockets, as tcp:// and unix://",
        ),
        ("nodelay", "exec:cat", "nodelay: it has no effect at exec:; it acts at TCP, as tcp:// and tls://"),
        (
            "mode",
            "exec:cat",
            "mode: it has no effect at exec:; it acts at UNIX sockets that are files, as unix:///path",
        ),
        ("ca", "udp://:1", "ca: it has no effect at udp:; it acts at streams, as tcp:// and unix://"),
    ],
)
def test_option_of_another_medium(name, address, told):
    for call in (
        lambda: listen(address, **{name: other_value(name)}),
        lambda: listen(Address.parse(address).replace(options={name: other_value(name)})),
    ):
        with pytest.raises(OptionError) as caught:
            call()
        assert str(caught.value) == told


@pytest.mark.parametrize("address", ["fd://3", "systemd:", "stdio:"])
def test_opened_elsewhere_takes_any_medium(address):
    """Only the system knows what a descriptor is."""
    for name in ("nodelay", "mode", "broadcast", "ca", "send_buffer", "max_per_peer"):
        check_addresses({name: other_value(name)}, [Address.parse(address)])


@pytest.mark.parametrize("name", Options.fields)
def test_child_has_no_socket(name):
    """`exec:` is two pipes: what acts at every stream acts there too, and options of sockets are refused."""
    acts = scope_of(name).medium in ("", "stream")
    try:
        check_addresses({name: other_value(name)}, [Address.parse("exec:cat")])
    except OptionError as error:
        assert not acts and f"{name}: it has no effect at exec:; it acts at " in str(error)
    else:
        assert acts


@pytest.mark.parametrize("name", ["backlog", "max_connections", "accept_rate", "overload"])
def test_standard_input_is_one_connection(name):
    with pytest.raises(OptionError, match=f"^{name}: it has no effect at stdio:; it acts at "):
        serve(echo, "stdio:", **{name: other_value(name)})
    serve(echo, "stdio:", "tcp://127.0.0.1:1", **{name: other_value(name)})


def test_peers_of_a_unix_socket_behind_a_proxy():
    """Its peers have an address where a PROXY header tells it: then `max_per_peer` acts."""
    address = Address.parse("unix:///s?max_per_peer=2")
    with pytest.raises(OptionError, match="max_per_peer: it has no effect at unix:"):
        serve(echo, address)
    with pytest.raises(OptionError, match="max_per_peer: it has no effect at unix:"):
        serve(echo, address, accept_proxy="none")
    serve(echo, address, accept_proxy="unix")
    serve(echo, "unix:///s?accept_proxy=unix", max_per_peer=2)
    serve(echo, "tcp://127.0.0.1:1", "unix:///s", max_per_peer=2)


def test_keyword_acts_at_one_address():
    """One keyword for a TCP and a UNIX address acts where it can."""
    serve(echo, "tcp://:1", "unix:///s", nodelay=False, mode="600")
    with pytest.raises(OptionError, match="broadcast: it has no effect at tcp: and unix:; it acts at UDP and raw"):
        serve(echo, "tcp://:1", "unix:///s", broadcast=True)


@pytest.mark.parametrize("name", ["max_connections", "accept_rate", "overload", "grace", "engine", "takeover"])
def test_option_of_the_whole_server(name):
    """A later address cannot have its own; the same as the first is no contradiction."""
    first = Address.parse("tcp://127.0.0.1:1")
    later = Address.parse("tcp://127.0.0.1:2").replace(options={name: other_value(name)})
    with pytest.raises(
        OptionError, match=f"^{name}: it is for the whole server; give it as a keyword, or on the first"
    ):
        serve(echo, first, later)
    serve(echo, first.replace(options=later.options), later)
    serve(echo, first, later, **{name: other_value(name)})
    serve(echo, later, first)


@pytest.mark.parametrize("address", ["udp://127.0.0.1:1", "unixgram:///s", "unixpacket:///s"])
def test_proxy_header_is_for_streams(address):
    """The PROXY protocol begins a stream: at datagrams it is refused before anything is opened."""
    with pytest.raises(OptionError, match=r"send_proxy: it has no effect at .*; it acts at streams"):
        connect(address, send_proxy="v2")


def test_datagram_address_has_own_max_connections():
    serve(echo, "tcp://127.0.0.1:1", "udp://127.0.0.1:1?max_connections=5")


def test_several_that_cannot_act():
    with pytest.raises(OptionError, match="backlog: it has no effect on connect; it acts on serve and listen"):
        connect("tcp://h:1?backlog=5&mode=600&self_signed=yes")


@pytest.mark.parametrize(
    "words",
    [
        ["echo", "tcp://127.0.0.1:0?retry=3"],
        ["connect", "tcp://127.0.0.1:1?backlog=3"],
        ["listen", "tcp://127.0.0.1:0?send_proxy=v1"],
        ["wait", "tcp://127.0.0.1:1?backlog=3", "--for", "0"],
        ["relay", "tcp://127.0.0.1:0", "tcp://127.0.0.1:1?backlog=3"],
        ["relay", "tcp://127.0.0.1:0?retry=3", "tcp://127.0.0.1:1"],
        ["chat", "host", "tcp://127.0.0.1:0?retry=3"],
        ["chat", "join", "tcp://127.0.0.1:1?backlog=3"],
    ],
    ids=" ".join,
)
def test_option_on_every_command(words):
    """The command refuses it with one line and the status of a wrong use."""
    done = subprocess.run(
        [sys.executable, "-m", "socketkit", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 2, done
    assert re.search("(retry|backlog|send_proxy): it has no effect on (serve|connect|listen); it acts on", done.stderr)
    assert done.stderr.count("\n") <= 1


def test_client_option_of_another_medium():
    with pytest.raises(OptionError, match=r"^bind: it has no effect at unix:; it acts at internet addresses"):
        connect("unix:///s", bind="127.0.0.1")
