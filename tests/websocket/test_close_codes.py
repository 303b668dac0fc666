"""A close code and a reason of the handler's own, on every engine and in plain code."""

from __future__ import annotations

import threading

import pytest

from socketkit import BrokenError, EndOfStream, OptionError, connect, pair, serve
from socketkit.events import Closed, HandlerFailed
from socketkit.websocket.frames import CLOSE, FIN, TEXT
from support.engines import engine_name  # noqa: F401
from support.recorder import Recorder
from support.websockets import client_of

ANY = "ws://127.0.0.1:0/chat"
LIMIT = "п" * 61 + "!"  # 123 bytes


def close_payload(code: int, reason: str = "") -> bytes:
    return code.to_bytes(2, "big") + reason.encode()


@pytest.mark.parametrize(("code", "reason"), [(4001, "no such room"), (1008, ""), (1000, LIMIT), (1013, "later")])
def test_own_code_on_every_engine(engine_name, code, reason) -> None:  # noqa: F811
    """What was sent before arrives first; the code is in the frame and in the end event; no handler has failed."""

    async def handler(connection) -> None:
        await connection.send("last")
        await connection.close(code=code, reason=reason)
        await connection.close()

    check_server(handler, code, reason, engine=engine_name)


def test_own_code_in_plain_code() -> None:
    def handler(connection) -> None:
        connection.send("last")
        connection.close(code=4002, reason="plain")
        connection.close()

    check_server(handler, 4002, "plain")


def check_server(handler, code, reason, **options) -> None:
    recorder = Recorder()
    with serve(handler, ANY, observer=recorder, **options) as server:
        with client_of(server.addresses[0], "/chat") as peer:
            assert peer.receive() == (FIN | TEXT, b"last")
            assert peer.receive() == (FIN | CLOSE, close_payload(code, reason))
            peer.send(FIN | CLOSE, close_payload(code, reason))
            assert peer.at_end()
        server.wait_idle(timeout=20)
    (closed,) = recorder.of(Closed)
    assert (closed.close_code, closed.close_reason, closed.reason, closed.error) == (code, reason, "closed", None)
    assert not recorder.of(HandlerFailed)


def test_own_code_of_a_client() -> None:
    """Without a reason, in either direction; the server's handler gets it as an error."""
    errors: list[BrokenError] = []
    seen = threading.Event()

    async def handler(connection) -> None:
        try:
            await connection.receive()
        except BrokenError as error:
            errors.append(error)
            seen.set()

    with serve(handler, ANY) as server:
        with connect(server.addresses[0]) as connection:
            connection.close(code=4999)
        assert seen.wait(20)
    assert (errors[0].close_code, errors[0].close_reason) == (4999, "")


def test_own_code_answers_the_close_of_the_peer() -> None:
    async def handler(connection) -> None:
        with pytest.raises(EndOfStream):
            await connection.receive()
        await connection.close(code=4003, reason="not yet")

    with serve(handler, ANY) as server, client_of(server.addresses[0], "/chat") as peer:
        peer.send(FIN | CLOSE, close_payload(1000))
        assert peer.receive() == (FIN | CLOSE, close_payload(4003, "not yet"))
        assert peer.at_end()


def test_reason_alone_is_of_1000() -> None:
    async def handler(connection) -> None:
        await connection.close(reason="done")

    with serve(handler, ANY) as server, connect(server.addresses[0]) as connection:
        with pytest.raises(EndOfStream) as caught:
            connection.receive(timeout=20)
    assert (caught.value.close_code, caught.value.close_reason) == (1000, "done")


def test_a_stop_keeps_the_handlers_code() -> None:
    """The server that stops meanwhile does not say 1001 in its place."""
    closing = threading.Event()

    async def handler(connection) -> None:
        closing.set()
        await connection.close(code=4004)

    server = serve(handler, ANY, engine="poll", grace=0).open()
    with client_of(server.addresses[0], "/chat") as peer:
        assert closing.wait(20)
        server.close()
        assert peer.receive() == (FIN | CLOSE, close_payload(4004))


@pytest.mark.parametrize(
    "code", [0, -1, 999, 1002, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 70000, True, 1000.0, "1000"]
)
def test_other_codes_are_refused(code) -> None:
    with serve(lambda connection: list(connection), ANY) as server, connect(server.addresses[0]) as connection:
        with pytest.raises(OptionError, match="allowed: 1000, 1001, 1003, 1007 to 1014, and 3000 to 4999"):
            connection.close(code=code)
        assert not connection.is_closed
        connection.send("still open")


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (LIMIT + "!", "it has 124 bytes as UTF-8; allowed: at most 123"),
        ("\ud800", "is no Unicode"),
        (b"x", "is no text"),
    ],
)
def test_other_reasons_are_refused(reason, text) -> None:
    with serve(lambda connection: list(connection), ANY) as server, connect(server.addresses[0]) as connection:
        with pytest.raises(OptionError, match=text):
            connection.close(code=4000, reason=reason)
        assert not connection.is_closed


def test_other_connections_have_no_codes() -> None:
    with pair() as (one, _):
        for said in ({"code": 1000}, {"reason": "bye"}):
            with pytest.raises(OptionError, match="no effect here; they act on WebSocket"):
                one.close(**said)
        assert not one.is_closed
