"""What the system tells about processes and about itself: processor time, memory, cores, limits."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

C_FOLDER = Path(__file__).parent / "c"
CORES = sorted(os.sched_getaffinity(0))

Programs = dict[str, Path]
"""The C programs by name."""


def compile_programs(stack: ExitStack) -> Programs:
    """The C programs, compiled on the spot; they go with the stack."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        sys.exit("bench: no C compiler (cc): the load generator is in C; install one, e.g. apt-get install gcc")
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="socketkit-bench-")))
    programs = {}
    for source in C_FOLDER.glob("*.c"):
        programs[source.stem] = folder / source.stem
        subprocess.run([compiler, "-O2", "-Wall", "-o", str(programs[source.stem]), str(source)], check=True)
    return programs


def on_server_core() -> None:
    """This process has the core of the server under test."""
    os.sched_setaffinity(0, CORES[:1])


def on_load_core() -> None:
    """This process has the core of the load: another one than the server's where there are two."""
    os.sched_setaffinity(0, CORES[-1:])


def on_all_cores() -> None:
    """This process runs wherever the system puts it."""
    os.sched_setaffinity(0, CORES)


def processor_ns(process: int) -> int:
    """User and system time of a process so far, with its threads, those that ended too."""
    return time.clock_gettime_ns((~process << 3) | 2)  # its CPU clock: clock_getcpuclockid(3), CPUCLOCK_SCHED


def private_memory(process: int) -> int:
    """Bytes of memory that are this process's own, and no file's (its heap and stacks)."""
    for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("smaps_rollup has no Anonymous line")


def resident_memory(process: int) -> int:
    """Bytes of the process that lie in memory."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * resource.getpagesize()


def raise_descriptor_limit() -> int:
    """As many descriptors as we may have; how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def facts() -> str:
    """Where this was measured."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    count = len(CORES)
    return (
        f"{platform.python_implementation()} {platform.python_version()}, {platform.system()} {platform.release()}, "
        f"{model}, {count} core{'s' if count > 1 else ''}, load average {os.getloadavg()[0]:.1f} before"
    )
