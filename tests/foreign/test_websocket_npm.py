"""WebSocket with two programs of npm, both directions: the library ws of Node.js, and wscat."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from socketkit import BrokenError, connect, serve
from support.programs import PATIENCE, Program, needs, socketkit

MODULES = Path(__file__).parents[2] / ".venv-npm" / "node_modules"
MESSAGES = ["привет", b"\0\xff" * 10, "", "long " * 50_000, b"x" * 400_000]

SERVER = """
const { WebSocketServer } = require('ws');
const server = new WebSocketServer({ port: 0, host: '127.0.0.1', maxPayload: 32 << 20,
    perMessageDeflate: process.argv[1] === 'deflate', handleProtocols: names => names.has('v2') ? 'v2' : false });
server.on('listening', () => console.error('port', server.address().port));
server.on('connection', (socket, request) => {
    if (request.headers['x-who'] === 'nobody') socket.close(4403, 'не сегодня');
    socket.on('message', (data, isBinary) => { socket.ping('there?'); socket.send(data, { binary: isBinary }) });
    socket.on('pong', data => console.error('pong', data.toString()));
    socket.on('close', (code, reason) => console.error('closed', code, reason.toString()));
});
"""
CLIENT = """
const { WebSocket } = require('ws');
const socket = new WebSocket(process.argv[1], ['v1', 'v2'], { headers: { 'X-Who': 'node' } });
const kinds = [];
socket.on('open', () => {
    socket.send('привет'); socket.send(Buffer.from([0, 255])); socket.send('z'.repeat(200000));
    socket.send('fragments ', { fin: false }); socket.send('of one', { fin: true }); socket.ping();
});
socket.on('message', (data, isBinary) => {
    kinds.push([isBinary, data.length, data.subarray(0, 12).toString('latin1')]);
    if (kinds.length === 4) socket.close(4001, 'довольно');
});
socket.on('close', (code, reason) => console.log(JSON.stringify(
    { kinds, protocol: socket.protocol, extensions: socket.extensions, code, reason: reason.toString() })));
"""


def node(script: str, *arguments: str) -> Program:
    """Node.js with a script that may use ws."""
    program = needs("node")
    if not (MODULES / "ws").is_dir():
        pytest.skip("ws of npm is not installed: make npm")
    return Program(program, "-e", script, *arguments, env={"NODE_PATH": str(MODULES)})


@pytest.mark.parametrize("compression", ["deflate", "none"])
def test_ws_is_our_server(compression: str) -> None:
    with node(SERVER, compression) as server:
        url = f"ws://127.0.0.1:{server.wait_line('port ').split()[1]}/"
        with connect(url, compression="deflate", subprotocols="v1,v2", max_size="32MiB") as connection:
            assert connection.request.subprotocol == "v2"
            for message in [*MESSAGES, os.urandom(16 << 20)]:
                connection.send(message)
                assert connection.receive(timeout=PATIENCE) == message
        server.wait_line("closed 1000")
        assert server.wait_line("pong") == "pong there?"
        with connect(url, headers={"X-Who": "nobody"}) as connection, pytest.raises(BrokenError) as caught:
            connection.receive(timeout=PATIENCE)
        assert (caught.value.close_code, caught.value.close_reason) == (4403, "не сегодня")


def test_ws_is_our_client() -> None:
    seen: list[object] = []

    async def handler(connection) -> None:
        seen.append((connection.request.header("x-who"), connection.request.subprotocol))
        try:
            async for message in connection:
                await connection.send(message)
        except BrokenError as error:
            seen.append((error.close_code, error.close_reason))

    with serve(handler, "ws://127.0.0.1:0/chat", engine="poll", subprotocols="v2,v1") as server:
        with node(CLIENT, str(server.addresses[0])) as client:
            said = json.loads(client.communicate())
        server.wait_idle(timeout=PATIENCE)
    assert said == {
        "kinds": [
            [False, 12, "привет".encode().decode("latin-1")],
            [True, 2, "\0\xff"],
            [False, 200_000, "z" * 12],
            [False, 16, "fragments of"],
        ],
        "protocol": "v2",
        "extensions": "permessage-deflate",
        "code": 4001,
        "reason": "довольно",
    }
    assert seen == [("node", "v2"), (4001, "довольно")]


def test_wscat_and_our_command() -> None:
    """`wscat --execute` with `socketkit echo`."""
    program = needs("node")
    if not (MODULES / "wscat").is_dir():
        pytest.skip("wscat of npm is not installed: make npm")
    with socketkit("echo", "ws://127.0.0.1:0", "--subprotocol", "v1") as server:
        arguments = (
            str(MODULES / ".bin" / "wscat"),
            "-c",
            str(server.address()),
            "-s",
            "v1",
            "-x",
            "привет",
            "-w",
            "1",
        )
        with Program(program, *arguments) as client:
            assert client.process.stdout is not None  # and its input stays open: at its end it closes
            assert "привет" in client.process.stdout.read().decode()
            assert client.wait() == 0, client.stderr_lines
