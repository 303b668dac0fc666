"""The engines, by name. Each is imported when it is made."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from socketkit.errors import OptionError

if TYPE_CHECKING:
    from socketkit.engines.engine import Engine

__all__ = ["NAMES", "best_readiness", "is_available", "is_compiled", "make", "missing", "running"]

NAMES: Final = ("asyncio", "uvloop", "trio", "epoll", "kqueue", "poll", "select", "blocking")
"""Every engine, whatever the system."""

_SYSTEMS: Final = {
    "select": "every system",
    "poll": "POSIX systems",
    "epoll": "Linux",
    "kqueue": "BSD and macOS",
}

_PACKAGES: Final = ("uvloop", "trio")


def is_compiled() -> bool:
    """Whether the hot path is the compiled one; else the same in Python: no compiler was there, or SOCKETKIT_PURE=1."""
    from socketkit import _core  # loaded by each engine anyway

    return _core.native


def missing(name: str) -> str | None:
    """Return the reason why an engine is not available here, as text; None where it is available."""
    if name in _SYSTEMS:
        from socketkit.engines.pollers import POLLERS

        return None if name in POLLERS else f"{name} is a system call of {_SYSTEMS[name]}, not of {sys.platform}"
    if name in _PACKAGES and find_spec(name) is None:
        return f"{name} is not installed: pip install 'socketkit[{name}]'"
    return None if name in NAMES else f"there is no engine {name!r}: it is one of {', '.join(NAMES)}"


def is_available(name: str) -> bool:
    """Whether an engine is available here."""
    return missing(name) is None


def best_readiness() -> str:
    """Return the name of the readiness engine that is best on this system."""
    return next(name for name in ("epoll", "kqueue", "poll", "select") if is_available(name))


def make(name: str) -> Engine:
    """Make a new engine.

    Raises:
        OptionError: there is no engine of that name, or it is not available here, or it lacks descriptors; says why.
    """
    reason = missing(name)
    if reason is not None:
        raise OptionError(f"engine={name}: {reason}")
    if name in _SYSTEMS:
        from socketkit.engines.readiness import READINESS

        try:
            return READINESS[name]()
        except OSError as error:  # no descriptor is left for it, or none that select(2) takes
            raise OptionError(f"engine={name}: {error.strerror}") from error
    if name == "blocking":
        from socketkit.engines.blocking import BlockingEngine

        return BlockingEngine()
    if name == "trio":
        from socketkit.engines.trio import TrioEngine

        return TrioEngine()
    from socketkit.engines.asyncio import AsyncioEngine, UvloopEngine

    return UvloopEngine() if name == "uvloop" else AsyncioEngine()


def running() -> Engine | None:
    """Return the engine whose task calls this; None in plain code. Only `api` asks: below it engines are passed."""
    if "socketkit.engines.readiness" in sys.modules:
        from socketkit.engines.readiness import running as running_kernel

        kernel = running_kernel()
        if kernel is not None:
            return kernel
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_task():
        from socketkit.engines.trio import engine_of_run

        return engine_of_run()
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None:
        current = asyncio._get_running_loop()
        if current is not None:
            from socketkit.engines.asyncio import engine_of

            return engine_of(current)
    return None
