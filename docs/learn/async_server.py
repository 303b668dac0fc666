"""The same server as coroutines: reads like blocking code, and waits like the select loop."""

import asyncio
import threading

from socketkit import connect, serve

other_is_served = threading.Event()


def long_work():
    return "done" if other_is_served.wait(10) else "no other client was served meanwhile"


async def answer(connection):
    async for line in connection:
        if line == "work":
            # The trap: `line = long_work()` here would stop every client of this thread.
            line = await connection.engine.run_in_thread(long_work)
        await connection.send(line)


async def main():
    async with serve(answer, "tcp://localhost:0", framing="lines") as server:
        address = server.addresses[0]
        async with connect(address, framing="lines") as first, connect(address, framing="lines") as second:
            await first.send("work")
            await second.send("ping")
            print("second:", await second.receive())
            other_is_served.set()
            print("first:", await first.receive())


asyncio.run(main())
