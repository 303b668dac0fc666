"""Options of sockets by their names: set on what dials and on what is accepted, refused with what is missing."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from socketkit import connect, listen
from socketkit.config.address import Address
from socketkit.config.bind_address import parse_source, split_source
from socketkit.config.options import Options
from socketkit.errors import ConnectError, ListenError, OptionError
from socketkit.sockets.socket_options import prepare
from support.programs import PATIENCE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the values read back are Linux's")

Look = Callable[[socket.socket], object]


def option(level: int, number: int) -> Look:
    return lambda sock: sock.getsockopt(level, number)


def both_ends(address: str, **options: Any) -> tuple[socket.socket, socket.socket]:
    """The dialled and the accepted socket of a conversation with these options, still open."""
    with listen(address, **options) as listener:
        near = connect(listener.addresses[0].without_options(), **options).open()
        far = listener.accept(timeout=PATIENCE)
    ends = socket.socket(fileno=os.dup(near.socket.fileno())), socket.socket(fileno=os.dup(far.socket.fileno()))
    near.close()
    far.close()
    return ends


@pytest.mark.parametrize(
    ("address", "options", "look", "value"),
    [
        ("tcp4://127.0.0.1:0", {"ttl": 7}, option(socket.IPPROTO_IP, socket.IP_TTL), 7),
        ("tcp4://127.0.0.1:0", {"tos": 0x10}, option(socket.IPPROTO_IP, socket.IP_TOS), 0x10),
        ("tcp6://[::1]:0", {"ttl": 7}, option(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS), 7),
        ("tcp6://[::1]:0", {"tos": 0x20}, option(socket.IPPROTO_IPV6, socket.IPV6_TCLASS), 0x20),
        ("tcp4://127.0.0.1:0", {"user_timeout": "1.5s"}, option(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT), 1500),
        ("tcp4://127.0.0.1:0", {"send_buffer": "32KiB"}, option(socket.SOL_SOCKET, socket.SO_SNDBUF), 65536),
        ("tcp4://127.0.0.1:0", {"receive_buffer": "32KiB"}, option(socket.SOL_SOCKET, socket.SO_RCVBUF), 65536),
        ("tcp4://127.0.0.1:0", {"device": "lo"}, lambda sock: sock.getsockopt(1, 25, 16).rstrip(b"\0"), b"lo"),
    ],
)
def test_both_ends_have_it(address: str, options: dict[str, Any], look: Look, value: object) -> None:
    if ":1]" in address and not _has_ipv6():
        pytest.skip("this machine has no ::1")
    ends = both_ends(address, **options)
    try:
        assert [look(end) for end in ends] == [value, value]
    finally:
        for end in ends:
            end.close()


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def test_fwmark_set_or_privilege_named() -> None:
    """A mark is set or the missing right is named."""
    with socket.socket() as sock:
        try:
            prepare(sock, Options(mark=4_000_000_000))
        except PermissionError as error:
            assert str(error).endswith("mark=4000000000 needs the right CAP_NET_ADMIN")
        else:
            assert sock.getsockopt(socket.SOL_SOCKET, 36) & 0xFFFFFFFF == 4_000_000_000


def test_missing_privilege_is_named() -> None:
    """In a child that has given its rights away."""
    if os.getuid() != 0:
        pytest.skip("only root has rights to give away")
    code = (
        "import os\n"
        "from socketkit import connect, errors\n"
        "def dial():\n"
        "    try: connect('tcp://127.0.0.1:9?mark=1').open()\n"
        "    except errors.ConnectError as error: print(error)\n"
        "dial()\n"  # everything is loaded now, from folders that nobody else may read
        "os.setgid(65534); os.setuid(65534)\n"
        "dial()\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert "mark=1 needs the right CAP_NET_ADMIN (EPERM)" in told.stdout


def test_missing_device_is_named() -> None:
    with pytest.raises(ListenError, match="device=nosuch0: this machine has no such interface"):
        listen("tcp4://127.0.0.1:0", device="nosuch0").open()
    with pytest.raises(ConnectError, match="device=nosuch0: this machine has no such interface"):
        connect("tcp4://127.0.0.1:9", device="nosuch0").open()


def test_one_calls_from_where_one_wants() -> None:
    with listen("tcp4://127.0.0.1:0") as listener:
        with connect(listener.addresses[0], bind="127.0.0.2") as near, listener.accept(timeout=PATIENCE) as far:
            assert far.peer.host == near.local.host == "127.0.0.2"
            port = near.local.port
        with connect(listener.addresses[0], bind=f"127.0.0.3:{port}") as near, listener.accept(timeout=PATIENCE) as far:
            assert (far.peer.host, far.peer.port) == ("127.0.0.3", port)


def test_foreign_source_address_named() -> None:
    """A source that is not ours or of the other family says so."""
    with listen("tcp4://127.0.0.1:0") as listener:
        with pytest.raises(ConnectError, match=r"bind=192\.0\.2\.1: .*EADDRNOTAVAIL"):
            connect(listener.addresses[0], bind="192.0.2.1").open()
        with pytest.raises(ConnectError, match=r"bind=\[::1\] is of the other family"):
            connect(listener.addresses[0], bind="[::1]").open()


def test_forbidden_source_port_says_what_is_missing() -> None:
    """A user without rights is told which one is missing; the hint for a refused connect is not given for bind."""
    if int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) <= 79:
        pytest.skip("here every user may bind port 79")

    def attempt(address: Address, source: str) -> str:
        with pytest.raises(ConnectError) as caught:
            connect(address, bind=source).open()
        return str(caught.value)

    with listen("tcp4://127.0.0.1:0") as listener:
        address = listener.addresses[0]
        attempt(address, "192.0.2.1")  # loads what another user may not read
        reader, writer = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns where other threads run
            pid = os.fork()
        if not pid:
            text = "nothing"
            try:
                if os.getuid() == 0:
                    os.setresuid(65534, 65534, 65534)
                text = attempt(address, "127.0.0.1:79")
            except BaseException as error:
                text = repr(error)
            finally:
                os.write(writer, text.encode())
                os._exit(0)
        os.close(writer)
        os.waitpid(pid, 0)
        with open(reader) as told:
            text = told.read()
    assert text.endswith(
        "bind=127.0.0.1:79: Permission denied (EACCES): ports below 1024 need the right CAP_NET_BIND_SERVICE: "
        "take one above, or none"
    )


@pytest.mark.parametrize(
    ("text", "canonical", "parts"),
    [
        ("10.0.0.1", "10.0.0.1", ("AF_INET", "10.0.0.1", 0)),
        ("10.0.0.1:0", "10.0.0.1", ("AF_INET", "10.0.0.1", 0)),
        ("10.0.0.1:0080", "10.0.0.1:80", ("AF_INET", "10.0.0.1", 80)),
        (":5000", ":5000", ("", "", 5000)),
        ("[::1]", "[::1]", ("AF_INET6", "::1", 0)),
        ("[0:0::1]:5000", "[::1]:5000", ("AF_INET6", "::1", 5000)),
    ],
)
def test_a_source_has_one_spelling(text: str, canonical: str, parts: tuple[str, str, int]) -> None:
    assert parse_source(text) == parse_source(canonical) == canonical
    assert split_source(canonical) == parts


@pytest.mark.parametrize("text", ["", ":", ":0", "localhost", "::1", "[127.0.0.1]", "1.2.3.4:70000", "1.2.3", "a b", 5])
def test_bad_source_lists_allowed(text: object) -> None:
    """What is no source is refused with what is one."""
    with pytest.raises(OptionError, match="is not an address to connect from; allowed is a number"):
        parse_source(text, name="bind")


@pytest.mark.skipif(not _has_ipv6(), reason="this machine has no ::1")
def test_v6only_no_takes_both_families() -> None:
    """One socket of ipv6 takes both where it is reported to."""
    with listen("tcp://:0", v6only=False) as listener:
        assert [str(address.host) for address in listener.addresses] == ["::"]
        port = listener.addresses[0].port
        for host in ("127.0.0.1", "[::1]"):
            with connect(f"tcp://{host}:{port}") as near, listener.accept(timeout=PATIENCE) as far:
                assert str(far.peer) == str(near.local)
    with listen("tcp6://[::]:0") as listener:
        with pytest.raises(ConnectError, match="ECONNREFUSED"):
            connect(f"tcp://127.0.0.1:{listener.addresses[0].port}").open()
