"""The command over WebSocket: connect, listen, echo and wait; figures, dumps, and every way to a socket."""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from socketkit import Address, connect
from support.programs import PATIENCE, Program, needs, socketkit
from support.websockets import server_to


@contextmanager
def echo_at(*arguments: str) -> Iterator[tuple[Program, Address]]:
    """`socketkit echo`, listening."""
    with socketkit("echo", *arguments) as server:
        yield server, server.address()


def finish(program: Program, data: bytes = b"") -> tuple[bytes, int, str]:
    """What a program writes, its status and its complaints, when its input was this."""
    with program:
        process = program.process
        process.stdin.write(data)
        process.stdin.close()
        output = process.stdout.read()
        status = process.wait(PATIENCE)
        program._reader.join(PATIENCE)
        return output, status, "\n".join(program.stderr_lines)


def test_lines_are_messages_and_come_back() -> None:
    with echo_at("ws://localhost:0/chat", "--subprotocol", "v1") as (_, address):
        client = socketkit("connect", str(address), "--header", "X-A: 1", "--subprotocol", "v1")
        assert finish(client, "one\nдва\n".encode() + b"\xff\n") == ("one\nдва\n".encode() + b"\xff\n", 0, "")


def test_a_refused_upgrade_is_status_3_with_the_http_status() -> None:
    with echo_at("ws://localhost:0/chat") as (_, address):
        for arguments, said in (
            ([str(address.replace(resource="/no"))], "404 Not Found"),
            ([str(address), "--origin", "http://evil.example"], "403 Forbidden"),
        ):
            _, status, text = finish(socketkit("connect", *arguments))
            assert status == 3
            assert said in text
            assert len(text.splitlines()) == 1


def test_a_server_may_let_another_page_in() -> None:
    with echo_at("ws://localhost:0", "--origins", "http://good.example") as (_, address):
        client = socketkit("connect", str(address), "--origin", "http://good.example")
        assert finish(client, b"x\n") == (b"x\n", 0, "")


def test_wait_waits_for_the_websocket_itself() -> None:
    with echo_at("ws://localhost:0/chat") as (_, address):
        assert finish(socketkit("wait", str(address)))[1] == 0


def test_its_options_are_refused_elsewhere() -> None:
    for arguments in (("connect", "tcp://localhost:1", "--origin", "http://a.example"), ("echo", "--origins", "*")):
        _, status, text = finish(socketkit(*arguments))
        assert status == 2
        assert "it has no effect at tcp:" in text
    assert "has no colon" in finish(socketkit("connect", "ws://localhost:1", "--header", "bad"))[2]


def test_summary_has_the_handshake_and_the_close_code() -> None:
    with echo_at("ws://localhost:0/chat", "--subprotocol", "v1") as (_, address):
        client = socketkit("connect", str(address), "--subprotocol", "v1", "--summary", "json")
        output, status, text = finish(client, b"x\n")
        assert (output, status) == (b"x\n", 0)
        facts = json.loads(text)["websocket"]
        assert 0 < facts.pop("handshake_seconds") < PATIENCE
        assert facts == {
            "path": "/chat", "subprotocol": "v1", "compression": True, "close_code": 1000, "close_reason": "",
        }  # fmt: skip
        *_, line = finish(socketkit("connect", str(address), "--summary", "text"))[2].splitlines()
        assert line.startswith("[1] WebSocket at /chat, ")
        assert line.endswith(" ms for the handshake, no subprotocol, compressed, closed with 1000")


def test_verbose_names_what_was_agreed_on_and_listen_speaks_it() -> None:
    with socketkit("listen", "ws://localhost:0/x", "-v") as server:
        with connect(server.address(), compression="none", headers={"X": "1"}) as connection:
            connection.send("one")
            assert server.process.stdout is not None
            assert server.process.stdout.readline() == b"one\n"
            assert ", after " in server.wait_line("[1] WebSocket at /x")
            assert server.process.stdin is not None
            server.process.stdin.write(b"two\n")
            server.process.stdin.flush()
            assert connection.receive(timeout=PATIENCE) == "two"
            server.process.stdin.close()  # else its direction stays open


