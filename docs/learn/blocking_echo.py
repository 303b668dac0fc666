"""An echo server by hand, and its client: each call that a socket server needs."""

import socket
import threading


def serve_one(listener):
    connection, peer = listener.accept()  # waits for a client; a new socket, for this client alone
    print("server: a client from", peer[0])
    try:
        while data := connection.recv(1024):  # waits for bytes; none mean that the client has ended
            print("server:", data)
            connection.sendall(data)  # send may take a part; sendall goes on until all is taken
    finally:
        connection.close()


listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # bind again at once after a restart
listener.bind(("127.0.0.1", 0))  # 0: a free port
listener.listen(1)
port = listener.getsockname()[1]
server = threading.Thread(target=serve_one, args=(listener,))
server.start()

client = socket.create_connection(("127.0.0.1", port))
client.sendall(b"hello")
print("client:", client.recv(1024))

second = socket.create_connection(("127.0.0.1", port), timeout=0.2)  # the trap: it connects ...
second.sendall(b"and me?")
try:
    second.recv(1024)  # ... and is not served
except TimeoutError:
    print("second client: connected, and no answer")

client.close()
server.join()
second.close()
listener.close()
