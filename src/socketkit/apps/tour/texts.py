"""The texts of the tour: for each step which side takes it, what it means, and the usual mistake.

Texts only. The walkthrough replaces the names in braces by the real values.
"""

from __future__ import annotations

from typing import Final

from socketkit.values import Value

__all__ = ["BOTH", "CLIENT", "SERVER", "STEPS", "StepText"]

SERVER: Final = "server"
CLIENT: Final = "client"
BOTH: Final = "both"


class StepText(Value):
    """One step.

    Attributes:
        side: which side takes it.
        title: its name.
        meaning: what it does.
        trap: the usual mistake.
    """

    side: str
    title: str
    meaning: str
    trap: str


STEPS: Final = {
    "socket": StepText(
        SERVER,
        "socket",
        "An endpoint for TCP over IPv4. The program gets a number, the descriptor {listening}, as for an open file.",
        "It has no address and no peer yet. Whatever fails from here on, the program must close it.",
    ),
    "bind": StepText(
        SERVER,
        "bind",
        "The socket gets its address. 127.0.0.1 is reachable from this machine alone; port 0 asks for any free port: "
        "it is {port}.",
        "After a restart the port counts as in use for a minute, unless SO_REUSEADDR was set before. With 0.0.0.0 in "
        "place of 127.0.0.1 the whole network can connect.",
    ),
    "listen": StepText(
        SERVER,
        "listen",
        "From now on clients can connect. They wait in a queue, the backlog, until they are accepted. It is as long as "
        "the system allows{limit}.",
        "The backlog does not limit the number of clients. When it is full, connecting clients are not refused: they "
        "wait, and only a timeout of their own ends that.",
    ),
    "connect": StepText(
        CLIENT,
        "connect",
        "Another socket connects to that address, and the system gives it a port of its own, {client_port}. "
        "EINPROGRESS is no error: connecting goes on, and when the socket becomes writable, SO_ERROR has the result.",
        "A name has several addresses, and the first may not answer: try them all. A busy server may refuse: retry. "
        "Without an answer the system tries for two minutes.",
    ),
    "pending": StepText(
        SERVER,
        "is a client waiting?",
        "Clients that wait to be accepted: {pending}. That is `Listener.pending()`; it asks the system for the length "
        "of the queue (TCP_INFO), and accepts nothing. `ss -lt` shows the same number as Recv-Q.",
        "poll and select report only that the queue is not empty. A client in the queue is connected already: it may "
        "send, and its data waits with it.",
    ),
    "accept": StepText(
        SERVER,
        "accept",
        "accept takes the first client from the queue, and returns a new socket, {server}, for this one connection; "
        "{listening} goes on listening.",
        "The client was connected before: the kernels do the handshake, so being connected does not mean being "
        "served. The new socket has no port of its own: both are at {port}. A connection is identified by the pair "
        "of addresses.",
    ),
    "options": StepText(
        BOTH,
        "setsockopt",
        "Small messages leave at once (NODELAY). A peer that sent nothing for a minute is probed (KEEPALIVE).",
        "By default neither is so: a small message may be delayed by 40 ms, and a cut cable is never detected.",
    ),
    "send": StepText(
        CLIENT,
        "send",
        "Two messages, {sent} bytes in all. The result is how many bytes the system has taken. Only an answer of the "
        "peer shows that it has read them.",
        "Both calls also succeed when the peer has just crashed: the error comes with a later call, or never.",
    ),
    "recv": StepText(
        SERVER,
        "recv",
        "One call has returned both at once: {words!r}.",
        "A recv is not a message. TCP carries bytes: two messages may arrive as one piece, and one in several. Both "
        "sides need a rule for where a message ends; that is a framing: a line, a length before each, ...",
    ),
    "short send": StepText(
        CLIENT,
        "send, too much",
        "The system took {taken} bytes of {given}: now its buffers are full, and the peer's too. The rest has to "
        "wait until the peer has read.",
        "A program that ignores the result loses the rest. One that keeps the rest without a limit runs out of "
        "memory, because of one peer that reads slowly.",
    ),
    "recv all": StepText(
        SERVER,
        "recv, until all is there",
        "{size} bytes came in {portions} pieces (the first two are shown); meanwhile the client has sent the rest, "
        "in {sends} more.",
        "A single recv(1024) is the classic mistake: it works for short messages on one's own machine, and only there.",
    ),
    "half-close": StepText(
        BOTH,
        "half-close",
        "The client has ended its direction (FIN). At the server recv returns 0 bytes: the end of this direction "
        "alone.",
        "A program that takes 0 bytes for `nothing yet` loops for ever. One that takes them for the end of both "
        "directions cuts off its own answer.",
    ),
    "answer": StepText(
        BOTH,
        "the other direction",
        "The server still answers, and the client receives it. So a client can send a whole request, end its "
        "direction, and wait for the whole answer.",
        "Tools that give up half a second after their own end lose every answer that takes longer, and report success.",
    ),
    "close": StepText(
        BOTH,
        "close",
        "Each side releases its descriptor.{kept}",
        "close with unread bytes in the buffer sends a reset, which may discard what was sent before. socketkit sends "
        "its FIN first, and discards the unread bytes.",
    ),
    "stop": StepText(
        SERVER,
        "close",
        "The listening socket is closed too: new clients are refused.",
        "A UNIX socket leaves its file behind, and the next bind fails. Descriptors that are not closed accumulate "
        "until there are no more (EMFILE): close in `finally`, or use `with`.",
    ),
}
"""Every step, in order."""
