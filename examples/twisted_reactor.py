"""A handler of socketkit under Twisted's asyncio reactor: a Twisted protocol talks to it, in one loop.

Twisted awaits asyncio's futures by `Deferred.fromFuture`, and the reactor's loop is the one that our verbs run in.
"""

# mypy: disable-error-code="no-untyped-call"
import asyncio

from twisted.internet import asyncioreactor

asyncioreactor.install(asyncio.new_event_loop())

from twisted.internet import reactor  # noqa: E402
from twisted.internet.defer import Deferred  # noqa: E402
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol  # noqa: E402
from twisted.internet.task import deferLater, react  # noqa: E402
from twisted.protocols.basic import LineOnlyReceiver  # noqa: E402

from socketkit import Connection, serve  # noqa: E402


class Asker(LineOnlyReceiver):
    delimiter = b"\n"

    def __init__(self) -> None:
        self.answer: Deferred[bytes] = Deferred()

    def lineReceived(self, line: bytes) -> None:  # noqa: N802 - Twisted's name
        self.answer.callback(line)


async def shout(connection: Connection) -> None:
    async for line in connection:
        await connection.send(line.upper())


async def main() -> None:
    recipe = serve(shout, "tcp4://127.0.0.1:0", framing="lines")
    server = await Deferred.fromFuture(asyncio.ensure_future(recipe.__aenter__()))
    port = server.addresses[0].port or 0
    asker = await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port), Asker())
    asker.sendLine(b"hello from twisted")
    print((await asker.answer).decode())
    asker.transport.loseConnection()
    await Deferred.fromFuture(asyncio.ensure_future(server.close()))


# Behind the first turn: `react` calls before the loop runs.
react(lambda clock: deferLater(clock, 0, lambda: Deferred.fromCoroutine(main())))
