"""A chat of two persons who take turns, as it is first written: a recv for each message."""

import socket
import threading

both_sent = threading.Event()


def host(listener):
    connection, _ = listener.accept()
    with connection:
        print("host reads:", connection.recv(1024).decode())
        connection.sendall(b"hello, guest")
        both_sent.wait()  # the host is typing, and does not read
        while (text := connection.recv(1024).decode()) != "bye":
            if not text:
                print("host: the guest is gone, and has not said bye")
                return
            print("host reads:", text)


with socket.create_server(("localhost", 0)) as listener:
    chat = threading.Thread(target=host, args=(listener,))
    chat.start()
    with socket.create_connection(listener.getsockname()) as guest:
        guest.sendall(b"hello")
        print("guest reads:", guest.recv(1024).decode())
        guest.sendall(b"one more thing")  # the trap: two sends ...
        guest.sendall(b"bye")  # ... that the host receives as one
        guest.shutdown(socket.SHUT_WR)  # the guest leaves
        both_sent.set()
        guest.recv(1024)
    chat.join()
