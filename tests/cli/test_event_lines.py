"""`--dump` and `--pcap` beside a conversation: payload stays alone on standard output."""

from __future__ import annotations

import json
import subprocess

import pytest

from support.programs import echo_server, needs, socketkit


def talk(address, *arguments):
    with socketkit("connect", str(address), *arguments) as client:
        output = client.communicate(b"hello\n")
        return output, client.stderr_lines, client.wait()


def test_a_dump_goes_to_standard_error():
    with echo_server() as (_, address):
        output, told, status = talk(address, "--dump", "text")
    assert (output, status) == (b"hello\n", 0)
    lines = [line.partition(" [1] ")[2] or line for line in told]
    assert lines[0].startswith("connected tcp://127.0.0.1:")
    assert lines[1:3] == ["> 6 bytes", "  hello\\n"]
    answer = lines.index("< 6 bytes")
    assert lines[answer + 1] == "  hello\\n"
    assert {"end sent", "end received", "closed"} < set(lines)


def test_a_dump_goes_to_a_file(tmp_path):
    path = tmp_path / "talk.json"
    with echo_server() as (_, address):
        output, told, status = talk(address, "--dump", "json", "--dump-file", str(path))
    assert (output, told, status) == (b"hello\n", [], 0)
    values = [json.loads(line) for line in path.read_text().splitlines()]
    assert [value["text"] for value in values if "text" in value] == ["hello\n", "hello\n"]


def test_tshark_reads_capture(tmp_path):
    """Tshark reads the capture and has nothing to say."""
    tshark, path = needs("tshark"), tmp_path / "talk.pcapng"
    with echo_server() as (_, address):
        output, told, status = talk(address, "--pcap", str(path))
    assert (output, told, status) == (b"hello\n", [], 0)
    read = subprocess.run(
        [tshark, "-r", str(path), "-T", "fields", "-e", "tcp.stream", "-e", "tcp.payload", "-e", "_ws.expert.severity"],
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    rows = [line.split("\t") for line in read.stdout.splitlines()]
    assert {row[0] for row in rows} == {"0"}
    assert [bytes.fromhex(row[1]) for row in rows if row[1]] == [b"hello\n", b"hello\n"]
    warning = 0x600000
    assert all(int(severity) < warning for row in rows for severity in row[2].split(",") if severity)


def test_full_disk_stops_recording_only():
    """A full disk ends the recording and not the conversation."""
    with echo_server() as (_, address):
        output, told, status = talk(address, "--pcap", "/dev/full")
    assert (output, status) == (b"hello\n", 0)
    assert told == ["socketkit: /dev/full: No space left on device: the recording ends here, the conversation goes on"]


@pytest.mark.parametrize("option", ["--pcap", "--dump-file"])
def test_unwritable_file_before_opening(option, tmp_path):
    """A file that cannot be written is refused before anything is opened."""
    path = tmp_path / "nowhere" / "file"
    output, told, status = talk("tcp://127.0.0.1:1", option, str(path))
    assert (output, status) == (b"", 2)
    assert told == [f"socketkit: {str(path)!r} cannot be written: No such file or directory"]


def test_server_connections_are_numbered(tmp_path):
    """Each conversation of a server has its number."""
    path = tmp_path / "talk.json"
    with echo_server("--dump", "json", "--dump-file", str(path)) as (server, address):
        for _ in range(3):
            assert talk(address)[0] == b"hello\n"
        assert server.stop() == 0
    values = [json.loads(line) for line in path.read_text().splitlines()]
    for number in (1, 2, 3):
        told = [value["event"] for value in values if value["connection"] == number]
        assert (told[0], told[-1]) == ("accepted", "closed")


def test_unnamed_client_of_a_unix_socket(tmp_path):
    """It is not shown by the listener's own address."""
    with socketkit("echo", f"unix:{tmp_path}/s", "-v") as server:
        with socketkit("connect", str(server.address())) as client:
            assert client.communicate(b"x") == b"x"
            assert client.wait() == 0
        server.stop()
    assert f"[1] connection from an unnamed client at unix://{tmp_path}/s" in server.stderr_lines
