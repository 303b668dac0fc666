"""`socketkit connect`: standard input to a socket, and the socket to standard output."""

from __future__ import annotations

from typing import Any

from socketkit.address import Address
from socketkit.apps.connect import call
from socketkit.apps.conversation import Manner, until_told
from socketkit.cli import arguments, tls
from socketkit.cli.editor import sitting
from socketkit.cli.figures import counting
from socketkit.cli.lean import command
from socketkit.cli.manners import talking
from socketkit.events import Observer

__all__ = ["connect"]


@command()
@arguments.one_address(default=arguments.DEFAULT_ADDRESS)
@talking
@arguments.connect_timeout
@arguments.idle_timeout
@arguments.retry
@arguments.send_proxy
@arguments.framing
@arguments.engine
@arguments.watching
@tls.calling
@counting
@arguments.debug
def connect(address: Address, manner: Manner, engine: str | None, observer: Observer | None, **options: Any) -> int:
    """Send standard input to a socket, and what comes back to standard output (default: tcp://localhost:50000).

    At the end of the input the peer sees the end, and is heard out until it ends too. Over udp, unixgram and ip, which
    have no end, what is read at once is a datagram, and --reply-wait says how long answers are waited for. With
    exec:COMMAND the peer is a child, whose exit status is passed on.
    """
    arguments.refuse_stdio(address)
    statuses: list[int] = []
    with sitting(engine, address) as (way, person):

        async def work() -> None:
            statuses.append(
                await call(way, address, person, manner=manner, observer=observer, **arguments.given(**options))
            )

        number = way.run(until_told(way, work))
    return statuses.pop() if number is None else 128 + number  # as shells say it
