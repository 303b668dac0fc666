"""Bytes become messages: by hand, wrongly and rightly, and by a framing."""

from socketkit import connect, framing, serve

stream = "раз\nдва\nтри\n".encode()


def cut(data, size):
    return [data[place : place + size] for place in range(0, len(data), size)]


# The trap: each piece is taken for whole lines, and for whole characters.
print("wrong:", [piece.decode(errors="replace") for piece in cut(stream, 5)])

# By hand: keep what is incomplete, and decode whole lines only.
lines, held = [], b""
for piece in cut(stream, 5):
    *whole, held = (held + piece).split(b"\n")
    lines += [line.decode() for line in whole]
print("by hand:", lines)

# A framing does it, with limits and errors; any cutting gives the same messages.
for size in (1, 5, 100):
    codec = framing.parse("lines").codec()
    assert [line for piece in cut(stream, size) for line in codec.feed(piece)] == lines


def count(connection):
    for line in connection:
        connection.send(f"{line}: {len(line)} letters")


with serve(count, "tcp://localhost:0", framing="lines") as server:
    with connect(server.addresses[0], framing="lines") as connection:
        connection.send_many(lines)
        print("framing:", [connection.receive() for _ in lines])
