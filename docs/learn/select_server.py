"""Many clients in one thread: select says which sockets are ready, and a queue keeps what could not be sent yet."""

import select
import socket
import threading


def serve(listener, clients_to_serve):
    listener.setblocking(False)
    inputs, queues = [listener], {}  # a queue of unsent bytes for each connection
    while clients_to_serve or queues:
        outputs = [connection for connection, unsent in queues.items() if unsent]  # not all of them: see the trap
        readable, writable, _ = select.select(inputs, outputs, [])
        for ready in readable:
            if ready is listener:
                connection, _ = listener.accept()
                connection.setblocking(False)
                inputs.append(connection)
                queues[connection] = b""
                clients_to_serve -= 1
            elif data := ready.recv(1024):
                queues[ready] += data
            else:  # the client has ended
                inputs.remove(ready)
                del queues[ready]
                ready.close()
        for ready in writable:
            if ready in queues:
                taken = ready.send(queues[ready])  # a part, perhaps
                queues[ready] = queues[ready][taken:]


with socket.create_server(("localhost", 0)) as listener:
    server = threading.Thread(target=serve, args=(listener, 2))
    server.start()
    first = socket.create_connection(listener.getsockname())
    second = socket.create_connection(listener.getsockname())
    second.sendall(b"two")  # the first is silent, and delays no other
    print("second:", second.recv(1024))
    first.sendall(b"one")
    print("first:", first.recv(1024))
    first.close()
    second.close()
    server.join()

with socket.create_server(("localhost", 0)) as listener, socket.create_connection(listener.getsockname()) as sender:
    sender.setblocking(False)
    size = 100_000_000
    print("one send took all of it:", sender.send(bytes(size)) == size)
