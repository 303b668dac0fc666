"""The chat under a storm of joins: ten thousand within a second, while twenty guests talk.

Usage: `python -m bench.joins [KIND ...] [-- OPTIONS of chat host]` prints one storm of each kind (chat_joins.c has the
kinds); as a part of `python -m bench.chat` it makes the table of bench/chat.md. The host has one core, the storm the
other one. The guests that talk are a process of their own, which the storm's does not delay.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.machine import (
    Programs,
    compile_programs,
    on_load_core,
    on_server_core,
    processor_ns,
    raise_descriptor_limit,
    resident_memory,
)

COUNT = 10_000
SECONDS = 1.0
TALKERS = 20
RATE = 100
QUIET_TIME = 3.0
"""Seconds of talk before the storm, when it is over, and when its guests have gone."""
ROUNDS = 3
P99_HELD_TO = 50.0

ROOMY = ("--max-guests", "12000")
TRIALS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("each asks for a name", "name", ()),
    ("and says a line", "talk", ()),
    ("all from one address, for one name", "same", ()),
    ("none says anything", "silent", ()),
    ("all leave at once", "gone", ()),
    ("wrong passwords, `--password-file`", "wrong", ()),
    ("by WebSocket, `--web`", "web", ()),
    ("a name each, `--store`", "name", ("--store", "chat.db")),
    ("a name each, `--max-guests 12000`, 200 rooms", "rooms", ROOMY),
)


@dataclass
class Storm:
    """What became of one storm.

    Attributes:
        facts: what the storm's guests have counted, by the names that chat_joins.c prints.
        before, during, after: delays of the talkers' deliveries in milliseconds: p50, p99, the longest.
        said: lines of the talkers.
        lost, wrong: deliveries of these that did not come, or in another order than they were said, or twice.
        seconds: processor time of the host until all know whether they are in; the talk is part of it.
        memory: resident mebibytes before, at most, and when all have gone.
        descriptors: before and after.
        log: notices that the host has shown.
        overflows: tries to connect that the system has not taken, as the backlog was full; the client's system repeats
            them after a second.
    """

    facts: dict[str, float]
    before: tuple[float, ...]
    during: tuple[float, ...]
    after: tuple[float, ...]
    said: int
    lost: int
    wrong: int
    seconds: float
    memory: tuple[float, ...]
    descriptors: tuple[int, int]
    log: list[str]
    overflows: int

    def row(self, what: str) -> str:
        """A row of the table."""
        facts = self.facts
        told = f"{facts['admitted']:,.0f} / {facts['full'] + facts['wrong']:,.0f}"
        if facts["left"]:
            told = "all left"
        delays = f"{self.before[1]:.0f} → **{self.during[1]:.0f}**, {self.during[2]:.0f}"
        memory = f"{self.memory[1]:.0f}, {self.memory[2]:.0f}"
        cells = (what, told, f"{facts['last']:.1f} s", delays, f"{self.seconds:.1f} s", memory, str(len(self.log)))
        return f"| {' | '.join(cells)} |"


@contextmanager
def logging_host(folder: Path, *options: str) -> Iterator[tuple[int, list[int]]]:
    """A chat host that writes to the files `out` and `err` of this folder; its process and its ports."""
    command = [sys.executable, "-m", "socketkit", "chat", "host", "tcp4://127.0.0.1:0", "--lang", "en", *options]
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, preexec_fn=on_server_core, cwd=folder
        )
    try:
        deadline = time.monotonic() + 20
        while (text := (folder / "err").read_text()).count("\n") < 1 + ("--web" in options):
            if time.monotonic() > deadline:
                raise RuntimeError(f"the host does not listen: {text}")
            time.sleep(0.05)
        lines = [line for line in text.splitlines() if line.startswith("listening")]
        yield process.pid, [int(line.rstrip("/").rsplit(":", 1)[1]) for line in lines]
    finally:
        process.kill()
        process.wait()


def storm(programs: Programs, kind: str, *options: str, count: int = COUNT) -> Storm:
    """One storm on one host, which is started for it."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="socketkit-bench-")))
        password = []
        if kind == "wrong":
            (folder / "password").write_text("right\n")
            options += ("--password-file", "password")
            password = ["right"]
        elif kind == "web":
            options += ("--web", "http://127.0.0.1:0")
        process, ports = stack.enter_context(logging_host(folder, *options))
        talk = _program(stack, programs, "chat_talk", str(ports[0]), str(TALKERS), str(RATE), *password)
        assert talk.stdout is not None and talk.stdout.readline() == "ready\n"
        began = time.monotonic()
        time.sleep(QUIET_TIME)
        memory, descriptors = [_mib(process)], [_open_count(process)]
        overflows, spent = _listen_overflows(), processor_ns(process)
        joins = _program(stack, programs, "chat_joins", str(ports[-1]), str(count), str(SECONDS), kind)
        assert joins.stdout is not None
        facts = _numbers(joins.stdout.readline())
        calm, spent = time.monotonic(), processor_ns(process) - spent
        time.sleep(QUIET_TIME)
        over = time.monotonic()
        facts |= _numbers(joins.communicate()[0])
        time.sleep(QUIET_TIME)
        memory += [_peak_mib(process), _mib(process)]
        descriptors.append(_open_count(process))
        overflows = _listen_overflows() - overflows
        output = talk.communicate()[0].splitlines()
        log = [line for name in ("err", "out") for line in (folder / name).read_text(errors="replace").splitlines()]
    said, lost, wrong = map(int, output[0].split())
    pairs = [tuple(map(float, line.split())) for line in output[1:]]

    def among(start: float, end: float) -> tuple[float, ...]:
        return _delays([delay for due, delay in pairs if start <= due < end])

    stormed = facts["began"]
    return Storm(
        facts, among(began, stormed), among(stormed, calm), among(calm, over), said, lost, wrong, spent / 1e9,
        tuple(memory), (descriptors[0], descriptors[1]), [line for line in log if line.startswith("* ")], overflows,
    )  # fmt: skip


