"""Addresses: one spelling for each meaning, inverse reading and writing, and refusals that show the way."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from pathlib import Path

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from socketkit.config.address import Address
from socketkit.config.host import host_family, normal_host, unmapped
from socketkit.config.options import Options
from socketkit.config.schemes import find_scheme, is_bare, scheme_names
from socketkit.errors import AddressError, OptionError, SocketkitError
from socketkit.values import replace

CANONICAL = [
    ("tcp://localhost:50000", "tcp://localhost:50000"),
    ("TCP://LOCALHOST:50000", "tcp://localhost:50000"),
    ("tcp4://localhost:0", "tcp4://localhost:0"),
    ("tcp6://localhost:65535", "tcp6://localhost:65535"),
    ("tcp://localhost:00080", "tcp://localhost:80"),
    ("tcp://:5000", "tcp://:5000"),
    ("tcp://{hostname}:5000", "tcp://{hostname}:5000"),
    ("{HostName}:5000", "tcp://{hostname}:5000"),
    ("tcp://example.com.:1", "tcp://example.com.:1"),
    ("tcp://_service.my-host.example:1", "tcp://_service.my-host.example:1"),
    ("tcp://Пример.РФ:80", "tcp://пример.рф:80"),
    ("tcp://%D0%BF.%D1%80%D1%84:80", "tcp://п.рф:80"),
    ("tcp://straße.de:80", "tcp://straße.de:80"),
    ("tcp://пример。рф:80", "tcp://пример.рф:80"),
    ("tcp://１２７.0.0.1:80", "tcp://127.0.0.1:80"),
    ("tcp://127.0.0.1:80", "tcp://127.0.0.1:80"),
    ("tcp://[::1]:80", "tcp://[::1]:80"),
    ("tcp://[0:0:0:0:0:0:0:1]:80", "tcp://[::1]:80"),
    ("tcp://[2001:DB8::0:7]:80", "tcp://[2001:db8::7]:80"),
    ("tcp://[::ffff:7f00:1]:80", "tcp://[::ffff:127.0.0.1]:80"),
    ("tcp://[64:ff9b::192.0.2.1]:80", "tcp://[64:ff9b::c000:201]:80"),
    ("tcp://[fe80::1%eth0]:80", "tcp://[fe80::1%eth0]:80"),
    ("tcp://[fe80::1%25eth0]:80", "tcp://[fe80::1%eth0]:80"),
    ("tcp://[fe80::1%2]:80", "tcp://[fe80::1%2]:80"),
    ("tcp://[fe80::1%25]:80", "tcp://[fe80::1%2525]:80"),
    ("tcp://[fe80::1%251]:80", "tcp://[fe80::1%1]:80"),
    # short forms
    ("localhost:5000", "tcp://localhost:5000"),
    (":5000", "tcp://:5000"),
    ("[::1]:5000", "tcp://[::1]:5000"),
    ("10.0.0.1:5000?nodelay=0", "tcp://10.0.0.1:5000?nodelay=no"),
    ("tls:443", "tcp://tls:443"),
    ("/run/echo.sock", "unix:///run/echo.sock"),
    ("./echo.sock", "unix:echo.sock"),
    ("../echo.sock", "unix:../echo.sock"),
    ("@echo", "unix://@echo"),
    ("/run/echo.sock?mode=0600", "unix:///run/echo.sock?mode=600"),
    # paths
    ("unix:///run/echo.sock", "unix:///run/echo.sock"),
    ("unix:/run/echo.sock", "unix:///run/echo.sock"),
    ("UNIX:/Run", "unix:///Run"),
    ("unix:echo.sock", "unix:echo.sock"),
    ("unix:./echo.sock", "unix:echo.sock"),
    ("unix:././/echo.sock", "unix:echo.sock"),
    ("unix:a/../b", "unix:a/../b"),
    ("unix://@echo", "unix://@echo"),
    ("unix:@echo", "unix://@echo"),
    ("unix:./@echo", "unix:./@echo"),
    ("unix:%40echo", "unix:./@echo"),
    ("unix:////run/echo", "unix:////run/echo"),
    ("unix://unnamed", "unix://unnamed"),
    ("unix:unnamed", "unix:unnamed"),
    ("unix:/a b", "unix:///a%20b"),
    ("unix:/a%20b%3Fc%23d%25", "unix:///a%20b%3Fc%23d%25"),
    ("unix:/%61%2d%7E", "unix:///a-~"),
    ("unix:/чат.sock", "unix:///чат.sock"),
    ("unix:/%d1%87", "unix:///ч"),
    ("unix:/%FF%fe", "unix:///%FF%FE"),
    ("unix:/\udcff", "unix:///%FF"),
    ("unix:/a%0Ab", "unix:///a%0Ab"),
    ("unix:/a\u202eb", "unix:///a%E2%80%AEb"),
    ("@a%00b", "unix://@a%00b"),
    ("unix:tcp://x:1", "unix:tcp://x:1"),
    # virtual machines
    ("vsock://2:5000", "vsock://2:5000"),
    ("VSOCK://host:5000", "vsock://2:5000"),
    ("vsock://local:4294967294", "vsock://1:4294967294"),
    ("vsock://:0", "vsock://:0"),
    ("vsock://003:05?connect_timeout=2s", "vsock://3:5?connect_timeout=2s"),
    # what is there already
    ("fd://3", "fd://3"),
    ("fd://003?framing=lines", "fd://3?framing=lines"),
    ("systemd:", "systemd:"),
    ("systemd://", "systemd:"),
    ("systemd:web.socket", "systemd:web.socket"),
    ("stdio:", "stdio:"),
    ("-", "stdio:"),
    ("-?framing=lines", "stdio:?framing=lines"),
    # commands
    ("exec:cat", "exec:cat"),
    ("EXEC:cat -n", "exec:cat -n"),
    ("exec:sh -c 'cat; exit 7'", "exec:sh -c 'cat; exit 7'"),
    ("exec:date +%s", "exec:date +%25s"),
    ("exec:printf %41", "exec:printf A"),
    ("exec:sh -c 'exit $?'", "exec:sh -c 'exit $%3F'"),
    ("exec:sed s#a#b#", "exec:sed s#a#b#"),
    ("exec:ls *.?", "exec:ls *.%3F"),
    ("exec:cat?framing=lines&nodelay=off", "exec:cat?framing=lines&nodelay=no"),
    ("exec:cat%3Fframing=lines", "exec:cat%3Fframing=lines"),
    ("exec:printf 'a%0A%FF'", "exec:printf 'a%0A%FF'"),
    ("exec:эхо привет", "exec:эхо привет"),
    # options
    ("tcp://h:1?nodelay=off&connect_timeout=2000ms", "tcp://h:1?connect_timeout=2s&nodelay=no"),
    ("tcp://h:1?connect_timeout=NONE", "tcp://h:1?connect_timeout=none"),
    ("tcp://h:1?high_water=65536", "tcp://h:1?high_water=64KiB"),
    ("tcp://h:1?framing=lines:max_size=64KiB,oversize=skip", "tcp://h:1?framing=lines:max_size=64KiB,oversize=skip"),
    ("tcp://h:1?framing=delimited:%00", "tcp://h:1?framing=delimited:%00"),
    ("tcp://h:1?framing=a+b%26c%3Fd?e", "tcp://h:1?framing=a%2Bb%26c%3Fd%3Fe"),
    ("tcp://h:1?%6Eodelay=%79es", "tcp://h:1?nodelay=yes"),
]


@pytest.mark.parametrize(("text", "canonical"), CANONICAL)
def test_canonical_form_is_unique(text: str, canonical: str) -> None:
    """Every way of writing has one canonical form."""
    address = Address.parse(text)
    assert str(address) == canonical
    assert Address.parse(canonical) == address
    assert hash(Address.parse(canonical)) == hash(address)
    assert replace(address) == address


def test_the_parts_of_an_address() -> None:
    assert Address.parse("tcp://Host:80?nodelay=on") == Address("tcp", "host", 80, "", (("nodelay", "yes"),))
    assert Address.parse("tcp://[fe80::1%25eth0]:80") == Address("tcp", "fe80::1%eth0", 80)
    assert Address.parse("unix:/a%20b") == Address("unix", path="/a b")
    assert Address.parse("@name") == Address("unix", path="@name")


def test_distinct_addresses_differ() -> None:
    """Addresses of different meaning differ."""
    texts = {canonical for _, canonical in CANONICAL}
    assert len({Address.parse(text) for text in texts}) == len(texts)


def test_an_address_is_given_back_as_it_is() -> None:
    address = Address.parse(":5000")
    assert Address.parse(address) is address


def test_default_scheme_of_short_forms() -> None:
    """The default scheme is that of short forms alone."""
    assert str(Address.parse("h:1", default_scheme="tcp6")) == "tcp6://h:1"
    assert str(Address.parse("tcp://h:1", default_scheme="tcp6")) == "tcp://h:1"
    assert str(Address.parse("/p", default_scheme="tcp6")) == "unix:///p"
    assert str(Address.parse("p", default_scheme="unix")) == "unix:p"
    assert str(Address.parse("/p", default_scheme="unix")) == "unix:///p"
    assert str(Address.parse("@p", default_scheme="unix")) == "unix://@p"


def test_address_options_parse() -> None:
    """The options of an address are read by options."""
    address = Address.parse("tcp://h:1?connect_timeout=none&nodelay=off&backlog=7")
    options = Options.make(dict(address.options))
    assert (options.connect_timeout, options.nodelay, options.backlog) == (None, False, 7)


ports = st.integers(min_value=0, max_value=65535)
labels = st.from_regex(r"[a-z0-9_]([a-z0-9_-]{0,8}[a-z0-9_])?", fullmatch=True)
names = st.lists(labels, min_size=1, max_size=4).filter(lambda name: name[-1][0] not in "0123456789").map(".".join)
zones = st.just("") | st.from_regex(r"%[0-9A-Za-z._~+-]{1,15}", fullmatch=True)
numbers6 = st.ip_addresses(v=6).map(str)
hosts = st.just("") | names | st.ip_addresses(v=4).map(str) | st.builds(str.__add__, numbers6, zones)
file_names = st.text(st.characters(exclude_characters="\0"), min_size=1, max_size=20) | st.binary(
    min_size=1, max_size=40
).map(lambda raw: raw.replace(b"\0", b"x").decode("utf-8", "surrogateescape"))
options = st.fixed_dictionaries(
    {},
    optional={
        "connect_timeout": st.none() | st.floats(min_value=0, max_value=1e6),
        "high_water": st.integers(min_value=0, max_value=2**40),
        "nodelay": st.booleans(),
        "mode": st.integers(min_value=0, max_value=0o777),
        "framing": st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=10),
    },
)


def assert_inverse(address: Address) -> None:
    text = str(address)
    assert text.isprintable()
    assert Address.parse(text) == address
    assert str(Address.parse(text)) == text


@given(hosts, ports, options)
def test_host_port_round_trip(host: str, port: int, settings: dict[str, object]) -> None:
    """Reading and writing host and port are inverse."""
    assert_inverse(Address("tcp", host, port, options=settings))  # type: ignore[arg-type]


@given(st.sampled_from(["", "/", "./", "../", "@", "a"]), file_names)
def test_path_round_trip(start: str, name: str) -> None:
    """Reading and writing a path are inverse."""
    try:
        address = Address("unix", path=start + name)
    except AddressError as error:
        assert any(reason in str(error) for reason in ("allowed are 107", "is half a character", "no name after '@'"))
        return
    assert_inverse(address)


@given(st.just("") | st.integers(min_value=0, max_value=2**32 - 2).map(str), st.integers(0, 2**32 - 2), options)
def test_vsock_round_trip(cid: str, port: int, settings: dict[str, object]) -> None:
    """Reading and writing a context and its port are inverse."""
    assert_inverse(Address("vsock", cid, port, options=settings))  # type: ignore[arg-type]


@given(st.integers(0, 999_999_999), st.text("abc-._0?#&=%", max_size=12), options)
def test_descriptor_round_trip(number: int, name: str, settings: dict[str, object]) -> None:
    """Reading and writing descriptors and names are inverse."""
    assert_inverse(Address("fd", path=str(number), options=settings))  # type: ignore[arg-type]
    assert_inverse(Address("systemd", path=name, options=settings))  # type: ignore[arg-type]
    assert_inverse(Address("stdio", options=settings))  # type: ignore[arg-type]


@given(st.text(" ab'\"\\\\?&=%#41$*é\n\udcff", min_size=1, max_size=20) | st.text(min_size=1, max_size=20), options)
@example("a?b=c", {})
@example("%41%", {"nodelay": False})
def test_command_round_trip(command: str, settings: dict[str, object]) -> None:
    """Reading and writing a command are inverse."""
    try:
        address = Address("exec", path=command, options=settings)  # type: ignore[arg-type]
    except AddressError as error:
        assert str(error).isprintable()
        return
    assert_inverse(address)


@given(st.text(max_size=12))
@example("İ.de")
@example("ẞ.de")
@example("ｈ．ｄｅ")
def test_host_normal_form_is_fixed_point(host: str) -> None:
    """A host in its normal spelling stays so or is refused."""
    try:
        normal = normal_host(host)
    except AddressError:
        return
    assert normal_host(normal) == normal


@given(numbers6)
def test_ipv6_text_matches_ipaddress(text: str) -> None:
    """Ipv6 is written as the standard library writes it."""
    number = ipaddress.IPv6Address(text)
    expected = f"::ffff:{number.ipv4_mapped}" if number.ipv4_mapped else str(number)
    assert normal_host(text) == normal_host(number.exploded.upper()) == expected


@given(
    st.from_regex(r"[0-9a-f:.]{1,20}", fullmatch=True)
    | st.from_regex(r"([0-9a-f]{0,4}:){1,8}[0-9a-f.]{0,9}", fullmatch=True)
)
@example("1::2:3:4:5:6:7")
@example("1:2:3:4:5:6:7::")
@example("1:2:3:4:5:6:7:8::")
@example("1:2:3:4:5:6:1.2.3.4")
@example("::1.2.3.04")
@example(":1:2:3:4:5:6:7")
@example(":::1")
def test_ipv6_accepted_as_the_system_does(text: str) -> None:
    """Ipv6 is what the system takes for ipv6."""
    assume(":" in text)
    try:
        packed = socket.inet_pton(socket.AF_INET6, text)
    except OSError:
        with pytest.raises(AddressError):
            normal_host(text)
    else:
        assert socket.inet_pton(socket.AF_INET6, normal_host(text)) == packed


@given(st.text(max_size=30) | st.from_regex(r"\A(tcp|unix|[a-z]{1,3})?:?(//)?[\[\]:/@%?=&#a-z0-9]{0,20}\Z"))
def test_any_text_parses_or_address_error(text: str) -> None:
    """Any text is an address that reads back or an address error of one line."""
    try:
        address = Address.parse(text)
    except AddressError as error:
        assert str(error).isprintable()
        return
    assert_inverse(address)


def test_address_properties() -> None:
    """An address reports what kind of place it is."""
    numeric = {text: Address.parse(text).is_numeric_host for text in ("1.2.3.4:1", "[::1%lo]:1", "h:1", ":1", "@p")}
    assert numeric == {"1.2.3.4:1": True, "[::1%lo]:1": True, "h:1": False, ":1": False, "@p": False}
    file, abstract, unnamed, tcp = map(Address.parse, ("/p", "@p", "unix://unnamed", "h:1"))
    assert [place.is_local_path for place in (file, abstract, unnamed, tcp)] == [True, False, False, False]
    assert [place.is_abstract for place in (file, abstract, unnamed, tcp)] == [False, True, False, False]
    assert [place.is_placeholder_host for place in (Address.parse("{hostname}:1"), tcp)] == [True, False]
    assert tcp.transport == find_scheme("tcp")
    assert (tcp.transport.families, tcp.transport.kind) == (("AF_INET", "AF_INET6"), "SOCK_STREAM")
    assert file.transport.families == ("AF_UNIX",)


def test_a_socket_path_is_what_bind_takes() -> None:
    assert Address.parse("/%FFч").socket_path == b"/\xff\xd1\x87"
    assert Address.parse("@n%00%FF").socket_path == b"\0n\0\xff"
    assert Address.parse("unix:./@n").socket_path == b"./@n"
    assert Address.parse("unix://unnamed").socket_path == b""


def test_replace_validates() -> None:
    """An address changes by making another that is checked."""
    address = Address.parse("tcp://h:0?nodelay=no")
    assert str(address.with_port(80)) == "tcp://h:80?nodelay=no"
    assert str(address.without_options()) == "tcp://h:0"
    assert str(address.replace(host="0::1", options={"backlog": 5})) == "tcp://[::1]:0?backlog=5"
    plain = address.without_options()
    assert plain.without_options() is plain
    for changes in (
        {"port": 65536},
        {"port": None},
        {"port": True},
        {"host": "a b"},
        {"path": "/p"},
        {"scheme": "tpc"},
    ):
        with pytest.raises(AddressError):
            address.replace(**changes)
    with pytest.raises(AddressError, match="unix has neither host nor port, but here is 80"):
        Address.parse("/p").with_port(80)
    with pytest.raises(AddressError, match="unix has neither host nor port, but here is 'h'"):
        Address("unix", host="h", path="/p")


def test_an_address_is_frozen_and_hashable() -> None:
    address = Address.parse("h:1")
    with pytest.raises(AttributeError):
        address.port = 2  # type: ignore[misc]
    assert not hasattr(address, "__dict__")
    assert {address: 1}[Address.parse("tcp://H:1")] == 1


@pytest.mark.parametrize(
    ("family", "name", "text"),
    [
        (socket.AF_INET, ("127.0.0.1", 43711), "tcp://127.0.0.1:43711"),
        (socket.AF_INET, ("0.0.0.0", 5000), "tcp://0.0.0.0:5000"),
        (socket.AF_INET6, ("::1", 5000, 0, 0), "tcp://[::1]:5000"),
        (socket.AF_INET6, ("::", 5000, 0, 0), "tcp://[::]:5000"),
        (socket.AF_INET6, ("fe80::1", 5000, 0, 2), "tcp://[fe80::1%2]:5000"),
        (socket.AF_INET6, ("fe80::1%eth0", 5000, 0, 2), "tcp://[fe80::1%eth0]:5000"),
        (socket.AF_INET6, ("::ffff:10.0.0.1", 5000, 0, 0), "tcp://10.0.0.1:5000"),
        (socket.AF_INET6, ("::1.2.3.4", 5000, 0, 0), "tcp://[::102:304]:5000"),
        (socket.AF_UNIX, "/run/echo.sock", "unix:///run/echo.sock"),
        (socket.AF_UNIX, "./echo.sock", "unix:echo.sock"),
        (socket.AF_UNIX, "@file", "unix:./@file"),
        (socket.AF_UNIX, "/\udcff", "unix:///%FF"),
        (socket.AF_UNIX, b"/\xff", "unix:///%FF"),
        (socket.AF_UNIX, b"\0name", "unix://@name"),
        (socket.AF_UNIX, b"\0\xff\0", "unix://@%FF%00"),
        (socket.AF_UNIX, b"\0", "unix://unnamed"),
        (socket.AF_UNIX, "", "unix://unnamed"),
        (socket.AF_UNIX, b"", "unix://unnamed"),
        (socket.AF_UNIX, None, "unix://unnamed"),
    ],
)
def test_socket_name_round_trip(family: socket.AddressFamily, name: object, text: str) -> None:
    """A socket name becomes an address that reads back."""
    address = Address.from_socket_name(family, socket.SOCK_STREAM, name)
    assert str(address) == text
    assert Address.parse(text) == address
    # gevent's sockets have plain numbers for `family` and `type`.
    assert Address.from_socket_name(int(family), int(socket.SOCK_STREAM), name) == address


def test_the_names_of_real_sockets(tmp_path: Path) -> None:
    def name_of(family: socket.AddressFamily, place: object) -> str:
        with socket.socket(family) as opened:
            opened.bind(place)  # type: ignore[arg-type]
            address = Address.from_socket_name(opened.family, opened.type, opened.getsockname())
            assert Address.parse(str(address)) == address
            return str(address.with_port(1) if address.port else address)

    assert name_of(socket.AF_INET, ("127.0.0.1", 0)) == "tcp://127.0.0.1:1"
    with contextlib.suppress(OSError):  # a machine without IPv6
        assert name_of(socket.AF_INET6, ("::1", 0)) == "tcp://[::1]:1"
    assert name_of(socket.AF_UNIX, f"{tmp_path}/s") == f"unix://{tmp_path}/s"
    assert name_of(socket.AF_UNIX, b"\0socketkit-address-test") == "unix://@socketkit-address-test"
    left, right = socket.socketpair()
    with left, right:
        assert str(Address.from_socket_name(left.family, left.type, left.getpeername())) == "unix://unnamed"


def test_unix_path_limit_is_107_bytes(tmp_path: Path) -> None:
    """A path of 107 bytes is the longest that the system takes."""
    longest = f"{tmp_path}/".ljust(107, "x")
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(Address("unix", path=longest).socket_path)
        with pytest.raises(OSError, match="too long"):
            opened.bind(longest + "x")
    abstract = "@".ljust(108, "x")
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(Address("unix", path=abstract).socket_path)
    for path in (longest + "x", abstract + "x", "/" + "ч" * 54):
        with pytest.raises(AddressError, match=r"has 10[89] bytes; allowed are 107"):
            Address("unix", path=path)


def test_unnamed_socket_kind_is_reported() -> None:
    """A socket that no scheme names is said so."""
    with pytest.raises(AddressError, match="no scheme is for a socket of AF_INET and SOCK_RDM; there are tcp"):
        Address.from_socket_name(socket.AF_INET, socket.SOCK_RDM, ("127.0.0.1", 0))


def test_host_family_of_numeric_hosts() -> None:
    """The family of a host is known only of numbers."""
    assert [host_family(host) for host in ("1.2.3.4", "::1", "fe80::1%eth0", "localhost", "", "{hostname}")] == [
        "AF_INET",
        "AF_INET6",
        "AF_INET6",
        "",
        "",
        "",
    ]


def test_only_ipv4_inside_ipv6_is_unwrapped() -> None:
    assert unmapped("::ffff:10.0.0.1") == "10.0.0.1"
    assert unmapped("::1") == "::1"
    assert unmapped("::ffff:1:2") == "::ffff:1:2"


def test_dns_name_limits() -> None:
    """Names have 253 characters at most and their labels 63."""
    label = "a" * 63
    name = ".".join([label, label, label, "a" * 61])
    assert len(name) == 253
    assert normal_host(name) == name
    assert normal_host(name + ".") == name + "."
    with pytest.raises(AddressError, match="has 254 characters; allowed are 253"):
        normal_host(name + "a")
    with pytest.raises(AddressError, match="has 64 characters; allowed are 63"):
        normal_host("a" * 64)


def test_schemes_are_a_table() -> None:
    assert set(scheme_names()) >= {"tcp", "tcp4", "tcp6", "unix"}
    for name in scheme_names():
        scheme = find_scheme(name)
        assert scheme.name == name
        constants = (*scheme.families, scheme.kind) if scheme.families else ()  # else no socket of ours
        assert all(hasattr(socket, constant) for constant in constants)
    assert (is_bare("tcp"), is_bare("unix"), is_bare("nosuch")) == (False, True, None)


SPEAKS = ", ".join(scheme_names())
HOST = (
    "allowed are letters, digits, '-', '_', a number of IPv4, or of IPv6 in brackets, "
    "{hostname}, or nothing for every interface"
)
ALONE = "allowed is host:port alone"
BRACKET = "allowed is [IPv6]:port"
NO_PORT = "has no port; allowed is host:port, with a port from 0 to 65535"
PORT = "is not a port; allowed is a number from 0 to 65535"
NO_PATH = "there is no path; allowed is unix:///path, unix:path or unix://@name"
ESCAPE = "is not an escape; allowed is % and two hexadecimal digits, and % itself as %25"
PAIR = "is not an option with its value; allowed is name=value, joined by '&'"
IPV4 = "is not an IPv4 address; allowed are four numbers from 0 to 255, as 127.0.0.1"
IPV6 = "is not an IPv6 address; allowed is a number as ::1, fe80::1%eth0 or 2001:db8::7"
VSOCK_PORT = "is not a port; allowed is a number from 0 to 4294967294"
CONTEXT = "allowed is a number, hypervisor, local, host, or nothing for every context"
DESCRIPTOR = "is not a number; allowed is that of an open one, as fd://3"
NAME = "is not the name of a socket; allowed is a name of FileDescriptorName=, or nothing for all that were passed"
ZONE = "is not a zone of an IPv6 address; allowed is an interface as eth0, or its number"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        # schemes
        ("tpc://h:1", f"unknown scheme 'tpc' (did you mean tcp://?); allowed are {SPEAKS}"),
        ("zebra://h:1", f"unknown scheme 'zebra'; allowed are {SPEAKS}"),
        ("unx:/p", f"unknown scheme 'unx' (did you mean unix://?); allowed are {SPEAKS}"),
        ("tcp:h:1", "'tcp:' is not followed by '//'; did you mean 'tcp://h:1'?"),
        ("tcp:/h:1", "'tcp:' is not followed by '//'; did you mean 'tcp://h:1'?"),
        # host and port
        ("5000", "'5000' has no colon; did you mean ':5000', every interface?"),
        ("h 80", "'h 80' contains a space; did you mean 'h:80'?"),
        ("host port", "'host port' contains a space; did you mean 'host:port'?"),
        (" tcp://h:80", "it begins with a space; did you mean 'tcp://h:80'?"),
        ("tcp://h: 80", "'h: 80' contains a space; did you mean 'h:80'?"),
        ("tcp://h:80 ", f"port '80 ' {PORT}"),
        ("h", f"'h' {NO_PORT}"),
        ("tcp://h", f"'h' {NO_PORT}"),
        ("tcp://h:", f"'h:' {NO_PORT}"),
        ("tcp://", f"'' {NO_PORT}"),
        ("tcp://h:65536", f"port '65536' {PORT}"),
        ("tcp://h:-1", f"port '-1' {PORT}"),
        ("tcp://h:8o", f"port '8o' {PORT}"),
        ("tcp://h:+80", f"port '+80' {PORT}"),
        ("tcp://h:1_000", f"port '1_000' {PORT}"),
        ("tcp://h:8٠", f"port '8٠' {PORT}"),
        ("tcp://h:http", f"port 'http' {PORT}"),
        ("tcp://h:000080", f"port '000080' {PORT}"),
        ("tcp://[::1:80", f"unbalanced bracket in '[::1:80'; {BRACKET}"),
        ("tcp://::1]:80", f"unbalanced bracket in '::1]:80'; {BRACKET}"),
        ("tcp://[[::1]:80", f"unbalanced bracket in '[[::1]:80'; {BRACKET}"),
        ("tcp://[::1]]:80", f"unbalanced bracket in '[::1]]:80'; {BRACKET}"),
        ("tcp://[::1]", f"'[::1]' has no port; {BRACKET}, with a port from 0 to 65535"),
        ("tcp://[::1]:", f"'[::1]:' has no port; {BRACKET}, with a port from 0 to 65535"),
        ("tcp://[::1]80", f"'[::1]80' has no port; {BRACKET}, with a port from 0 to 65535"),
        ("tcp://[h]:80", "'h' is not an IPv6 address; allowed in brackets is IPv6 alone"),
        ("tcp://[]:80", "'' is not an IPv6 address; allowed in brackets is IPv6 alone"),
        ("::1:80", "'::1:80' has more than one colon; allowed is host:port, or IPv6 as [::1]:port"),
        ("tcp://user:pw@h:1", f"the user 'user:pw@' has no meaning here; {ALONE}"),
        ("user@h:22", f"the user 'user@' has no meaning here; {ALONE}"),
        ("tcp://h:1/path", f"the path '/path' leads nowhere; {ALONE}"),
        ("tcp://h:1/", f"the path '/' leads nowhere; {ALONE}"),
        ("tcp://h:1#top", "the fragment '#top' means nothing here; allowed is '#' itself as %23"),
        # hosts
        ("tcp://a..b:1", "host 'a..b' has an empty label; allowed is one dot between two labels"),
        ("tcp://.:1", "host '.' has an empty label; allowed is one dot between two labels"),
        ("tcp://h*t:1", f"host 'h*t' contains '*'; {HOST}"),
        ("tcp://h\\t:1", f"host 'h\\\\t' contains '\\\\'; {HOST}"),
        ("tcp://a%2Fb:1", f"host 'a/b' contains '/'; {HOST}"),
        ("tcp://a／b:1", f"host 'a／b' contains '/'; {HOST}"),
        ("tcp://a%00:1", f"host 'a\\x00' contains '\\x00'; {HOST}"),
        ("tcp://a\u202eb:1", f"host 'a\\u202eb' contains '\\u202e'; {HOST}"),
        ("tcp://{host}:1", f"host '{{host}}' contains '{{'; {HOST}"),
        ("tcp://a%FF:1", "'a%FF' is not UTF-8 when its escapes are read; allowed is UTF-8"),
        ("tcp://256.0.0.1:1", f"'256.0.0.1' {IPV4}"),
        ("tcp://127.1:1", f"'127.1' {IPV4}"),
        ("tcp://0x7f.1:1", f"'0x7f.1' {IPV4}"),
        ("tcp://0x7f000001:1", f"'0x7f000001' {IPV4}"),
        ("tcp://127.0.0.01:1", f"'127.0.0.01' {IPV4}"),
        ("tcp://127.0.0.1.:1", f"'127.0.0.1.' {IPV4}"),
        ("tcp://[::g]:1", f"'::g' {IPV6}"),
        ("tcp://[1:2]:1", f"'1:2' {IPV6}"),
        ("tcp://[1::2::3]:1", f"'1::2::3' {IPV6}"),
        ("tcp://[::12345]:1", f"'::12345' {IPV6}"),
        ("tcp://[::1%]:1", f"'' {ZONE}"),
        ("tcp://[::1%e h]:1", f"'e h' {ZONE}"),
        ("tcp://[::1%sixteencharacter]:1", f"'sixteencharacter' {ZONE}"),
        ("tcp4://[::1]:1", "'::1' does not go with tcp4; allowed is a name or an IPv4 address"),
        ("tcp6://1.2.3.4:1", "'1.2.3.4' does not go with tcp6; allowed is a name or an IPv6 address"),
        # paths
        ("unix:", NO_PATH),
        ("unix://", NO_PATH),
        ("unix://tmp/s", "'tmp/s' stands where a URL has its host; did you mean 'unix:tmp/s' or 'unix:///tmp/s'?"),
        ("@", "there is no name after '@'; allowed is @name"),
        ("unix:/a%00b", "path '/a\\x00b' contains a zero byte; allowed is one in an abstract @name only"),
        ("unix:/a%zz", f"'%zz' {ESCAPE}"),
        ("unix:/a%2", f"'%2' {ESCAPE}"),
        ("unix:/a%", f"'%' {ESCAPE}"),
        ("unix:/a%+1", f"'%+1' {ESCAPE}"),
        ("unix:/a\ud800", "'\\ud800' is half a character; allowed are whole ones"),
        ("/a\nb", "'\\n' is a control character; allowed is its escape in a path, as %0A"),
        ("tcp://h:1\x00", "'\\x00' is a control character; allowed is its escape in a path, as %0A"),
        # virtual machines
        ("vsock://2", "'2' has no port; allowed is vsock://cid:port"),
        ("vsock://2:", f"port '' {VSOCK_PORT}"),
        ("vsock://2:4294967295", f"port '4294967295' {VSOCK_PORT}"),
        ("vsock://x:1", f"'x' is not the number of a context (CID); {CONTEXT}"),
        ("vsock://4294967295:1", "context '4294967295' is not a context; allowed is a number from 0 to 4294967294"),
        # what is there already
        ("fd://", f"descriptor '' {DESCRIPTOR}"),
        ("fd://x", f"descriptor 'x' {DESCRIPTOR}"),
        ("fd://-1", f"descriptor '-1' {DESCRIPTOR}"),
        ("fd://3/x", f"descriptor '3/x' {DESCRIPTOR}"),
        ("stdio:x", "'x' leads nowhere; allowed is 'stdio:' or '-' alone"),
        ("systemd:a:b", f"'a:b' {NAME}"),
        ("systemd:ч", f"'ч' {NAME}"),
        ("exec:", "there is no command in ''; allowed is one with its arguments, as exec:cat -n"),
        ("exec:''", "there is no command in \"''\"; allowed is one with its arguments, as exec:cat -n"),
        ("exec:sh -c 'x", 'command "sh -c \'x" cannot be split into words: No closing quotation'),
        ("exec:a%00", "command 'a\\x00' contains a zero byte, which no program can be told"),
        (
            "exec:cat?nodelay=maybe",
            "nodelay: 'maybe' is not a switch; allowed is yes or no (also true/false, on/off, 1/0)",
        ),
        # options
        ("h:1?", f"'' {PAIR}"),
        ("h:1?nodelay", f"'nodelay' {PAIR}"),
        ("h:1?nodelay=", f"'nodelay=' {PAIR}"),
        ("h:1?=yes", f"'=yes' {PAIR}"),
        ("h:1?nodelay=yes&", f"'' {PAIR}"),
        ("h:1?nodelay=yes&nodelay=yes", "the option 'nodelay' stands twice; allowed is once"),
        ("h:1?nodelay=maybe", "nodelay: 'maybe' is not a switch; allowed is yes or no (also true/false, on/off, 1/0)"),
        ("h:1?framing=%FF", "'%FF' is not UTF-8 when its escapes are read; allowed is UTF-8"),
        ("h:1?framing=\ud800", "'\\ud800' is half a character; allowed are whole ones"),
    ],
)
def test_error_quotes_part_and_allowed(text: str, reason: str) -> None:
    """A refusal quotes the address and its part and says what is allowed."""
    with pytest.raises(AddressError) as caught:
        Address.parse(text)
    assert str(caught.value) == f"address {text!r}: {reason}"
    assert isinstance(caught.value, SocketkitError)
    assert isinstance(caught.value, ValueError)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("value", ["", 5000, None, b"h:1"])
def test_what_is_no_text_is_no_address(value: object) -> None:
    with pytest.raises(AddressError) as caught:
        Address.parse(value)  # type: ignore[arg-type]
    examples = "tcp://host:port, host:port, unix:///path or @name"
    assert str(caught.value) == f"{value!r} is not an address; allowed is a text as {examples}"


def test_unknown_option_suggests_nearest() -> None:
    """An unknown option is refused with the nearest name."""
    with pytest.raises(
        AddressError, match=r"unknown option 'nodely' \(did you mean nodelay\?\); allowed are .*backlog, "
    ) as caught:
        Address.parse("tcp://h:1?nodely=yes")
    assert isinstance(caught.value.__cause__, OptionError)


def test_planned_scheme_is_named() -> None:
    """A scheme that comes later is not called unknown."""
    later = [name for name in ("udp", "unixgram", "vsock", "wss", "tls", "exec", "fd") if name not in scheme_names()]
    for name in later:
        with pytest.raises(AddressError, match=rf"this version does not speak '{name}' yet; allowed are tcp"):
            Address.parse(f"{name}://h:1")


def test_a_long_address_is_cut_in_the_error() -> None:
    with pytest.raises(AddressError) as caught:
        Address.parse("tcp://" + "x" * 100_000)
    assert len(str(caught.value)) < 300
