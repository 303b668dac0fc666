"""Stay connected: each time the other end hangs up, or is lost, there is a fresh connection after a short pause."""

import itertools

from socketkit import BlockingConnection, BrokenError, Retry, connect, serve

callers, numbers = itertools.count(1), itertools.count(1)


def tick(connection: BlockingConnection) -> None:
    """A service that tells two numbers and hangs up; for every second caller it crashes instead."""
    if next(callers) % 2 == 0:
        connection.abort()
        return
    for number in itertools.islice(numbers, 2):
        connection.send(str(number))


with serve(tick, "tcp://localhost:0", framing="lines") as server:
    for connection in connect(server.addresses[0], framing="lines", retry=Retry(first=0.01)):
        line = "0"
        try:
            for line in connection:
                print(line)
        except BrokenError:
            continue  # lost: the next one, please
        if line == "6":
            break
