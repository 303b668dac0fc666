"""Run `socketkit echo` under many clients, half of them faulty, and check its counts and resources at the end.

Usage: `make soak-command`, `make soak-command DURATION=30s`. The first half goes to one process, which also runs out
of descriptors for a while; a quarter to one that speaks TLS, and reads its certificates anew all the time; the last
to three workers, of which one is killed now and then. Prints what was measured, and ends with status 1 where a promise
was broken.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import signal
import statistics
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from faults.faulty_peers import (
    Name,
    dial,
    endless,
    flood,
    half_close,
    read_repeated,
    reset,
    silent,
    trickle,
    wait_end,
)
from faults.server_under_test import MIB, HealthyClient, descriptors, memory
from faults.soak_tls import Paper, reload_under_load
from socketkit.config.address import Address
from socketkit.config.option_types import duration_kind
from support.programs import Program, socketkit

CROWD = 200
SLOWEST = 5.0
"""Seconds that no answer to a healthy conversation may take on a machine with much else to do."""

GROWTH = 8 * MIB
"""Bytes by which the memory may grow: from the second quarter of the time to the last, and from the end of a first,
short crowd to the end of the long one."""

ALLOCATOR = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
"""Lets the C library (mallopt(3)) give back what was freed. Left to itself it keeps the room of the largest crowd so
far, in pieces: 63 MiB after a minute, and no more after ten; of which malloc_trim(3) finds
32 free. No leak can hide there."""

HIGHEST = 96 * MIB
"""Bytes that the server may ever have: 200 conversations at their marks, and an interpreter."""

SECURE = "tls://127.0.0.1:0"

Liar = Callable[[Name, random.Random], None]


def says_nothing(name: Name, dice: random.Random) -> None:
    with silent(name, first=dice.choice([b"", b"half a li"])) as (sock,):
        wait_end(sock)  # TimeoutError: it was never cut off


def writes_slowly(name: Name, dice: random.Random) -> None:
    line = b"slow " * dice.randint(5, 40)
    assert trickle(name, line + b"\n") == line


def says_all_first(name: Name, dice: random.Random) -> None:
    lines = [b"%d" % number * 20 for number in range(dice.randint(1, 2000))]
    assert half_close(name, lines) == lines


def resets(name: Name, dice: random.Random) -> None:
    sock = dial(name)
    sock.sendall(b"hello\n" * dice.randint(0, 500) + b"half a li")
    reset(sock)


def goes_at_once(name: Name, dice: random.Random) -> None:
    dial(name).close()


def reads_late(name: Name, dice: random.Random) -> None:
    line = b"z" * 999 + b"\n"
    with dial(name, buffer=65536) as sock:
        sent = flood(sock, line, dice.randint(1, 8) * MIB)
        if dice.random() < 0.5:
            reset(sock)
        else:
            read_repeated(sock, line, sent // len(line))


def never_ends(name: Name, dice: random.Random) -> None:
    assert endless(name, 64 * MIB)[1] in ("end", "reset")


def babbles(name: Name, dice: random.Random) -> None:
    with dial(name) as sock:
        sock.sendall(b"\xff\xfe" + dice.randbytes(dice.randint(1, 5000)) + b"\n")
        wait_end(sock)


FAULTY: tuple[Liar, ...] = (
    says_nothing,
    writes_slowly,
    says_all_first,
    resets,
    goes_at_once,
    reads_late,
    never_ends,
    babbles,
)


class Crowd:
    """Threads that call one server until they are told to stop: half of them healthy, half liars.

    Attributes:
        rounds: questions of the healthy that were answered whole.
        slowest: seconds of the slowest of them.
        told: what each liar did, how often.
        broken: promises that were not kept.
        lost: healthy conversations that ended in the middle.
    """

    def __init__(self, name: Name, size: int, seed: int) -> None:
        self.rounds, self.slowest = 0, 0.0
        self.told: Counter[str] = Counter()
        self.broken: list[str] = []
        self.lost: list[str] = []
        self._name = name
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._lie if number % 2 else self._talk, args=(random.Random(seed + number),))
            for number in range(size)
        ]
        for thread in self._threads:
            thread.start()

    def _talk(self, dice: random.Random) -> None:
        while not self._stop.is_set():
            companion = HealthyClient(self._name, beat=0.1)
            companion.start()
            self._stop.wait(dice.uniform(2, 10))
            companion.end()
            with self._lock:
                self.rounds += companion.rounds
                self.slowest = max(self.slowest, companion.slowest)
                if companion.failure is not None:
                    self.lost.append(repr(companion.failure))

    def _lie(self, dice: random.Random) -> None:
        while not self._stop.wait(dice.uniform(0, 2)):
            liar = dice.choice(FAULTY)
            try:
                liar(self._name, dice)
            except ConnectionError:
                pass  # they are cut off as they deserve; the honest ones among them say so by what they miss
            except (AssertionError, OSError) as error:
                with self._lock:
                    self.broken.append(f"{liar.__name__}: {error!r}")
            with self._lock:
                self.told[liar.__name__] += 1

    def run(self, seconds: float) -> None:
        """Let them call for so long, and wait until all have gone."""
        self._stop.wait(seconds)
        self.stop()

    def stop(self) -> None:
        """Wait until all have gone."""
        self._stop.set()
        for thread in self._threads:
            thread.join()


def name_of(address: Address) -> Name:
    assert address.port is not None
    return address.host, address.port


def start(*arguments: str) -> tuple[Program, Name]:
    """`socketkit echo` as one would leave it alone."""
    address, arguments = (
        (arguments[0], arguments[1:]) if arguments[:1] == (SECURE,) else ("tcp://127.0.0.1:0", arguments)
    )
    talk = ("--framing", "lines:max_size=64KiB", "--idle-timeout", "3s")
    server = socketkit("echo", address, *talk, *arguments, env=ALLOCATOR)
    return server, name_of(server.address())


def scrape(url: str) -> dict[str, float]:
    """The server's own account."""
    with urllib.request.urlopen(url, timeout=20) as answer:
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}


