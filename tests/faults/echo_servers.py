"""The same small line-echo server in several libraries, each written as its library's documentation teaches.

A line comes back; "fail" raises; "pause" is answered after half a second; after "listen" and half a second nothing is
answered any more. Each line that a handler
receives is printed to standard output. A peer that is silent for `IDLE` seconds must be disconnected. SIGTERM must stop
the server, with the graceful stop that the library has.

Usage: `python -m faults.echo_servers asyncio|uvloop|anyio|trio|twisted|socketkit:ENGINE`
"""

from __future__ import annotations

import signal
import sys
from typing import Any

IDLE = 2.0
PAUSE = 0.5
GRACE = 2.0


def listening(port: int) -> None:
    print(f"listening tcp://127.0.0.1:{port}", file=sys.stderr, flush=True)


def got(line: bytes | str) -> None:
    text = line.decode() if isinstance(line, bytes) else line
    print(f"got {text[:40]}", flush=True)
    if text == "fail":
        raise ZeroDivisionError("as it was told")


async def asyncio_main() -> None:
    import asyncio

    async def talk(reader: Any, writer: Any) -> None:
        quiet = False
        try:
            while line := await asyncio.wait_for(reader.readline(), IDLE):
                got(line.rstrip(b"\n"))
                if line in (b"pause\n", b"listen\n"):
                    await asyncio.sleep(PAUSE)
                quiet = quiet or line == b"listen\n"
                if not quiet:
                    writer.write(line)
                    await writer.drain()
        except TimeoutError:
            pass
        finally:
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    listening(server.sockets[0].getsockname()[1])
    async with server:
        await stop.wait()
        server.close()
        await server.wait_closed()


def run_asyncio() -> None:
    import asyncio

    asyncio.run(asyncio_main())


def run_uvloop() -> None:
    import uvloop

    uvloop.run(asyncio_main())


def run_anyio() -> None:
    import anyio
    from anyio.streams.buffered import BufferedByteReceiveStream

    async def talk(stream: Any) -> None:
        async with stream:
            lines = BufferedByteReceiveStream(stream)
            quiet = False
            with_end = (anyio.EndOfStream, anyio.IncompleteRead, TimeoutError)
            try:
                while True:
                    with anyio.fail_after(IDLE):
                        line = await lines.receive_until(b"\n", 65536)
                    got(line)
                    if line in (b"pause", b"listen"):
                        await anyio.sleep(PAUSE)
                    quiet = quiet or line == b"listen"
                    if not quiet:
                        await stream.send(line + b"\n")
            except with_end:
                pass

    async def main() -> None:
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
        listening(listener.extra(anyio.abc.SocketAttribute.local_port))
        async with anyio.create_task_group() as group:
            group.start_soon(listener.serve, talk)
            with anyio.open_signal_receiver(signal.SIGTERM) as signals:
                async for _ in signals:
                    break
            group.cancel_scope.cancel()

    anyio.run(main)


def run_trio() -> None:
    import trio

    async def talk(stream: Any) -> None:
        async with stream:
            data, quiet = bytearray(), False
            while True:
                while b"\n" not in data:
                    with trio.move_on_after(IDLE) as scope:
                        piece = await stream.receive_some()
                    if scope.cancelled_caught or not piece:
                        return
                    data += piece
                line, _, rest = bytes(data).partition(b"\n")
                data = bytearray(rest)
                got(line)
                if line in (b"pause", b"listen"):
                    await trio.sleep(PAUSE)
                quiet = quiet or line == b"listen"
                if not quiet:
                    await stream.send_all(line + b"\n")

    async def main() -> None:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        listening(listeners[0].socket.getsockname()[1])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, talk, listeners)
            with trio.open_signal_receiver(signal.SIGTERM) as signals:
                async for _ in signals:
                    break
            nursery.cancel_scope.cancel()

    trio.run(main)


def run_twisted() -> None:
    from twisted.internet import protocol, reactor
    from twisted.protocols import basic, policies

    class Talk(basic.LineReceiver, policies.TimeoutMixin):  # type: ignore[misc, unused-ignore]
        delimiter = b"\n"
        quiet = False

        def connectionMade(self) -> None:
            self.setTimeout(IDLE)

        def lineReceived(self, line: bytes) -> None:
            self.resetTimeout()
            got(line)
            self.quiet = self.quiet or line == b"listen"
            if line in (b"pause", b"listen"):
                self.pauseProducing()
                reactor.callLater(PAUSE, self.go_on, line)
            elif not self.quiet:
                self.sendLine(line)

        def go_on(self, line: bytes) -> None:
            if not self.quiet:
                self.sendLine(line)
            self.resumeProducing()

    factory = protocol.Factory.forProtocol(Talk)
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    listening(port.getHost().port)
    reactor.run()


def run_socketkit(engine: str) -> None:
    from socketkit import serve
    from socketkit.events import Listening

    async def talk(connection: Any) -> None:
        quiet = False
        async for line in connection:
            got(line)
            if line in ("pause", "listen"):
                await connection.engine.sleep(PAUSE)
            quiet = quiet or line == "listen"
            if not quiet:
                await connection.send(line)

    def tell(event: Any) -> None:
        if isinstance(event, Listening):
            listening(int(event.local.rpartition(":")[2]))

    serve(
        talk, "tcp://127.0.0.1:0", framing="lines", engine=engine, observer=tell, idle_timeout=IDLE, grace=GRACE
    ).run()


def main() -> None:
    library, _, engine = sys.argv[1].partition(":")
    run = globals()[f"run_{library}"]
    run(engine) if engine else run()


if __name__ == "__main__":
    main()
