"""Probes that exchange bytes or run a command."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from socketkit import Address, engines
from socketkit.apps.probes.command import CommandProbe
from socketkit.apps.probes.exchange import ExchangeProbe, bytes_pattern, parse_bytes
from socketkit.apps.probes.probe import Probe
from socketkit.apps.wait import wait_for
from socketkit.engines.engine import Engine
from socketkit.errors import ConnectError, DeadlineError, OptionError
from support.programs import PATIENCE


def look(engine: Engine, probe: Probe, timeout: float = PATIENCE) -> str | None:
    """The reason of one look, on a fresh engine of the same kind; None where the probe was ready."""
    engine = engines.make(engine.name)
    try:
        engine.run(wait_for(engine, [probe], timeout=0, connect_timeout=timeout))
    except DeadlineError as error:
        return error.attempts[0].reason
    return None


@contextmanager
def udp_answering(*answers: bytes) -> Iterator[Address]:
    """A UDP socket that answers the first datagram with these."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(PATIENCE)

        def serve() -> None:
            _, peer = sock.recvfrom(100)
            for answer in answers:
                sock.sendto(answer, peer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield Address.parse(f"udp://127.0.0.1:{sock.getsockname()[1]}")
        thread.join()


@contextmanager
def tcp_saying(*pieces: bytes) -> Iterator[Address]:
    """A TCP peer that sends these, and ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)

        def serve() -> None:
            sock, _ = listener.accept()
            with sock, suppress(ConnectionError):
                for piece in pieces:
                    sock.sendall(piece)
                sock.shutdown(socket.SHUT_WR)
                sock.settimeout(PATIENCE)
                while sock.recv(100):
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        yield Address.parse(f"tcp://127.0.0.1:{listener.getsockname()[1]}")
        thread.join()


def test_datagram_is_answered(engine: Engine) -> None:
    with udp_answering(b"other", b"pong") as address:
        assert look(engine, ExchangeProbe(address, b"ping", bytes_pattern("^po"))) is None
    with udp_answering(b"") as address:
        assert look(engine, ExchangeProbe(address, b"ping", None)) is None


def test_unanswered_datagram_is_late(engine: Engine) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        probe = ExchangeProbe(Address.parse(f"udp://127.0.0.1:{sock.getsockname()[1]}"), b"x", None)
        assert look(engine, probe, timeout=0.05) == "no answer within 50ms"


def test_stream_answer_may_come_in_pieces(engine: Engine) -> None:
    with tcp_saying(b"220 ma", b"il ready\r\n") as address:
        assert look(engine, ExchangeProbe(address, None, bytes_pattern("^220 .* ready"))) is None


def test_wrong_answer_is_shown(engine: Engine) -> None:
    with tcp_saying(b"-LOADING\r\n") as address:
        told = look(engine, ExchangeProbe(address, b"PING\r\n", bytes_pattern("PONG")))
    assert told == r"closed after the answer b'-LOADING\r\n', which does not match 'PONG',".rstrip(",")


def test_endless_answer_is_bounded(engine: Engine) -> None:
    with tcp_saying(b"x" * 200_000) as address:
        told = look(engine, ExchangeProbe(address, b"?", bytes_pattern("PONG")))
    assert told is not None and told.startswith("the first ") and told.endswith(" bytes do not match 'PONG'")


def test_nobody_speaks_first_over_udp() -> None:
    with pytest.raises(OptionError, match="no side sends first"):
        ExchangeProbe(Address.parse("udp://127.0.0.1:9"), None, bytes_pattern("x"))


def test_bytes_and_patterns() -> None:
    assert parse_bytes("hex:00 Ff") == b"\x00\xff"
    assert parse_bytes(r"PING\r\n\x00\\é") == "PING\r\n\0\\é".encode()
    for text in ("", "hex:0", "hex:xy", r"\q", "\\"):
        with pytest.raises(OptionError):
            parse_bytes(text)
    with pytest.raises(OptionError, match=r"'\(' is not a regular expression"):
        bytes_pattern("(")


def command(*words: str) -> CommandProbe:
    return CommandProbe(Address("exec", path=" ".join(words)))


def test_command_status_and_last_line(engine: Engine) -> None:
    assert look(engine, command("true")) is None
    assert look(engine, command("sh", "-c", "'echo a; echo no response >&2; exit 2'")) == "status 2: no response"
    assert look(engine, command("sh", "-c", "'kill -9 $$'")) == "status 137"


def test_command_is_run_until_it_succeeds(engine: Engine, tmp_path: Path) -> None:
    script = f"'test -e {tmp_path}/there || {{ touch {tmp_path}/there; exit 1; }}'"
    engine.run(wait_for(engine, [command("sh", "-c", script)], timeout=PATIENCE))


def test_late_command_is_ended(engine: Engine, tmp_path: Path) -> None:
    """Its children end too: the shell's sleep holds the output open otherwise."""
    told = look(engine, command("sh", "-c", f"'echo $$ > {tmp_path}/pid; echo begun; sleep 600; true'"), timeout=0.5)
    assert told == "did not end within 500ms: begun"


def test_missing_command_is_not_retried(engine: Engine) -> None:
    with pytest.raises(ConnectError, match=r"cannot run 'nosuchprogram'"):
        engine.run(wait_for(engine, [command("nosuchprogram")], timeout=PATIENCE))


def test_free_is_for_addresses() -> None:
    for target in (command("true"), Address.parse("exec:true")):
        way = engines.make("poll")
        with pytest.raises(OptionError, match="to be free"):
            way.run(wait_for(way, [target], free=True))


def test_single_look_tries_every_address(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a time of 0 a name whose first address refuses is found at its second."""
    from socketkit.sockets import resolver

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        found = socket.getaddrinfo("127.0.0.1", port, type=socket.SOCK_STREAM)
        refusing = [(*entry[:4], ("127.0.0.77", port)) for entry in found]
        monkeypatch.setattr(resolver.socket, "getaddrinfo", lambda *_, **__: [*refusing, *found])
        engine.run(wait_for(engine, [Address.parse(f"tcp://several.test:{port}")], timeout=0))