def rob(pid: int, seconds: float) -> None:
    """Leave a process half the descriptors that it has open, for a while: the open ones stay, and new ones fail."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (descriptors(pid) // 2, before[1]))
    time.sleep(seconds)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


class Judge:
    """Prints each figure, and keeps what was not as promised."""

    def __init__(self) -> None:
        self.failures: list[str] = []

    def say(self, what: str, value: object, is_right: bool = True) -> None:
        print(f"{what:<60} {value}{'' if is_right else '   <-- BROKEN'}", flush=True)
        if not is_right:
            self.failures.append(what)


def soak_process(judge: Judge, seconds: float) -> None:
    """One process, everything that a peer can do, and no descriptors for a while."""
    server, name = start("--metrics", "tcp://127.0.0.1:0")
    with server:
        pid = server.process.pid
        url = server.wait_line("metrics at ").split()[-1]
        scrape(url)
        first = descriptors(pid)
        Crowd(name, CROWD, 3).run(seconds / 10)  # what the interpreter and the C library need once
        small = memory("VmRSS", pid)
        crowd, begun, sizes, robbed = Crowd(name, CROWD, 1), time.monotonic(), [], 0
        while (passed := time.monotonic() - begun) < seconds:
            time.sleep(0.25)
            sizes.append(memory("VmRSS", pid))
            if passed / seconds > 0.4 + 0.2 * robbed and robbed < 2:
                rob(pid, min(3.0, seconds / 10))
                robbed += 1
        crowd.stop()
        deadline = time.monotonic() + 20
        while (facts := scrape(url))['socketkit_connections_active{side="accepted"}'] and time.monotonic() < deadline:
            time.sleep(0.1)
        judge_crowd(judge, crowd)
        begun_count = facts['socketkit_connections_total{side="accepted"}']
        ended_count = facts['socketkit_connection_duration_seconds_count{side="accepted"}']
        judge.say("conversations begun, ended", f"{begun_count:.0f} {ended_count:.0f}", begun_count == ended_count)
        pauses = facts["socketkit_accept_pauses_total"]
        judge.say("robbed of descriptors, pauses of accepting", f"{robbed} {pauses:.0f}", pauses >= robbed)
        judge.say("accepting still paused", facts["socketkit_accept_paused"], not facts["socketkit_accept_paused"])
        judge.say("handlers that failed", facts["socketkit_handler_failures_total"])
        last = descriptors(pid)
        judge.say("descriptors at the start, at the end", f"{first} {last}", last <= first + 1)  # its last scrape
        quarter = len(sizes) // 4
        early, late = (statistics.median(part) / MIB for part in (sizes[quarter : 2 * quarter], sizes[-quarter:]))
        judge.say("memory in the second and last quarter, MiB", f"{early:.1f} {late:.1f}", late - early < GROWTH / MIB)
        judge_memory(judge, small, pid)
        highest = memory("VmHWM", pid)
        judge.say("memory at its highest, MiB", f"{highest / MIB:.1f}", highest < HIGHEST)
        judge.say("lines on standard error", len(server.stderr_lines), len(server.stderr_lines) < 10)
        status = server.stop()
        judge.say("status after SIGTERM", status, status == 0)


def judge_memory(judge: Judge, before: int, pid: int) -> None:
    now = memory("VmRSS", pid)
    figures = f"{before / MIB:.1f} {now / MIB:.1f}"
    judge.say("memory after a short crowd and after the long one, MiB", figures, now - before < GROWTH)


def soak_tls(judge: Judge, seconds: float) -> None:
    """One process whose certificate changes four times a second, and is none every third time."""
    paper = Paper()
    server, name = start(SECURE, "--cert", str(paper.path))
    with server:
        pid = server.process.pid
        reload_under_load(pid, paper, name, seconds / 4)  # what OpenSSL and its callers need once
        first, before = descriptors(pid), memory("VmRSS", pid)
        crowd, counts = reload_under_load(pid, paper, name, seconds * 3 / 4)
        judge.say("TLS: questions answered whole", crowd.rounds, crowd.rounds > 0)
        judge.say("TLS: conversations and handshakes lost", crowd.lost[:3] or 0, not crowd.lost)
        judge.say("TLS: promises broken to liars", crowd.broken[:3] or 0, not crowd.broken)
        judge.say("TLS: good and bad certificates put there", f"{counts[True]} {counts[False]}")
        shown = sorted(crowd.shown.values())
        judge.say("TLS: clients that were shown each certificate", shown, len(shown) == 2)
        for said in ("certificates read anew", "the old certificates stay"):
            count = sum(said in line for line in server.stderr_lines)
            judge.say(f"TLS: told '{said}'", count, count > 0)
        last = descriptors(pid)
        judge.say("TLS: descriptors before, after", f"{first} {last}", last <= first)
        judge_memory(judge, before, pid)
        status = server.stop()
        judge.say("TLS: status after SIGTERM", status, status == 0)
    paper.close()


def judge_crowd(judge: Judge, crowd: Crowd) -> None:
    judge.say("questions answered whole", crowd.rounds, crowd.rounds > 0)
    judge.say("healthy conversations that lost a message", crowd.lost[:3] or 0, not crowd.lost)
    judge.say("slowest answer, s", f"{crowd.slowest:.2f}", crowd.slowest < SLOWEST)
    judge.say("liars", ", ".join(f"{count} {name}" for name, count in sorted(crowd.told.items())))
    judge.say("promises broken to them", crowd.broken[:3] or 0, not crowd.broken)


def children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def soak_workers(judge: Judge, seconds: float) -> None:
    """Three processes at one address, one of which is killed now and then; who was in it is lost, nobody else."""
    server, name = start("--workers", "3")
    with server:
        pid = server.process.pid
        crowd, begun, killed = Crowd(name, CROWD // 4, 2), time.monotonic(), 0
        while (passed := time.monotonic() - begun) < seconds:
            time.sleep(0.1)
            if passed / seconds > 0.3 * (killed + 1) and killed < 2:
                os.kill(children(pid)[0], signal.SIGKILL)
                killed += 1
        crowd.stop()
        judge.say("workers: killed, running at the end", f"{killed} {len(children(pid))}", len(children(pid)) == 3)
        judge.say("workers: questions answered whole", crowd.rounds, crowd.rounds > 0)
        most = killed * CROWD // 8
        judge.say("workers: conversations lost with them", len(crowd.lost), len(crowd.lost) < most)
        companion = HealthyClient(name)
        companion.start()
        companion.wait_rounds(20)
        companion.end()
        judge.say("workers: an answer afterwards", companion.failure or "yes", companion.failure is None)
        status = server.stop()
        judge.say("workers: status after SIGTERM", status, status == 0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--duration", default="10m", help="in all: 30s, 10m, 8h")
    duration = duration_kind(minimum=5).parse(parser.parse_args().duration, name="--duration")
    judge = Judge()
    soak_process(judge, duration / 2)
    soak_tls(judge, duration / 4)
    soak_workers(judge, duration / 4)
    print("kept every promise" if not judge.failures else f"broken: {'; '.join(judge.failures)}")
    return bool(judge.failures)


if __name__ == "__main__":
    sys.exit(main())
