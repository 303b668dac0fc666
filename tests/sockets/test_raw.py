"""The example of raw sockets answers for itself: ping, by whatever socket this machine allows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from socketkit import ConnectError, connect

PING = Path(__file__).parents[2] / "examples" / "ping.py"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_ping_answers(host: str) -> None:
    try:
        connect(f"ip://{host}?protocol=icmp").open().close()
    except ConnectError as error:
        pytest.skip(str(error))
    done = subprocess.run([sys.executable, PING, host, "2"], capture_output=True, text=True, timeout=30)
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr, len(lines)) == (0, "", 2)
    assert all(line.startswith(f"25 bytes from {host}: seq={number}") for number, line in enumerate(lines, 1))


WITHOUT_RIGHTS = """
import ctypes
from socketkit import ConnectError, connect
import socketkit.client.dial, socketkit.server.datagram_listener, socketkit.engines.blocking
assert ctypes.CDLL(None).unshare(0x10000000) == 0  # CLONE_NEWUSER: its rights are worth nothing for this network
try:
    connect("ip4://127.0.0.1?protocol=253").open()
except ConnectError as error:
    print(error)
"""


def test_missing_privilege_is_named() -> None:
    """Without the right the error says which."""
    done = subprocess.run([sys.executable, "-c", WITHOUT_RIGHTS], capture_output=True, text=True, timeout=30)
    if "AssertionError" in done.stderr:
        pytest.skip("this machine has no user namespaces to give up rights in")
    assert "a raw socket needs the right CAP_NET_RAW: run as root" in done.stdout, done.stderr
