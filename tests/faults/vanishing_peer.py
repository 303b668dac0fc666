"""A peer that vanishes without FIN or RST, in its own network: run by test_vanished.py in a new network namespace.

Prints the seconds until the server noticed, and the error.
"""

from __future__ import annotations

import subprocess
import sys
import time

from faults.faulty_peers import dial
from faults.server_under_test import HealthyClient
from socketkit import serve
from socketkit.events import Closed

PEER = "10.200.0.2"


def run(*words: str) -> None:
    subprocess.run(words, check=True)


def main(engine: str, *options: str) -> None:
    run("ip", "link", "set", "lo", "up")
    run("ip", "address", "add", f"{PEER}/32", "dev", "lo")
    ends: list[Closed] = []

    async def talk(connection):
        async for message in connection:
            await connection.send(message)
            if message == "speak":
                await connection.engine.sleep(0.5)  # meanwhile the peer vanishes
                await connection.send("are you there?")

    def observer(event):
        if isinstance(event, Closed):
            ends.append(event)

    first, *rest = options
    given = dict(option.split("=") for option in rest)
    with serve(talk, "tcp://127.0.0.1:0", framing="lines", engine=engine, observer=observer, **given) as server:
        name = (server.addresses[0].host, server.addresses[0].port)
        companion = HealthyClient(name)
        companion.start()
        with dial(name, source=PEER) as sock:
            sock.sendall(f"{first}\n".encode())
            assert sock.recv(100) == f"{first}\n".encode()
            began = time.monotonic()
            run("ip", "address", "delete", f"{PEER}/32", "dev", "lo")
            run("ip", "route", "add", "blackhole", f"{PEER}/32")
            while not ends and time.monotonic() < began + 20:
                companion.wait_rounds(1)
            print(f"{time.monotonic() - began:.2f} {ends[0].error!r}")
        companion.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
