"""One chat at two hosts: a bus joins them, and a guest of one talks with a guest of the other.

    pip install 'socketkit[bus]'
    redis-server --port 6379 &
    python chat_two_hosts.py redis://localhost:6379

Each host is a process: put them on two machines, and each guest has a host near by. Where one of them is gone the other
goes on. The same works with `nats://localhost:4222`.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from socketkit import BlockingConnection, connect


@contextmanager
def chat_host(bus: str) -> Iterator[str]:
    """A host of the chat at a free port; its address."""
    command = [sys.executable, "-m", "socketkit", "chat", "host", "tcp://localhost:0", "--bus", bus, "--lang", "en"]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        try:
            yield process.stderr.readline().removeprefix("listening ").strip()
        finally:
            process.terminate()


def read_until(guest: BlockingConnection[str], words: str) -> str:
    """The first line with these words."""
    while words not in (line := guest.receive(timeout=20)):
        pass
    return line


def main(bus: str) -> None:
    with ExitStack() as stack:
        addresses = [stack.enter_context(chat_host(bus)) for _ in range(2)]
        alice, bob = (stack.enter_context(connect(address, framing="lines")) for address in addresses)
        for guest, name in ((alice, "Alice"), (bob, "Bob")):
            guest.send(f"/name {name}")
            read_until(guest, f"you are {name} now")
        alice.send("hello from the first host")
        print(read_until(bob, "hello"))
        bob.send("/msg Alice hello from the second")
        print(read_until(alice, "hello"))
        bob.send("/who")
        print(read_until(bob, "here:"))


if __name__ == "__main__":
    main(sys.argv[1])
