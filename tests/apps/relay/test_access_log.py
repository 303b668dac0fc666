"""The access log holds whole lines only, never blocks, and counts what it left out."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import resource
import signal
from pathlib import Path
from typing import Any

import pytest

from socketkit.apps.relay import access_log
from socketkit.apps.relay.access_log import AccessLog


def lines_of(data: bytes) -> list[dict[str, Any]]:
    assert data.endswith(b"\n") or not data
    return [json.loads(line) for line in data.splitlines()]


def test_lines(tmp_path: Path) -> None:
    log = AccessLog(tmp_path / "log", clock=lambda: 0.25)
    log.write(end="done")
    log.write(end="broken")
    assert log.close() == log.close() == 0
    assert lines_of((tmp_path / "log").read_bytes()) == [
        {"time": "1970-01-01T00:00:00.250Z", "end": end} for end in ("done", "broken")
    ]


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short write, as on a full disk, is taken back; when there is room again, the missing lines are counted."""
    path = tmp_path / "log"
    log = AccessLog(path)
    log.write(number=0)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, hard))
        for number in (1, 2, 3):
            with pytest.raises(OSError) as caught:
                log.write(number=number)
            assert caught.value.errno in (errno.ENOSPC, errno.EFBIG)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)
    assert [line.get("number") for line in lines_of(path.read_bytes())] == [0]
    log.write(number=4)
    assert log.close() == 0
    _, left_out, last = lines_of(path.read_bytes())
    assert (left_out["left_out"], last["number"]) == (3, 4)


def test_reader_stands_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are kept up to a bound while a pipe is full, and follow when it is read; beyond they are counted."""
    monkeypatch.setattr(access_log, "MAX_PENDING_SIZE", 8192)
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
    log = AccessLog(path)
    left_out = 0
    for number in range(500):
        try:
            log.write(number=number)
        except BlockingIOError as error:
            left_out += 1
            assert "stopped reading" in str(error)
    assert left_out
    received = b""
    for number in range(500, 600):
        received += os.read(reader, 4096)
        log.write(number=number)
    received += os.read(reader, 1 << 16)
    assert log.close() == 0
    os.close(reader)
    lines = lines_of(received)
    assert [line["left_out"] for line in lines if "left_out" in line] == [left_out]
    numbers = [line["number"] for line in lines if "number" in line]
    assert numbers == [*range(500 - left_out), *range(500, 600)]


def test_close_counts_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a reader that stands still has not taken at the end is counted."""
    monkeypatch.setattr(access_log, "CLOSE_TIMEOUT", 0.01)
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
    log = AccessLog(path)
    for number in range(200):
        log.write(number=number)
    missing = log.close()
    received = os.read(reader, 1 << 16)
    os.close(reader)
    assert received.count(b"\n") + missing == 200
    assert missing
