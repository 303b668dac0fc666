"""A client whose answer comes in pieces: one recv is not the answer."""

import socket
import threading

more = threading.Semaphore(0)


def answer_in_pieces(listener):
    connection, _ = listener.accept()
    with connection:
        connection.recv(1024)
        for piece in (b"an answer ", b"in three ", b"pieces"):
            connection.sendall(piece)
            more.acquire()  # the next piece takes its time on the network


with socket.create_server(("localhost", 0)) as listener:
    server = threading.Thread(target=answer_in_pieces, args=(listener,))
    server.start()
    with socket.create_connection(listener.getsockname()) as client:
        client.sendall(b"question")
        answer = client.recv(1024)  # the trap: 1024 is a maximum
        print("one recv:", answer)
        more.release()
        while data := client.recv(1024):  # until the server ends
            answer += data
            more.release()
        print("to the end:", answer)
    server.join()
