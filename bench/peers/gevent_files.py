"""gevent's StreamServer: a greenlet a connection, lines by a buffered file over the socket."""

import socket
import sys

from gevent.server import StreamServer


def echo_lines(sock: socket.socket, address: object) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        with sock.makefile("rb") as lines:
            for line in lines:
                sock.sendall(line)
    except ConnectionError:
        pass


def echo_chunks(sock: socket.socket, address: object) -> None:
    try:
        while data := sock.recv(256 * 1024):
            sock.sendall(data)
    except ConnectionError:
        pass


def count(sock: socket.socket, address: object) -> None:
    total = 0
    with sock.makefile("rb") as lines:
        for _ in lines:
            total += 1
    sock.sendall(b"%d\n" % total)


handler = {"lines": echo_lines, "chunks": echo_chunks, "count": count}[sys.argv[1]]
server = StreamServer(("127.0.0.1", 0), handler, backlog=65535)
server.start()
print(server.server_port, flush=True)
server.serve_forever()
