"""An encrypted echo: the client checks with whom it speaks before it sends a byte."""

from socketkit import HandshakeError, connect, serve


def echo(connection):
    for line in connection:
        connection.send(line)


with serve(echo, "tls://localhost:0", framing="lines", self_signed=True) as server:
    address = server.addresses[0]
    try:
        connect(address).open()
    except HandshakeError:
        print("no authority knows this server: nothing was sent")

    with connect(address, framing="lines", pin=server.pins[0]) as connection:
        connection.send("secret")
        print("by its pin:", connection.receive(), connection.tls.version)

    with connect(address, framing="lines", verify=False) as connection:  # the trap: encrypted, but with whom?
        connection.send("secret")
        print("unchecked:", connection.receive())
