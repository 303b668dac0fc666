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
from pathlib import Path

C_FOLDER = Path(__file__).parent / "c"


def compile_programs() -> dict[str, Path]:
    """The C programs, compiled on the spot."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        sys.exit("bench: no C compiler (cc): the load generator is in C; install one, e.g. apt-get install gcc")
    folder = Path(tempfile.mkdtemp(prefix="socketkit-bench-"))
    programs = {}
    for source in C_FOLDER.glob("*.c"):
        programs[source.stem] = folder / source.stem
        subprocess.run([compiler, "-O2", "-Wall", "-o", str(programs[source.stem]), str(source)], check=True)
    return programs


def cores() -> tuple[set[int], set[int]]:
    """Cores for the server and for the load: one each where there are two, else the same."""
    allowed = sorted(os.sched_getaffinity(0))
    return {allowed[0]}, {allowed[-1]}


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
    count = len(os.sched_getaffinity(0))
    return (
        f"{platform.python_implementation()} {platform.python_version()}, {platform.system()} {platform.release()}, "
        f"{model}, {count} core{'s' if count > 1 else ''}, load average before {os.getloadavg()[0]:.1f}"
    )
