"""The story of a socket in plain words: for each step who takes it, what it means, and which trap it hides.

Texts only. The step fills in the names in braces with the real values.
"""

from __future__ import annotations

from typing import Final

from socketkit.values import Value

__all__ = ["BOTH", "CLIENT", "SERVER", "STORY", "Telling"]

SERVER: Final = "server"
CLIENT: Final = "client"
BOTH: Final = "both"


class Telling(Value):
    """One step: who takes it, what it is called, what it means, and what goes wrong for those who do not know."""

    who: str
    title: str
    meaning: str
    trap: str


STORY: Final = {
    "socket": Telling(
        SERVER,
        "socket",
        "An end point for TCP over IPv4. What the program holds is a number, the descriptor {listening}, as of an "
        "open file.",
        "It is nowhere yet: it has no address and no peer. Whatever goes wrong from here on, the program must "
        "close it.",
    ),
    "bind": Telling(
        SERVER,
        "bind",
        "It gets its address. 127.0.0.1 is this machine and nobody else; port 0 asks for any free port: it is {port}.",
        "After a restart the port counts as in use for a minute, unless SO_REUSEADDR was set before. And 0.0.0.0 in "
        "place of 127.0.0.1 lets the whole network in.",
    ),
    "listen": Telling(
        SERVER,
        "listen",
        "From now on clients can connect. They wait in a queue, the backlog, until they are accepted; we ask for as "
        "many places as the system gives{limit}.",
        "The backlog does not limit the clients. And when it is full, clients are not refused, they hang: on their "
        "side only a limit of time helps.",
    ),
    "connect": Telling(
        CLIENT,
        "connect",
        "Another socket calls that address, and the system lends it a port of its own, {client_port}. EINPROGRESS "
        "is no error: the call is under way; when it is through, SO_ERROR says how it went.",
        "A name has several addresses, and the first may be dead: try them all. A busy server may refuse: try "
        "again. And when nobody answers at all, the system goes on trying for two minutes.",
    ),
    "pending": Telling(
        SERVER,
        "is a client waiting?",
        "Clients that wait to be accepted: {pending}. That is `Listener.pending()`; it asks the system for the length "
        "of the queue (TCP_INFO), and accepts nothing. `ss -lt` shows the same number as Recv-Q.",
        "poll and select say only that the queue is not empty. And a client that waits here counts itself as "
        "connected already: it may send, and its data waits with it.",
    ),
    "accept": Telling(
        SERVER,
        "accept",
        "accept takes the first client from the queue, and gives a new socket, {server}, for this one conversation; "
        "{listening} goes on listening.",
        "The client was connected before: the systems shake hands by themselves, so being connected does not mean "
        "being served. And the new socket has no port of its own: both are at {port}. What tells conversations "
        "apart is the pair of addresses.",
    ),
    "options": Telling(
        BOTH,
        "setsockopt",
        "Small messages leave at once (NODELAY), and a peer that was silent for a minute is asked whether it is "
        "still there (KEEPALIVE).",
        "By default neither is so: a small message may be held back for 40 ms, and that a cable was cut is never "
        "noticed.",
    ),
    "send": Telling(
        CLIENT,
        "send",
        "Two messages, {sent} bytes in all. The result is how many bytes the system has taken. Whether the peer has "
        "read them, only the peer can say.",
        "Both calls succeed also when the peer has just died: the bad news comes with a later call, or never.",
    ),
    "recv": Telling(
        SERVER,
        "recv",
        "One call has brought both at once: {words!r}.",
        "A recv is not a message. TCP carries bytes: two messages may come as one piece, and one in several. Where "
        "one ends, the two must have agreed; that is a framing: a line, a length before each, ...",
    ),
    "short send": Telling(
        CLIENT,
        "send, too much",
        "The system took {taken} bytes of {given}: now its buffers are full, and the peer's too. The rest has to "
        "wait until the peer has read.",
        "Who does not look at the result loses the rest. Who keeps the rest without a bound runs out of memory, "
        "because of one peer that reads slowly.",
    ),
    "recv all": Telling(
        SERVER,
        "recv, until all is there",
        "{size} bytes came in {portions} pieces (the first two are shown); meanwhile the client has sent the rest, "
        "in {sends} more.",
        "A single recv(1024) is the classic mistake: it works for short messages on one's own machine, and only there.",
    ),
    "half-close": Telling(
        BOTH,
        "half-close",
        "The client has said its last word. At the server recv gives 0 bytes: the end of this direction, and of "
        "this direction only.",
        "Who takes 0 bytes for `nothing yet` spins for ever. Who takes them for the end of everything cuts off its "
        "own answer.",
    ),
    "answer": Telling(
        BOTH,
        "the other direction",
        "The server still answers, and the client hears it. So one can send a whole request, say that this was all, "
        "and wait for the whole answer.",
        "Tools that give up half a second after their own last word lose every answer that takes longer, and report "
        "success.",
    ),
    "close": Telling(
        BOTH,
        "close",
        "Each gives its descriptor back.{kept}",
        "Who closes with unread bytes in the buffer sends a reset, which may destroy what it has said before. "
        "socketkit sends its FIN first, and discards the rest.",
    ),
    "stop": Telling(
        SERVER,
        "close",
        "The listening socket goes too: who calls now is refused.",
        "A UNIX socket leaves its file behind, at which the next start fails. And forgotten descriptors pile up "
        "until there are no more (EMFILE): close in `finally`, or leave it to `with`.",
    ),
}
"""Every step, in the order in which they are lived."""
