"""A ZeroMQ STREAM socket speaks plain TCP: here it asks a server of ours, in the framing that both agree on.

ZeroMQ gives each piece behind the connection's identity, and pieces are no messages: the framing's codec, which knows
no socket, makes messages of them on that side too.
"""

import zmq

from socketkit import Connection, framing, serve


async def shout(connection: Connection) -> None:
    async for message in connection:
        await connection.send(message.upper())


with serve(shout, "tcp4://127.0.0.1:0", framing="netstring") as server:
    codec = framing.parse("netstring").codec()
    with zmq.Context() as context, context.socket(zmq.STREAM) as stream:
        stream.connect(f"tcp://127.0.0.1:{server.addresses[0].port}")
        identity, _ = stream.recv_multipart()  # an empty piece: connected
        stream.send_multipart([identity, codec.encode([b"hello", b"from zeromq"])])
        answers: list[bytes] = []
        while len(answers) < 2:
            _, piece = stream.recv_multipart()
            answers += codec.feed(piece)
        print(*(answer.decode() for answer in answers), sep="\n")
        stream.send_multipart([identity, b""])  # an empty piece: goodbye
