"""How each tool does what a behaviour asks for: the commands of socketkit, socat, ncat and nc, side by side.

A verb (connect, listen, echo, relay, room) takes an address and wishes by name. What a tool has no word for skips the
test, and says so. Words that begin with `,` or `?` are written behind the address; `{}` is the wish's value.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest

from socketkit import Address
from support.programs import PATIENCE, Program, free_port, needs

MEANING = {
    "accept_timeout": "time limit for the first caller",
    "allow": "list of callers to let in",
    "crlf": "translation of line feeds",
    "connect_timeout": "time limit for connecting",
    "deny": "list of callers to keep out",
    "dump": "dump of both directions",
    "exec": "way to run a program for a caller",
    "idle": "limit for silence",
    "keep": "way to serve more than one caller",
    "lines": "way to read by lines",
    "linger": "limit for the wait after its own end",
    "loud": "verbosity",
    "mode": "permissions for a socket file",
    "most": "limit for the number of callers",
    "receive_only": "way to receive only",
    "retry": "way to try again",
    "send_only": "way to send only",
}

Words = dict[str, list[str]]


class Group(Program):
    """A program with a process group of its own, which ends with it: some tools have a child for each caller."""

    def __init__(self, *arguments: str, **options: Any) -> None:
        super().__init__(*arguments, start_new_session=True, **options)

    def __exit__(self, *exception: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        super().__exit__(*exception)


class Running:
    """A program that listens, and where."""

    def __init__(self, program: Program, address: Address) -> None:
        self.program = program
        self.address = address


class Tool:
    """What one tool calls the verbs. Subclasses fill the tables; a verb that is absent skips."""

    name = ""
    program = ""
    version_flag = "--version"
    words: dict[str, Words] = {}
    statuses = {"refused": 1, "reset": 1, "usage": 1}

    def lacks(self, what: str) -> NoReturn:
        """Skip the test: the tool has no such thing."""
        pytest.skip(f"{self.name} has no {what}")

    def path(self) -> str:
        return needs(self.program)

    def spoken(self, verb: str, wishes: dict[str, Any]) -> tuple[list[str], str]:
        """The words of the wishes: options, and what is written behind the address."""
        options: list[str] = []
        behind = ""
        for wish, value in wishes.items():
            if wish not in self.words.get(verb, {}):
                self.lacks(MEANING[wish])
            for word in self.words[verb][wish]:
                word = word.replace("{}", str(value))
                if word[0] in ",?":
                    behind += word
                else:
                    options.append(word)
        return options, behind

    def command(self, verb: str, at: Address, wishes: dict[str, Any], target: Address | None = None) -> list[str]:
        """The whole command."""
        raise NotImplementedError

    def calling(self, address: Address, *, options: dict[str, Any] | None = None, **wishes: Any) -> Program:
        """The tool as a client of this address; `options` are for the process."""
        return Group(*self.command("connect", address, wishes), **(options or {}))

    @contextlib.contextmanager
    def serving(
        self,
        verb: str,
        at: str = "tcp://127.0.0.1:0",
        *,
        target: Address | None = None,
        options: dict[str, Any] | None = None,
        **wishes: Any,
    ) -> Iterator[Running]:
        """The tool as a server, from the moment at which it listens."""
        place = settled(at)
        with Group(*self.command(verb, place, wishes, target), **(options or {})) as program:
            yield Running(program, self.listened(program, place))

    def listened(self, program: Program, place: Address) -> Address:
        """Wait until the system says that somebody listens there."""
        give_up = time.monotonic() + PATIENCE
        while not listens(place):
            if program.process.poll() is not None or time.monotonic() > give_up:
                program.process.kill()
                program.wait()
                raise AssertionError(f"{program.process.args!r} does not listen, but says {program.stderr_lines!r}")
            time.sleep(0.01)
        return place


class Socketkit(Tool):
    """Our own command."""

    name = "socketkit"
    program = sys.executable
    statuses = {"refused": 3, "reset": 4, "usage": 2}
    _both: Words = {
        "linger": ["--linger", "{}s"],
        "send_only": ["--send-only"],
        "receive_only": ["--receive-only"],
        "crlf": ["--crlf"],
        "lines": ["--framing", "lines"],
        "dump": ["--dump", "text"],
        "loud": ["-vv", "--explain"],
        "idle": ["?idle_timeout={}s"],
    }
    _limits: Words = {
        "allow": ["--allow", "{}"],
        "deny": ["--deny", "{}"],
        "idle": ["--idle-timeout", "{}s"],
        "most": ["--max-connections", "{}", "--overload", "reject"],
        "loud": ["-vv"],
    }
    words = {
        "connect": {
            **_both,
            "connect_timeout": ["--connect-timeout", "{}s"],
            "retry": ["--retry", "{}", "--backoff", "0.1s..0.2s"],
        },
        "listen": {**_both, "keep": ["--keep"], "exec": ["--exec", "{}"], "mode": ["?mode={}"]},
        "echo": _limits,
        "relay": _limits,
        "room": {},
    }

    def command(self, verb: str, at: Address, wishes: dict[str, Any], target: Address | None = None) -> list[str]:
        options, behind = self.spoken(verb, wishes)
        verbs = {"room": ["chat", "host"], "broker": ["chat", "host"]}.get(verb, [verb])
        targets = [] if target is None else [str(target)]
        return [self.program, "-m", "socketkit", *verbs, str(at) + behind, *targets, *options]

    def path(self) -> str:
        return self.program

    def listened(self, program: Program, place: Address) -> Address:
        program.wait_line("listening ")
        return place


class Socat(Tool):
    """socat: two addresses, and options behind each."""

    name = program = "socat"
    version_flag = "-V"
    _both: Words = {
        "linger": ["-t", "{}"],
        "send_only": ["-u"],
        "receive_only": ["-U"],
        "crlf": [",crnl"],
        "dump": ["-v"],
        "loud": ["-d", "-d", "-d", "-d"],
        "idle": ["-T", "{}"],
    }
    _server: Words = {
        "idle": ["-T", "{}"],
        "most": [",max-children={}"],
        "allow": [",range={}"],
        "mode": [",mode={}"],
        "loud": ["-d", "-d"],
    }
    words = {
        "connect": {
            **_both,
            "connect_timeout": [",connect-timeout={}"],
            "retry": [",retry={},interval=0.1"],
        },
        "listen": {
            **_both,
            **_server,
            "keep": [",fork"],
            "accept_timeout": [",accept-timeout={}"],
        },
        "echo": _server,
        "relay": _server,
    }

    def command(self, verb: str, at: Address, wishes: dict[str, Any], target: Address | None = None) -> list[str]:
        if verb in ("room", "broker"):
            self.lacks("chat room")
        wishes = dict(wishes)
        other = "EXEC:cat" if verb == "echo" else "-"
        if "exec" in wishes:
            other = f"EXEC:{wishes.pop('exec')}"
        if verb == "relay":
            assert target is not None
            other = self.place(target)
        options, behind = self.spoken(verb, wishes)
        if verb in ("echo", "relay"):
            behind += ",fork"
        here = self.place(at) if verb == "connect" else self.place(at, listen=True)
        places = [other, here + behind] if other == "-" else [here + behind, other]
        return [self.path(), *options, *places]

    def place(self, at: Address, *, listen: bool = False) -> str:
        kind = {"tcp4": "TCP4", "tcp6": "TCP6", "tcp": "TCP", "udp": "UDP"}.get(at.scheme)
        if at.scheme in ("unixgram", "unixpacket"):
            self.lacks("plain word for " + at.scheme)
        if kind is None:
            return f"UNIX-{'LISTEN' if listen else 'CONNECT'}:{os.fsdecode(at.socket_path)}"
        host = f"[{at.host}]" if ":" in at.host else at.host
        if listen:
            kind = "TCP6" if ":" in at.host and kind == "TCP" else kind
            return f"{kind}-LISTEN:{at.port},reuseaddr" + (f",bind={host}" if host else "")
        return f"{kind}:{host}:{at.port}"


class Netcat(Tool):
    """What the two netcats have in common."""

    def place(self, at: Address) -> list[str]:
        if at.scheme == "unixpacket":
            self.lacks("plain word for unixpacket")
        if at.port is None:
            return ["-uU" if at.scheme == "unixgram" else "-U", os.fsdecode(at.socket_path)]
        family = {"tcp4": ["-4"], "tcp6": ["-6"], "udp": ["-u"]}.get(at.scheme, [])
        return [*family, *([at.host] if at.host else []), str(at.port)]


class Ncat(Netcat):
    """ncat: of nmap."""

    name = program = "ncat"
    statuses = {"refused": 1, "reset": 1, "usage": 2}
    _both: Words = {
        "send_only": ["--send-only"],
        "receive_only": ["--recv-only"],
        "crlf": ["-C"],
        "dump": ["-o", "/dev/stderr"],
        "loud": ["-vvv"],
        "idle": ["-i", "{}s"],
    }
    _server: Words = {
        "allow": ["--allow", "{}"],
        "deny": ["--deny", "{}"],
        "most": ["-m", "{}"],
        "idle": ["-i", "{}s"],
        "loud": ["-v"],
    }
    words = {
        "connect": {**_both, "connect_timeout": ["-w", "{}s"]},
        "listen": {**_both, **_server, "keep": ["-k"], "exec": ["-e", "{}"]},
        "echo": _server,
        "relay": _server,
        "room": {},
    }

    def command(self, verb: str, at: Address, wishes: dict[str, Any], target: Address | None = None) -> list[str]:
        options, _ = self.spoken(verb, wishes)
        if verb == "echo":
            options += ["-k", "-e", shutil.which("cat") or "/bin/cat"]
        if verb == "relay":
            assert target is not None
            options += ["-k", "-c", " ".join([self.path(), *self.place(target)])]
        options += {"room": ["--chat"], "broker": ["--broker"]}.get(verb, [])
        return [self.path(), *([] if verb == "connect" else ["-l"]), *options, *self.place(at)]


class Nc(Netcat):
    """nc: of OpenBSD."""

    name = "nc"
    program = "nc.openbsd"
    version_flag = "-h"
    _both: Words = {
        "linger": ["-q", "{}"],
        "receive_only": ["-d"],
        "crlf": ["-C"],
        "loud": ["-v"],
        "idle": ["-w", "{}"],
    }
    words = {
        "connect": {**_both, "connect_timeout": ["-w", "{}"]},
        "listen": {**_both, "keep": ["-k"]},
    }

    def command(self, verb: str, at: Address, wishes: dict[str, Any], target: Address | None = None) -> list[str]:
        missing = {"echo": MEANING["exec"], "relay": MEANING["exec"], "room": "chat room", "broker": "chat room"}
        if verb in missing:
            self.lacks(missing[verb])
        options, _ = self.spoken(verb, wishes)
        return [self.path(), "-N", *([] if verb == "connect" else ["-l"]), *options, *self.place(at)]


TOOLS: dict[str, Tool] = {tool.name: tool for tool in (Socketkit(), Socat(), Ncat(), Nc())}


def chosen() -> Tool:
    """The tool that the environment variable TOOL names; socketkit where it names none."""
    return TOOLS[os.environ.get("TOOL") or "socketkit"]


def version(tool: Tool) -> str:
    """What the tool says of its version, or nothing."""
    if tool.name == "socketkit":
        from socketkit import __version__

        return f"socketkit {__version__}"
    done = subprocess.run([tool.path(), tool.version_flag], capture_output=True, text=True, check=False)
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines()]
    return next(line for line in lines if any(letter.isdigit() for letter in line)).split(" on ")[0]


def settled(at: str) -> Address:
    """The address with a real port in the place of 0, since not every tool can choose one and say which."""
    address = Address.parse(at)
    if address.port != 0:
        return address
    host = f"[{address.host}]" if ":" in address.host else address.host
    return Address.parse(f"{address.scheme}://{host}:{free_port()}")


def listens(place: Address) -> bool:
    """Whether the system has a listener (or a datagram socket) there: proc(5); a call is what a server would see."""
    if place.port is None:
        with open("/proc/net/unix") as table:
            rows = [line.split() for line in table]
        return any(
            row[-1] == os.fsdecode(place.socket_path) and (row[3] == "00010000" or row[4] != "0001") for row in rows[1:]
        )
    kind = "udp" if place.scheme.startswith("udp") else "tcp"
    for file in (f"/proc/net/{kind}", f"/proc/net/{kind}6"):
        with open(file) as table:
            rows = [line.split() for line in table][1:]
        states = {"0A"} if kind == "tcp" else {"07"}
        if any(int(row[1].rpartition(":")[2], 16) == place.port and row[3] in states for row in rows):
            return True
    return False