def test_dump_and_pcap_have_the_frames(tmp_path: Path) -> None:
    """As they are in the stream, behind the handshake: tshark reads them."""
    pytest.importorskip("dpkt")
    with echo_at("ws://127.0.0.1:0") as (_, address):
        at = f"{address}?compression=none"
        output, _, text = finish(socketkit("connect", at, "--dump", "hex"), b"hello\n")
        assert output == b"hello\n"
        assert "81 05 68 65 6c 6c 6f" in text  # the server's, which has no mask
        path = str(tmp_path / "frames.pcap")
        finish(socketkit("connect", at, "--pcap", path), b"hello\n")
        spoken = f"tcp.port=={address.port},websocket"
        with Program(needs("tshark"), "-r", path, "-d", spoken, "-T", "fields", "-e", "websocket.opcode") as reader:
            opcodes = reader.communicate().decode().replace(",", " ").split()
        assert opcodes.count("1") == 2, opcodes


def talks(address: Address) -> bool:
    with connect(address.replace(host="127.0.0.1")) as connection:
        connection.send("x")
        return bool(connection.receive(timeout=PATIENCE) == "x")


def test_workers_and_a_takeover(tmp_path: Path) -> None:
    with socketkit("echo", "ws://127.0.0.1:0/chat", "--workers", "2") as server:
        assert all(talks(server.address()) for _ in range(8))
        assert server.stop() == 0
    place = ("--takeover", f"unix://{tmp_path}/takeover")
    with socketkit("echo", "ws://127.0.0.1:0", *place) as old, connect(old.address()) as connection:
        with socketkit("echo", "ws://127.0.0.1:0", *place) as new:
            assert new.address() == old.address()
            with pytest.raises(EOFError) as caught:
                connection.receive(timeout=PATIENCE)
            assert caught.value.close_code == 1001  # type: ignore[attr-defined]
            assert talks(new.address())
            assert new.stop() == 0


@pytest.mark.parametrize("address", ["fd://{}?websocket=yes", "systemd:web?websocket=yes"])
def test_an_inherited_socket(address: str) -> None:
    """Descriptor 3, as a service manager gives it: LISTEN_PID has to be the program's own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        begin = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ['LISTEN_PID'] = str(os.getpid()); "
        begin += "os.execv(sys.executable, [sys.executable, '-m', 'socketkit', 'echo', sys.argv[2]])"
        arguments = (sys.executable, "-c", begin, str(listener.fileno()), address.format(3))
        environment = {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "web"} if "systemd" in address else {}
        with Program(*arguments, pass_fds=(listener.fileno(), 3), env=environment) as server:
            server.wait_line("listening ")
            assert talks(Address.parse(f"ws://127.0.0.1:{port}/any"))
            assert server.stop() == 0


def test_linger_bounds_the_wait_for_a_close_frame() -> None:
    """The peer answers nothing: our close frame has left, and `close_timeout` is not waited for."""
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        seen: list[tuple[int, bytes]] = []

        def answer() -> None:
            with listener.accept()[0] as sock:
                sock.settimeout(PATIENCE)
                peer = server_to(sock)
                seen.extend((peer.receive(), peer.receive()))
                done.wait(PATIENCE)

        thread = threading.Thread(target=answer)
        thread.start()
        url = f"ws://127.0.0.1:{listener.getsockname()[1]}?close_timeout=600s"
        _, status, told = finish(socketkit("connect", url, "--linger", "100ms"), b"well?\n")
        done.set()
        thread.join(PATIENCE)
    assert (status, seen) == (6, [(0x81, b"well?"), (0x88, b"\x03\xe8")])
    assert "gave up after 100ms (--linger)" in told


def test_reply_wait_holds_the_close_frame_back() -> None:
    """`websockets` answers nothing behind a close frame, as most programs: so it gets ours after its answers."""
    server = pytest.importorskip("websockets.sync.server")

    def answer(peer) -> None:
        for message in [peer.recv(), peer.recv()]:
            peer.send(message)
        list(peer)

    with server.serve(answer, "127.0.0.1", 0) as at:
        thread = threading.Thread(target=at.serve_forever)
        thread.start()
        url = f"ws://127.0.0.1:{at.socket.getsockname()[1]}"
        output, status, _ = finish(socketkit("connect", url, "--reply-wait", "1s"), b"one\ntwo\n")
        at.shutdown()
        thread.join(PATIENCE)
    assert (output, status) == (b"one\ntwo\n", 0)
