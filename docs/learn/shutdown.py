"""The end: one direction after the other; and what becomes of an answer when a server just closes."""

import socket
import threading

from socketkit import connect, serve


def refuse(listener, is_careful, has_come):
    connection, _ = listener.accept()
    has_come.wait()  # the request is there, and is not read
    connection.sendall(b"too large")
    if is_careful:
        connection.shutdown(socket.SHUT_WR)  # "my answer is complete"
        while connection.recv(4096):  # read what is left, to the client's end
            pass
    connection.close()  # with unread bytes: a reset (RFC 2525, 2.17)


for is_careful in (False, True):
    with socket.create_server(("localhost", 0)) as listener:
        has_come = threading.Event()
        server = threading.Thread(target=refuse, args=(listener, is_careful, has_come))
        server.start()
        with socket.create_connection(listener.getsockname()) as client:
            client.sendall(b"a request")
            has_come.set()
            if is_careful:
                answer = client.recv(1024)
                client.shutdown(socket.SHUT_WR)
                print("careful:", answer, "and its end", client.recv(1024))
            else:
                server.join()
                try:
                    while client.recv(1024):  # the answer, perhaps; never its end
                        pass
                except ConnectionResetError:
                    print("careless: reset, and the answer may be lost with it")
        server.join()


def sort(connection):
    connection.send(b" ".join(sorted(b"".join(connection).split())))  # to the client's end; then the answer


with serve(sort, "tcp://localhost:0") as server:  # leaving the block drains: open connections may finish
    with connect(server.addresses[0]) as connection:
        connection.send(b"pear apple fig")
        connection.send_eof()  # our end; the answer can still come
        print("half-close:", b"".join(connection))
