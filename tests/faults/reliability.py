"""The same faults for small echo servers of several libraries, and for ours on each engine, side by side.

Usage: `make reliability`. Each server is a process (`faults.echo_servers`). The output goes into docs/reliability.md.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from faults.echo_servers import GRACE, IDLE, PAUSE
from faults.faulty_peers import Name, dial, flood, half_close, read_lines, reset, silent, wait_end
from faults.server_under_test import MIB, descriptors, forget_peak, memory
from socketkit import engines
from support.programs import Program

TESTS = Path(__file__).parents[1]
PAGES = [TESTS.parent / "docs" / name for name in ("reliability.md", "reliability.ru.md")]
BEGIN, END = "<!-- measured by make reliability -->", "<!-- end -->"

OTHERS = ("asyncio", "uvloop", "anyio", "trio", "twisted")
OURS = ("epoll", "poll", "select", "asyncio", "uvloop", "trio", "blocking")

YES, NO = "yes", "**no**"


class Echo:
    """One server in a process of its own.

    Attributes:
        name: where it listens.
        pid: which process it is.
    """

    def __init__(self, program: Program, output: Path) -> None:
        self.program = program
        self.pid = program.process.pid
        self._output = output
        address = program.address()
        assert address.port is not None
        self.name: Name = (address.host, address.port)

    def heard(self, text: str) -> int:
        """How many lines with this text its handlers have got."""
        return self._output.read_text().count(f"got {text}")

    def wait_heard(self, text: str) -> None:
        wait_until(lambda: self.heard(text) > 0, 5)

    def is_answering(self) -> bool:
        """Whether it lives, lets somebody in and answers him."""
        try:
            with dial(self.name) as sock:
                sock.settimeout(5)
                sock.sendall(b"are you there?\n")
                return read_lines(sock, 1) == [b"are you there?"]
        except OSError:
            return False


@contextmanager
def running(which: str) -> Iterator[Echo]:
    with tempfile.NamedTemporaryFile() as output:
        environment = {"PYTHONPATH": os.fspath(TESTS), "PYTHONWARNINGS": "default"}
        with Program(sys.executable, "-m", "faults.echo_servers", which, stdout=output, env=environment) as program:
            yield Echo(program, Path(output.name))


def wait_until(is_so: Callable[[], bool], seconds: float) -> float | None:
    """Seconds until it was so; None: it was not."""
    began = time.monotonic()
    while not is_so():
        if time.monotonic() > began + seconds:
            return None
        time.sleep(0.02)
    return time.monotonic() - began


def spent(pid: int) -> float:
    """Seconds of processor time that a process has had (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def survives_shortage(echo: Echo) -> str:
    """30 callers, descriptors for five; a guest who was there before talks on; then there are enough again."""
    with dial(echo.name) as guest:
        guest.sendall(b"hello\n")
        read_lines(guest, 1)
        spare = resource.prlimit(echo.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(echo.pid, resource.RLIMIT_NOFILE, (descriptors(echo.pid) + 5, spare[1]))
        with silent(echo.name, 30):
            cost, told, end = spent(echo.pid), len(echo.program.stderr_lines), time.monotonic() + 1
            while time.monotonic() < end:
                try:
                    guest.sendall(b"hello\n")
                    answers = read_lines(guest, 1)
                except OSError:
                    answers = []
                if answers != [b"hello"] or echo.program.process.poll() is not None:
                    return f"{NO}: it ends, with its connections"
                time.sleep(0.1)
            cost, told = spent(echo.pid) - cost, len(echo.program.stderr_lines) - told
            resource.prlimit(echo.pid, resource.RLIMIT_NOFILE, spare)
    return f"{YES if echo.is_answering() else NO}; {cost:.2f} s CPU, {told} lines of log"


def keeps_whole_messages(echo: Echo) -> str:
    """20 lines arrive while the handler is busy, then a reset; how many of them does it get?"""
    sock = dial(echo.name)
    sock.sendall(b"listen\n")
    echo.wait_heard("listen")
    sock.sendall(b"".join(b"line %d\n" % number for number in range(20)))
    time.sleep(PAUSE / 4)  # they arrive before the reset does
    reset(sock)
    wait_until(lambda: echo.heard("line") == 20, PAUSE + 1.5)
    return f"{echo.heard('line')} of 20" if echo.heard("line") == 20 else f"**{echo.heard('line')} of 20**"


def answers_half_close(echo: Echo) -> str:
    lines = [b"%d" % number for number in range(2000)]
    try:
        came = half_close(echo.name, lines)
    except OSError as error:
        return f"{NO}: {error.strerror}"
    return YES if came == lines else f"{NO}: {len(came)} of {len(lines)}"


def bounds_memory(echo: Echo) -> str:
    """64 MiB of lines by a client that reads nothing; and whether it is cut off, as the idle are to be."""
    with dial(echo.name) as guest:  # for the first one things are made that are kept
        guest.sendall(b"hello\n")
        read_lines(guest, 1)
        base = descriptors(echo.pid)
    wait_until(lambda: descriptors(echo.pid) < base, 2)
    before, base = forget_peak(echo.pid), descriptors(echo.pid)
    with dial(echo.name, buffer=65536) as sock:
        sent = flood(sock, b"z" * 15999 + b"\n", 64 * MIB, quiet=0.5)
        growth = (memory("VmHWM", echo.pid) - before) / MIB
        cut = wait_until(lambda: descriptors(echo.pid) <= base, 2 * IDLE + 2)
    size = f"{growth:.1f} MiB" if growth < 16 else f"**{growth:.0f} MiB**"
    return f"{size} of {sent // MIB}; {YES if cut is not None else NO}"


def cuts_the_silent(echo: Echo) -> str:
    with silent(echo.name) as (sock,):
        sock.settimeout(IDLE + 3)
        began = time.monotonic()
        try:
            wait_end(sock)
        except TimeoutError:
            return NO
        return f"after {time.monotonic() - began:.1f} s"


def contains_failure(echo: Echo) -> str:
    """A handler raises; its client is told by the end, and another conversation goes on."""
    with dial(echo.name) as guest, dial(echo.name) as unlucky:
        guest.sendall(b"hello\n")
        read_lines(guest, 1)
        unlucky.sendall(b"fail\n")
        unlucky.settimeout(1)
        try:
            wait_end(unlucky)
        except TimeoutError:
            return f"{NO}: its client waits on"
        try:
            guest.sendall(b"hello\n")
            answers = read_lines(guest, 1)
        except OSError:
            answers = []
        return YES if answers == [b"hello"] and echo.is_answering() else f"{NO}: all end"


def stops_gracefully(echo: Echo) -> str:
    """SIGTERM, with one guest whose answer is being made, and one that is idle."""
    with dial(echo.name) as idle, dial(echo.name) as busy:
        idle.sendall(b"hello\n")
        read_lines(idle, 1)
        busy.sendall(b"pause\n")
        echo.wait_heard("pause")
        echo.program.process.send_signal(signal.SIGTERM)
        ended = wait_until(lambda: echo.program.process.poll() is not None, GRACE + 2)
        if ended is None:
            return f"{NO}: hangs"
        try:
            answers = read_lines(busy, 1)
        except OSError:
            answers = []
    word = "answered" if answers == [b"pause"] else "**answer lost**"
    return f"{word}, {ended:.1f} s, status {echo.program.process.returncode}"


FAULTS: dict[str, Callable[[Echo], str]] = {
    "no descriptors for 1 s: serves again": survives_shortage,
    "whole lines before a reset": keeps_whole_messages,
    "half-close answered": answers_half_close,
    "reads nothing: memory; is cut off": bounds_memory,
    "silent: cut off": cuts_the_silent,
    "handler raises: ends its own only": contains_failure,
    "SIGTERM": stops_gracefully,
}


def measure(which: str) -> str:
    """The row of one server; a fresh process for each fault."""
    cells = []
    for fault in FAULTS.values():
        with running(which) as echo:
            try:
                cells.append(fault(echo))
            except OSError as error:
                cells.append(f"{NO}: {error}")
    title = f"socketkit, {which.partition(':')[2]}" if ":" in which else f"{which} {version(which)}"
    row = f"| {title} | {' | '.join(cells)} |"
    print(row, flush=True)
    return row


def version(library: str) -> str:
    return platform.python_version() if library == "asyncio" else importlib.metadata.version(library)


def main() -> None:
    names = [*OTHERS, *(f"socketkit:{name}" for name in OURS if engines.is_available(name))]
    with ThreadPoolExecutor(4) as pool:
        rows = list(pool.map(measure, names))
    system = f"Python {platform.python_version()}, Linux {platform.release().partition('-')[0]}"
    head = f"| {system} | {' | '.join(FAULTS)} |\n|{'---|' * (len(FAULTS) + 1)}"
    for page in PAGES:
        before, _, rest = page.read_text().partition(BEGIN)
        page.write_text(f"{before}{BEGIN}\n{head}\n" + "\n".join(rows) + f"\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
