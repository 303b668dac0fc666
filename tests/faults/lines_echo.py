"""An echo of lines that tells at its end what it has counted: in events, and by itself. Run as a program."""

from __future__ import annotations

import json
import resource
import sys
from collections import Counter

from socketkit import serve
from socketkit.events import Accepted, AcceptPaused, Closed
from socketkit.server.server import Server

counts: Counter[str] = Counter()
errors: Counter[str] = Counter()
sizes = {"received": 0, "sent": 0}
open_numbers: set[int] = set()
servers: list[Server] = []


def observe(event):
    counts[type(event).__name__] += 1
    if isinstance(event, Accepted):
        open_numbers.add(event.connection)
    elif isinstance(event, Closed):
        open_numbers.remove(event.connection)
        if event.error is not None:
            errors[type(event.error).__name__] += 1
        sizes["received"] += event.received_size
        sizes["sent"] += event.sent_size
    elif isinstance(event, AcceptPaused) and counts["AcceptPaused"] == 1:
        print("out of descriptors", file=sys.stderr, flush=True)


observe.wants_data = False


async def echo(connection):
    async for messages in connection.batches():
        await connection.send_many(messages)


def told(addresses):
    print("listening", addresses[0], file=sys.stderr, flush=True)


if __name__ == "__main__":
    engine, descriptors = sys.argv[1], int(sys.argv[2])
    if descriptors:
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
    recipe = serve(
        echo,
        "tcp://127.0.0.1:0",
        framing="lines:encoding=none,max_size=64KiB",
        engine=engine,
        observer=observe,
        idle_timeout=sys.argv[3],
        close_timeout="1s",
        grace="3s",
    )
    make = recipe._make

    def kept(engine):
        servers.append(make(engine))
        return servers[0]

    recipe._make = kept
    recipe.run(listening=told)
    facts = servers[0].statistics()
    told_at_end = {name: getattr(facts, name) for name in type(facts).fields}
    print(
        json.dumps(
            {"events": counts, "errors": errors, "open": len(open_numbers), "sizes": sizes, "facts": told_at_end}
        )
    )
