"""Our WebSocket server behind nginx and haproxy, with the configurations of docs/websocket.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from socketkit import HandshakeError, connect, serve
from support.programs import Program, free_port, needs
from support.proxies import wait_listening

PAGE = (Path(__file__).parents[2] / "docs" / "websocket.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    """The page's block in this language."""
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


def check(upstream, port: int) -> None:
    """A page of the proxy's name gets its WebSocket, another one none; a stop says 1001 through the proxy."""
    origin = f"http://127.0.0.1:{port}"
    with pytest.raises(HandshakeError, match="403"):
        connect(f"ws://127.0.0.1:{port}/chat", origin="http://evil.example").open()
    with connect(f"ws://127.0.0.1:{port}/chat", origin=origin) as connection:
        for message in ("привет", b"x" * 300_000):
            connection.send(message)
            assert connection.receive(timeout=20) == message
        upstream.close()
        with pytest.raises(EOFError) as caught:
            connection.receive(timeout=20)
        assert caught.value.close_code == 1001  # type: ignore[attr-defined]


async def echo(connection) -> None:
    async for message in connection:
        await connection.send(message)


def test_behind_nginx(tmp_path: Path) -> None:
    program, port = needs("nginx"), free_port()
    with serve(echo, "ws://127.0.0.1:0/chat", engine="poll") as upstream:
        location = block("nginx").replace("127.0.0.1:8080", f"127.0.0.1:{upstream.addresses[0].port}")
        folders = "".join(
            f"{name}_temp_path {tmp_path}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        path = tmp_path / "nginx.conf"
        path.write_text(
            f"daemon off; master_process off; pid {tmp_path}/pid; error_log stderr; events {{}}\n"
            f"http {{ access_log off; {folders} server {{ listen 127.0.0.1:{port};\n{location}}} }}\n"
        )
        with Program(program, "-e", "stderr", "-p", str(tmp_path), "-c", str(path)):
            wait_listening(port)
            check(upstream, port)


def test_behind_haproxy(tmp_path: Path) -> None:
    program, port = needs("haproxy"), free_port()
    with serve(echo, "ws://127.0.0.1:0/chat", engine="poll") as upstream:
        path = tmp_path / "haproxy.cfg"
        to = upstream.addresses[0].port
        path.write_text(f"{block('haproxy')}\nlisten chat\n    bind 127.0.0.1:{port}\n    server one 127.0.0.1:{to}\n")
        with Program(program, "-db", "-f", str(path)):
            wait_listening(port)
            check(upstream, port)
