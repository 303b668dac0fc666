"""How the person of `connect` and `listen` writes and reads, from outside."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import threading

import pytest

from support.programs import PATIENCE, echo_server, socketkit


class Peer:
    """A peer of one conversation, which says something and notes what it hears."""

    def __init__(self, says=b"", *, ends=True):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self._says, self._ends = says, ends
        self.heard = b""
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    def _live(self):
        sock, _ = self._listener.accept()
        sock.settimeout(PATIENCE)
        with sock, self._listener:
            sock.sendall(self._says)
            if self._ends:
                sock.shutdown(socket.SHUT_WR)
            while piece := sock.recv(65536):
                self.heard += piece

    def end(self):
        self._thread.join(PATIENCE)
        return self.heard


def run(*arguments, data=b"", **options):
    with socketkit("connect", *arguments, **options) as client:
        return client.communicate(data), client.stderr_lines, client.wait()


def test_send_only_ends_with_input():
    """Send only never prints and ends with its input."""
    peer = Peer(b"never shown", ends=False)
    assert run(peer.address, "--send-only", data=b"abc") == (b"", [], 0)
    assert peer.end() == b"abc"


@pytest.mark.parametrize("option", ["--receive-only", "--recv-only"])
def test_receive_only_sends_nothing(option):
    """Receive only sends no byte and ends with the peer."""
    peer = Peer(b"shown")
    assert run(peer.address, option, data=b"never sent") == (b"shown", [], 0)
    assert peer.end() == b""


def test_crlf_sent_received_unchanged():
    """Crlf is sent and what comes is left as it is."""
    peer = Peer(b"a\nb\r\n")
    assert run(peer.address, "--crlf", data=b"\na\nb\n---\r\n") == (b"a\nb\r\n", [], 0)
    assert peer.end() == b"\r\na\r\nb\r\n---\r\n"


def test_hex_both_ways():
    with echo_server() as (_, address):
        assert run(str(address), "--in", "hex", "--out", "hex", data=b"00 ff\n0a") == (b"00 ff 0a\n", [], 0)


def test_escaped_in_and_mixed_out():
    with echo_server() as (_, address):
        output = run(str(address), "--in", "escaped", "--out", "mixed", data=rb"a\x00\e\n" + b"\n")
    assert output == (rb"a\x00\x1b" + b"\n", [], 0)


def test_bad_notation_is_framing_status():
    """What is not written in the way ends with the status of framing."""
    with echo_server() as (_, address):
        output, told, status = run(str(address), "--in", "hex", data=b"4g")
    assert (output, status) == (b"", 5)
    assert told == ["socketkit: --in hex: 'g' is no hex digit; allowed are 0-9, a-f and white space"]


def test_telnet_negotiation_hidden():
    """Telnet negotiation is answered and not shown."""
    peer = Peer(bytes([255, 253, 24, 255, 251, 1]) + b"login: ")
    with socketkit("connect", peer.address, "--telnet") as client:
        assert client.process.stdout is not None
        assert client.process.stdout.read(7) == b"login: "  # our direction is open: the answer can be sent
        assert client.communicate() == b""
        assert (client.wait(), client.stderr_lines) == (0, [])
    assert peer.end() == bytes([255, 252, 24, 255, 254, 1])


def test_who_has_ended_owes_telnet_no_answer():
    peer = Peer(bytes([255, 253, 24]) + b"login: ")
    output, told, status = run(peer.address, "--telnet", data=b"")
    assert (output, told, status) == (b"login: ", [], 0)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--send-only", "--receive-only"),
        ("--crlf", "--in", "hex"),
        ("--telnet", "--framing", "lines"),
        ("--in", "octal"),
    ],
)
def test_exclusive_options_refused(arguments):
    """What does not go together is refused."""
    output, told, status = run("tcp://127.0.0.1:1", *arguments)
    assert (output, len(told), status) == (b"", 1, 2)


def test_listen_has_the_same_manners():
    with socketkit("listen", "tcp://127.0.0.1:0", "--out", "hex", "--receive-only") as server:
        address = server.address()
        with socket.create_connection((address.host, address.port)) as caller:
            caller.sendall(b"abc")
        assert (server.communicate(b""), server.wait()) == (b"61 62 63\n", 0)


def test_a_summary_as_json_and_as_text():
    with echo_server() as (_, address):
        output, told, status = run(str(address), "--summary", "json", data=b"hello")
        assert (output, status, len(told)) == (b"hello", 0, 1)
        facts = json.loads(told[0])
        assert (facts["received_size"], facts["sent_size"], facts["peer"]) == (5, 5, str(address))
        _, told, _ = run(str(address), "--summary", "text", data=b"hello")
        assert "5 bytes sent" in told[0] and "5 bytes received" in told[0]


def test_sigusr1_prints_figures():
    """A signal asks for the figures and all goes on."""
    peer = Peer(b"hello", ends=False)
    with socketkit("connect", peer.address, "-v") as client:
        client.wait_line("received 5 bytes")
        client.process.send_signal(signal.SIGUSR1)
        assert "5 bytes received" in client.wait_line("bytes sent (")
        assert client.communicate(b"more") == b"hello"
        assert client.wait() == 0
    assert peer.end() == b"more"


def test_progress_is_for_terminals():
    with echo_server() as (_, address):
        assert run(str(address), "--progress", data=b"hello") == (b"hello", [], 0)


def test_progress_refused_beside_data_on_terminal():
    """The bar would overwrite the data, so both on one terminal are refused; a redirected output is not."""
    with echo_server() as (_, address):
        for where, status in (("", 2), ("> /dev/null", 0)):
            master, slave = pty.openpty()
            line = f"{sys.executable} -m socketkit connect {address} --progress --summary text {where}"
            with subprocess.Popen(["sh", "-c", line], stdin=subprocess.DEVNULL, stdout=slave, stderr=slave) as program:
                os.close(slave)
                shown = b""
                with contextlib.suppress(OSError):  # EIO: no process has the terminal open any more
                    while piece := os.read(master, 4096):
                        shown += piece
            os.close(master)
            assert program.returncode == status
            assert (b"redirect standard output" in shown, b"bytes received (" in shown) == (status == 2, status == 0)
