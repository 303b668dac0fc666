"""Twisted's LineReceiver on its own epoll reactor."""

import sys

from twisted.internet import epollreactor

epollreactor.install()

from twisted.internet import protocol, reactor  # noqa: E402
from twisted.protocols.basic import LineReceiver  # noqa: E402


class EchoLines(LineReceiver):
    delimiter = b"\n"
    MAX_LENGTH = 1024 * 1024

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)

    def lineReceived(self, line: bytes) -> None:
        self.sendLine(line)


class EchoChunks(protocol.Protocol):
    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)


class Count(LineReceiver):
    delimiter = b"\n"
    total = 0

    def lineReceived(self, line: bytes) -> None:
        self.total += 1

    def connectionLost(self, reason: object = None) -> None:
        pass

    def readConnectionLost(self, reason: object = None) -> None:
        self.sendLine(b"%d" % self.total)
        self.transport.loseConnection()


from twisted.internet.interfaces import IHalfCloseableProtocol  # noqa: E402
from zope.interface import classImplements  # noqa: E402

classImplements(Count, IHalfCloseableProtocol)
Count.writeConnectionLost = lambda self: None  # type: ignore[attr-defined]

factory = protocol.Factory.forProtocol({"lines": EchoLines, "chunks": EchoChunks, "count": Count}[sys.argv[1]])
factory.noisy = False
port = reactor.listenTCP(0, factory, backlog=65535, interface="127.0.0.1")  # type: ignore[attr-defined]
print(port.getHost().port, flush=True)
reactor.run()  # type: ignore[attr-defined]
