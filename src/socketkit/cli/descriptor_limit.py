"""The limit of open descriptors (`ulimit -n`), which a shell mostly sets to 1024: raised to what a verb needs."""

from __future__ import annotations

from typing import Final

from socketkit.cli.output import print_line

__all__ = ["allow_connections"]

OWN_COUNT: Final = 64
"""Descriptors beside the connections: standard streams, listeners, the engine's, a store, a bus."""


def allow_connections(count: int, spare: int, *, what: str) -> None:
    """Have this process open so many connections, as far as its hard limit allows; else say that it may not.

    Args:
        count: of connections that are to be served at a time.
        spare: more that are open for a moment; without room for them all goes on more slowly.
        what: the option that asks for this count.
    """
    try:
        import resource
    except ImportError:  # not a system with such limits
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + spare + OWN_COUNT
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    except (OSError, ValueError):  # macOS has another limit beside it
        allowed = soft
    if allowed < count + OWN_COUNT:
        print_line(
            f"socketkit: {what} {count}: this process may have {allowed} descriptors (ulimit -n), so about "
            f"{max(0, allowed - OWN_COUNT)} connections at a time; more wait until others end"
        )
