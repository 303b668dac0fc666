"""A relay whose target is the relay itself is refused; another target with the same port is not."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from socketkit import Address
from socketkit.apps.relay.loop_check import open_relay, refuse_own_address
from socketkit.apps.relay.service import serve_relay
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


@pytest.mark.parametrize("targets", [["[::1]:6301"], ["localhost:6302"], ["127.0.0.1:6303"]])
def test_relays_that_lead_back(engine: Engine, targets: list[str]) -> None:
    """A relay is refused whose target is another relay of this process, and leads back; others are not."""

    async def work() -> None:
        def parsed(*texts: str) -> list[Address]:
            return [Address.parse(text) for text in texts]

        async with (
            open_relay(engine, parsed("127.0.0.1:6302", "[::1]:6301"), parsed("tcp://:6303")),
            open_relay(engine, parsed("127.0.0.1:6303"), parsed("127.0.0.1:6305", "127.0.0.1:6304")),
        ):
            with pytest.raises(OptionError, match="another relay of this process"):
                await refuse_own_address(engine, parsed("tcp4://:6304"), parsed(*targets))
            await refuse_own_address(engine, parsed("127.0.0.1:6306"), parsed(*targets))
        await refuse_own_address(engine, parsed("127.0.0.1:6304"), parsed(*targets))

    engine.run(work())


def test_a_relay_to_an_inherited_socket_of_its_own(engine: Engine) -> None:
    """An inherited socket shows its address only when it is open: the relay is refused then."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        target = Address.parse(f"tcp://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(OptionError, match="would connect to itself"):
            engine.run(serve_relay(engine, f"fd://{listener.detach()}", [target]))


def test_a_relay_that_ended_is_forgotten(engine: Engine) -> None:
    """A relay that could not begin, or has ended, is in nobody's way."""

    async def work() -> None:
        first, second = Address.parse("127.0.0.1:6307"), Address.parse("127.0.0.1:6308")
        async with open_relay(engine, [first], [second]):
            for _ in range(2):
                with pytest.raises(OptionError):
                    async with open_relay(engine, [second], [first]):
                        raise AssertionError
        async with open_relay(engine, [second], [first]):
            pass

    engine.run(work())
