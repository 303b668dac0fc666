"""A handler of socketkit inside a Tornado application: one loop serves HTTP and a line protocol, with shared state.

Tornado runs on asyncio, and so does `async with serve(...)`: nothing has to be bridged.
"""

import asyncio

from tornado.httpclient import AsyncHTTPClient
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from socketkit import Connection, connect, serve

notes: list[str] = []


async def take_notes(connection: Connection) -> None:
    async for line in connection:
        notes.append(line)
        await connection.send(f"note {len(notes)} taken")


class Notes(RequestHandler):
    def get(self) -> None:
        self.write("\n".join(notes))


async def main() -> None:
    sockets = bind_sockets(0, "127.0.0.1")
    http = HTTPServer(Application([("/", Notes)]))
    http.add_sockets(sockets)
    async with serve(take_notes, "tcp://127.0.0.1:0", framing="lines") as server:
        async with connect(server.addresses[0], framing="lines") as connection:
            await connection.send("buy milk")
            print(await connection.receive())
        answer = await AsyncHTTPClient().fetch(f"http://127.0.0.1:{sockets[0].getsockname()[1]}/")
        print(answer.body.decode())
    http.stop()


asyncio.run(main())
