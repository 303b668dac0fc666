"""The hot path, compiled where it could be; else the same in Python.

`native` says which. The environment variable `SOCKETKIT_PURE=1` chooses Python, which is also the oracle of the tests.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

from socketkit._core.connection import DONE, ConnectionCore, Done, broadcast, push, read_messages, receive_blocking
from socketkit._core.datagram import Datagram, receive_batch, send_batch
from socketkit._core.framing import encode_lines
from socketkit._core.kernel import PARKED, READ, READ_BITS, TURN_TASKS, WRITE, WRITE_BITS, Kernel, Slot, TaskState
from socketkit._core.session import NOTHING, PART, UNUSUAL, WHOLE, SessionCore
from socketkit._core.side import LoopCore, SideCore
from socketkit._core.stream import StreamCore, count_fork
from socketkit._core.websocket import MessageReader, apply_mask, encode_frame

__all__ = [
    "DONE", "NOTHING", "PARKED", "PART", "READ", "READ_BITS", "TURN_TASKS", "UNUSUAL", "WHOLE", "WRITE", "WRITE_BITS",
    "ConnectionCore", "Datagram", "Done", "Kernel", "LoopCore", "MessageReader", "SessionCore", "SideCore", "Slot",
    "StreamCore", "TaskState", "apply_mask", "broadcast", "count_fork", "encode_frame", "encode_lines", "forks",
    "native", "push", "read_messages", "receive_batch", "receive_blocking", "send_batch",
]  # fmt: skip

native = False
"""Whether the compiled core is in use."""

_native_names = (
    "DONE", "NOTHING", "PARKED", "ConnectionCore", "Done", "Kernel", "LoopCore", "MessageReader", "SessionCore",
    "SideCore", "Slot", "StreamCore", "TaskState", "apply_mask", "broadcast", "count_fork", "encode_frame",
    "encode_lines", "push", "read_messages", "receive_blocking",
)  # fmt: skip
"""What exists twice."""

_of_some_systems = ("receive_batch", "send_batch")
"""What exists twice where the system has the calls for it."""

if not TYPE_CHECKING and os.environ.get("SOCKETKIT_PURE", "0") in ("", "0"):
    try:
        _native = import_module(f"{__name__}._native")
        _found = {name: getattr(_native, name) for name in _native_names}
    except (ImportError, AttributeError):
        # It was not compiled (there was no compiler, or the system is none of its own), or from an older source.
        pass
    else:
        native = True
        _found |= {name: getattr(_native, name) for name in _of_some_systems if hasattr(_native, name)}
        globals().update(_found)

forks = 0
"""How many children of fork(2) there are between the process that has imported this and the current one."""


def _forked() -> None:
    global forks
    forks += 1
    count_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
