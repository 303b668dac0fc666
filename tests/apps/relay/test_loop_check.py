"""A relay whose target is the relay itself is refused; another target with the same port is not."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from socketkit import Address
from socketkit.apps.relay.loop_check import refuse_own_address
from socketkit.engines.engine import Engine
from socketkit.errors import OptionError


def is_refused(engine: Engine, listening: str, *targets: str) -> bool:
    try:
        engine.run(refuse_own_address(engine, [Address.parse(listening)], [Address.parse(each) for each in targets]))
    except OptionError:
        return True
    return False


@pytest.mark.parametrize(
    ("listening", "target"),
    [
        ("127.0.0.1:6303", "127.0.0.1:6303"),
        ("127.0.0.1:6303", "localhost:6303"),
        ("127.0.0.1:6303", "[::ffff:127.0.0.1]:6303"),
        ("tcp4://:6303", "127.0.0.2:6303"),
        ("0.0.0.0:6303", "0.0.0.0:6303"),
        ("127.0.0.1:6303", "tls://127.0.0.1:6303"),
        ("udp://:6303", "udp://127.0.0.1:6303"),
        ("unix:///tmp/x", "unix:///tmp/../tmp/x"),
        ("unix://@x", "unix://@x"),
    ],
)
def test_own_address(engine: Engine, listening: str, target: str) -> None:
    assert is_refused(engine, listening, "127.0.0.1:1", target)


@pytest.mark.parametrize(
    ("listening", "target"),
    [
        ("127.0.0.1:6303", "127.0.0.1:6304"),
        ("127.0.0.1:6303", "127.0.0.2:6303"),
        ("127.0.0.1:0", "127.0.0.1:6303"),
        ("0.0.0.0:6303", "192.0.2.1:6303"),
        ("127.0.0.1:6303", "udp://127.0.0.1:6303"),
        ("127.0.0.1:6303", "does-not-exist.invalid:6303"),
        ("unix:///tmp/x", "unix:///tmp/y"),
        ("unix:///tmp/x", "unixgram:///tmp/x"),
        ("unix://@x", "unix:///x"),
        ("127.0.0.1:6303", "exec:cat"),
        ("-", "127.0.0.1:6303"),
    ],
)
def test_other_address(engine: Engine, listening: str, target: str) -> None:
    assert not is_refused(engine, listening, target)


def test_symlink_to_own_socket(engine: Engine, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "s"))
        (tmp_path / "link").symlink_to(tmp_path / "s")
        assert is_refused(engine, f"unix://{tmp_path}/s", f"unix://{tmp_path}/link")
