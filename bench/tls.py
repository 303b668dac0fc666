"""The load over TLS: lines of 64 bytes, 32 under way on each of a few connections.

The client is Python's blocking `ssl`, the same for all, on the load's core: what counts is the server's processor time.
"""

from __future__ import annotations

import os
import socket
import ssl
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.machine import processor_ns
from bench.measure import Running, Sample

LINE = b"x" * 63 + b"\n"
DEPTH = 32
CONNECTIONS = 8


@contextmanager
def certificate() -> Iterator[None]:
    """A certificate for localhost; servers find it by BENCH_CERT, and the client its authority by BENCH_CA."""
    import trustme

    with tempfile.TemporaryDirectory(prefix="socketkit-bench-") as folder:
        authority = trustme.CA()
        ca, cert = Path(folder, "ca.pem"), Path(folder, "cert.pem")
        authority.cert_pem.write_to_path(str(ca))
        cert.write_bytes(authority.issue_cert("localhost").private_key_and_cert_chain_pem.bytes())
        os.environ.update(BENCH_CERT=str(cert), BENCH_CA=str(ca))
        yield


def echo(server: Running, seconds: float) -> Sample:
    """Batches of lines out on all connections, then all of them back, again and again."""
    context = ssl.create_default_context(cafile=os.environ["BENCH_CA"])
    batch = LINE * DEPTH
    buffer = bytearray(len(batch))
    with ExitStack() as stack:
        clients = [_dial(int(server.port), context, stack) for _ in range(CONNECTIONS)]
        for _ in range(10):
            _exchange(clients, batch, buffer)
        spent, began, count = processor_ns(server.process.pid), time.perf_counter(), 0
        while (now := time.perf_counter()) - began < seconds:
            _exchange(clients, batch, buffer)
            count += DEPTH * CONNECTIONS
        return Sample(count, now - began, processor_ns(server.process.pid) - spent)


def _dial(port: int, context: ssl.SSLContext, stack: ExitStack) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", port))
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return stack.enter_context(context.wrap_socket(plain, server_hostname="localhost"))


def _exchange(clients: list[ssl.SSLSocket], batch: bytes, buffer: bytearray) -> None:
    for client in clients:
        client.sendall(batch)
    for client in clients:
        left = len(batch)
        while left:
            got = client.recv_into(buffer, left)
            if not got:
                raise RuntimeError("the server ended a connection")
            left -= got