def _program(stack: ExitStack, programs: Programs, name: str, *words: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [programs[name], *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=_first if name == "chat_talk" else on_load_core,
    )
    stack.callback(process.wait)
    stack.callback(process.kill)
    return process


def _first() -> None:
    """This process runs before the storm's on their core, where that is allowed."""
    on_load_core()
    if os.getuid() == 0:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


def _numbers(line: str) -> dict[str, float]:
    """name=value ..."""
    return {name: float(value) for name, _, value in (each.partition("=") for each in line.split())}


def _delays(seconds: list[float]) -> tuple[float, ...]:
    """p50, p99 and the longest of these, in milliseconds."""
    ordered = sorted(seconds) or [0.0]
    return tuple(1000 * ordered[int(share * (len(ordered) - 1))] for share in (0.5, 0.99, 1))


def _mib(process: int) -> float:
    return resident_memory(process) / 2**20


def _peak_mib(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) / 1024


def _open_count(process: int) -> int:
    return len(os.listdir(f"/proc/{process}/fd"))


def _listen_overflows() -> int:
    """Of all programs of this machine."""
    lines = [line.split() for line in Path("/proc/net/netstat").read_text().splitlines() if line.startswith("TcpExt")]
    return int(dict(zip(*lines, strict=True))["ListenOverflows"])


def prefer() -> None:
    """Have this session's processes run before those of others, where that is allowed."""
    if os.getuid() == 0:
        os.setpriority(os.PRIO_PROCESS, 0, -15)
        autogroup = Path("/proc/self/autogroup")  # where sessions share the processor, the priority acts within one
        if autogroup.exists():
            autogroup.write_text("-15")


def table(programs: Programs) -> tuple[str, list[tuple[str, float, bool]]]:
    """The table of all trials, and the bars of the p99; of each trial the median of its rounds."""
    prefer()
    raise_descriptor_limit()
    rows = [
        f"| {COUNT:,} joins in a second | in / refused | all know after | others' lines, p99 before → in the storm, "
        "longest (ms) | processor | memory: most, after (MiB) | notices |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    bars = []
    for what, kind, options in TRIALS:
        rounds = [storm(programs, kind, *options) for _ in range(ROUNDS)]
        found = sorted(rounds, key=lambda each: each.during[1])[ROUNDS // 2]
        if any(each.lost or each.wrong or each.facts["closed"] or each.facts["open"] for each in rounds):
            raise RuntimeError(f"{what}: a line was lost or doubled, or a guest was told nothing")
        rows.append(found.row(what))
        print(rows[-1], flush=True)
        bars.append((" ".join((kind, *options)), found.during[1], True))
    return "\n".join(rows), bars


def main() -> None:
    prefer()
    on_load_core()
    raise_descriptor_limit()
    words = sys.argv[1:]
    kinds, options = (words, []) if "--" not in words else (words[: words.index("--")], words[words.index("--") + 1 :])
    with ExitStack() as stack:
        programs = compile_programs(stack)
        for kind in kinds or dict.fromkeys(kind for _, kind, _ in TRIALS):
            found = storm(programs, kind, *options)
            print(f"== {kind} {' '.join(options)}")
            print(" ", " ".join(f"{name}={value:g}" for name, value in found.facts.items()))
            for name in ("before", "during", "after"):
                print(f"  {name}: " + "p50 {:.1f} p99 {:.1f} longest {:.1f} ms".format(*getattr(found, name)))
            print(f"  said {found.said}, lost {found.lost}, wrong {found.wrong}, processor {found.seconds:.2f} s")
            print(f"  MiB {' '.join(f'{each:.0f}' for each in found.memory)}, descriptors {found.descriptors}")
            print(f"  overflows {found.overflows}, log lines {len(found.log)}")
            for line in found.log[:4] + found.log[-4:]:
                print("   |", line[:150])


if __name__ == "__main__":
    main()
