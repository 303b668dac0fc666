"""ZeroMQ's STREAM socket, which speaks plain TCP: identity and bytes, lines cut by hand."""

import sys

import zmq

mode = sys.argv[1]
with zmq.Context() as context, context.socket(zmq.STREAM) as stream:
    stream.setsockopt(zmq.BACKLOG, 65535)
    stream.setsockopt(zmq.MAXMSGSIZE, -1)
    port = stream.bind_to_random_port("tcp://127.0.0.1")
    print(port, flush=True)
    tails: dict[bytes, bytes] = {}
    while True:
        identity, data = stream.recv_multipart()
        if not data:
            tails[identity] = b""  # a connection has come, or gone
            continue
        if mode == "chunks":
            stream.send_multipart((identity, data))
            continue
        *lines, tails[identity] = (tails[identity] + data).split(b"\n")
        for line in lines:
            stream.send_multipart((identity, line + b"\n"))
