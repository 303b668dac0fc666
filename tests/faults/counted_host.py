"""Run the command; at SIGUSR1 it writes how many blocks of memory Python has allocated, after a collection, to stderr.

A count of blocks tells a leak from a heap that has holes: what the system calls resident does not shrink.
"""

from __future__ import annotations

import gc
import runpy
import signal
import sys


def write_count(*_: object) -> None:
    gc.collect()
    print(f"blocks {sys.getallocatedblocks()}", file=sys.stderr, flush=True)


signal.signal(signal.SIGUSR1, write_count)
runpy.run_module("socketkit", run_name="__main__", alter_sys=True)
