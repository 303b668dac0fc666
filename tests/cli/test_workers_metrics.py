"""`--metrics` with `--workers`: what any worker answers is the sum of all, also after one was killed."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
import urllib.request

import pytest

from support.connections import ask, call
from support.programs import PATIENCE, Program, echo_server, socketkit

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork(2)")

ACTIVE = 'socketkit_connections_active{side="accepted"}'
TOTAL = 'socketkit_connections_total{side="accepted"}'
RECEIVED = "socketkit_received_bytes_total"
ENDED = "socketkit_workers_ended_total"


def scrape(program: Program) -> dict[str, float]:
    url = program.wait_line("metrics at ").split()[-1]
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        lines = answer.read().decode().splitlines()
    samples = [line.rpartition(" ") for line in lines if not line.startswith("#")]
    return {name: float(value) for name, _, value in samples}


def scrape_until(program: Program, **wanted: float) -> dict[str, float]:
    """Scrape until these samples have these values: events are counted a moment after clients see what they did."""
    last = time.monotonic() + PATIENCE
    while True:
        samples = scrape(program)
        found = {name: samples.get(globals()[name], 0.0) for name in wanted}
        if found == wanted:
            return samples
        assert time.monotonic() < last, f"{found} instead of {wanted}"


def folder_of(program: Program) -> str:
    with open(f"/proc/{program.process.pid}/task/{program.process.pid}/children") as file:
        worker = file.read().split()[0]
    with open(f"/proc/{worker}/maps") as file:
        match = re.search(r"(/\S+)/counter_\d+\.db", file.read())
    assert match is not None
    return match[1]


def test_sum_of_workers_and_a_killed_one() -> None:
    with echo_server("--workers", "2", "--metrics", "tcp://127.0.0.1:0", "-vv") as (program, address):
        pids = [int(re.findall(r"\d+", program.wait_line(f"worker {index} is process "))[-1]) for index in range(2)]
        for count in range(40):
            with call(address) as client:
                assert ask(client, b"x" * (count + 1)) == b"x" * (count + 1)
        size = sum(range(2, 42))  # with the line ends
        samples = scrape_until(program, TOTAL=40, ACTIVE=0, RECEIVED=size)
        assert samples['socketkit_connection_duration_seconds_count{side="accepted"}'] == 40
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(call(address)) for _ in range(30)]
            for client in clients:
                assert ask(client, b"y") == b"y"
            scrape_until(program, TOTAL=70, ACTIVE=30, RECEIVED=size + 60)
            os.kill(pids[0], signal.SIGKILL)
            program.wait_line("worker 0 is process ", 2)
            lost = 0
            for client in clients:
                try:
                    client.sendall(b"z\n")
                    lost += not client.recv(2)
                except ConnectionError:
                    lost += 1
            scrape_until(program, TOTAL=70, ACTIVE=30 - lost, RECEIVED=size + 60 + 2 * (30 - lost), ENDED=1)
        scrape_until(program, ACTIVE=0, TOTAL=70)
        folder = folder_of(program) if os.path.exists("/proc/self/maps") else None
        assert program.stop() == 0
        assert folder is None or not os.path.exists(folder)
    assert not any("Traceback" in line for line in program.stderr_lines)


def test_relay_and_a_folder_of_the_user(tmp_path) -> None:
    """With PROMETHEUS_MULTIPROC_DIR set, the files stay: the user's exporter reads them."""
    arguments = ("--workers", "2", "--metrics", "tcp://localhost:0")
    with (
        echo_server() as (_, target),
        socketkit(
            "relay", "tcp://127.0.0.1:0", str(target), *arguments, env={"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
        ) as relay,
    ):
        for _ in range(6):
            with call(relay.address()) as client:
                assert ask(client, b"hello") == b"hello"
        scrape_until(relay, TOTAL=6, ACTIVE=0)
        assert relay.stop() == 0
    assert any(tmp_path.glob("counter_*.db"))


def test_metrics_address_in_use() -> None:
    with (
        echo_server() as (_, used),
        socketkit("echo", "tcp://127.0.0.1:0", "--workers", "2", "--metrics", str(used)) as program,
    ):
        assert program.wait() == 3
        assert len(program.stderr_lines) == 1 and str(used) in program.stderr_lines[0]
