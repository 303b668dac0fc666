"""The standard library's ThreadingTCPServer: a thread a connection, lines by a buffered file."""

import socketserver
import sys


class EchoLines(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self) -> None:
        try:
            for line in self.rfile:
                self.wfile.write(line)
        except ConnectionError:
            pass


class EchoChunks(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        try:
            while data := self.request.recv(256 * 1024):
                self.request.sendall(data)
        except ConnectionError:
            pass


class Count(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        total = 0
        for _ in self.rfile:
            total += 1
        self.wfile.write(b"%d\n" % total)


class Server(socketserver.ThreadingTCPServer):
    request_queue_size = 65535
    daemon_threads = True


with Server(("127.0.0.1", 0), {"lines": EchoLines, "chunks": EchoChunks, "count": Count}[sys.argv[1]]) as server:
    print(server.server_address[1], flush=True)
    server.serve_forever()
