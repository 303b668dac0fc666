"""Run the Autobahn testsuite against our server and our client, and judge its report.

Usage: `make autobahn`, `make autobahn CASES='1.* 6.*'`. Prints a line for each part of the suite and one for each case
that is not as it should be; ends with status 1 where there is one, or where nothing was tested. The reports stay beside
the program, one HTML page for each case.

The suite is a program for Python 2.7, https://github.com/crossbario/autobahn-testsuite.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from socketkit import Address, SocketkitError, connect, serve
from support.programs import Program, free_port
from support.proxies import wait_listening

AGENT = "socketkit"
GOOD = ("OK", "INFORMATIONAL")
"""INFORMATIONAL: the suite says what was seen, and that no answer would be wrong (close codes of nobody, 7.1.6)."""

MAX_SIZE = "64MiB"
"""Section 9 has messages of 16 MiB."""


async def echo(connection: Any) -> None:
    async for message in connection:
        await connection.send(message)


class Suite:
    """The installed testsuite.

    Args:
        base: where `pip install --user` has put it (PYTHONUSERBASE).
        cases: patterns, as `1.*`.
    """

    def __init__(self, base: Path, cases: list[str]) -> None:
        self._base = base
        self._cases = cases

    def start(self, mode: str, part: str, **spec: Any) -> Program:
        """Start it as `fuzzingclient` or `fuzzingserver`; its report goes into a folder of its own."""
        folder = self.folder(part)
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
        spec |= {"outdir": str(folder), "cases": self._cases, "exclude-cases": [], "exclude-agent-cases": {}}
        path = self._base / f"{part}.json"
        path.write_text(json.dumps(spec))
        return Program(
            str(self._base / "bin" / "wstest"),
            *("--mode", mode, "--spec", str(path), "--webport", "0"),
            env={"PYTHONUSERBASE": str(self._base), "PYTHONWARNINGS": "ignore"},
            stdout=sys.stderr if os.environ.get("VERBOSE") else open(os.devnull, "wb"),
        )

    def folder(self, part: str) -> Path:
        return self._base / "reports" / part

    def results(self, part: str) -> dict[str, dict[str, Any]]:
        """What the report says, by the case's number."""
        report: dict[str, dict[str, Any]] = json.loads((self.folder(part) / "index.json").read_text())[AGENT]
        return report


def test_server(suite: Suite, engine: str) -> None:
    """Let the suite be the client of our server."""
    with serve(echo, "ws://127.0.0.1:0", engine=engine, max_size=MAX_SIZE) as server:
        url = str(server.addresses[0])
        with suite.start("fuzzingclient", "server", servers=[{"agent": AGENT, "url": url}]) as program:
            status = program.process.wait()
            if status:
                raise SystemExit(f"the suite has failed ({status}): {program.stderr_lines[-5:]}")


def test_client(suite: Suite) -> None:
    """Let our client walk through the suite's cases."""
    port = free_port()
    at = f"ws://127.0.0.1:{port}"
    with suite.start("fuzzingserver", "client", url=at):
        wait_listening(port)
        with connect(f"{at}/getCaseCount") as connection:
            count = int(connection.receive(timeout=60))
        for number in range(1, count + 1):
            walk(f"{at}/runCase?case={number}&agent={AGENT}")
        with connect(f"{at}/updateReports?agent={AGENT}", close_timeout=60) as connection:
            list(connection)  # it ends when the report is written; then the suite is killed, for it may not end


def walk(url: str) -> None:
    """Echo in one case. What the suite does wrong on purpose is an error here; how we answered is its to judge."""
    with connect(Address.parse(url), max_size=MAX_SIZE) as connection:
        try:
            for message in connection:
                connection.send(message)
        except SocketkitError:
            pass


def judge(results: dict[str, dict[str, Any]]) -> list[str]:
    """Print the counts of each section; return what is wrong."""
    counts: dict[str, Counter[str]] = {"1-10": Counter(), "12-13": Counter()}
    wrong = []
    for case, result in sorted(results.items(), key=lambda item: [int(part) for part in item[0].split(".")]):
        section = "12-13" if int(case.split(".")[0]) >= 12 else "1-10"
        behavior, close = result["behavior"], result["behaviorClose"]
        counts[section][behavior] += 1
        good = ("OK",) if section == "12-13" else GOOD
        if behavior not in good or close not in ("OK", "INFORMATIONAL"):
            wrong.append(f"case {case}: {behavior}, close {close}")
    for section, found in counts.items():
        words = ", ".join(f"{number} {word}" for word, number in found.most_common())
        print(f"  sections {section}: {sum(found.values())} cases: {words or 'none'}")
    return wrong


def main() -> int:
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", type=Path, help="where the suite was installed (PYTHONUSERBASE)")
    parser.add_argument("--cases", default="*", help="patterns of cases, separated by spaces")
    parser.add_argument("--engine", default="epoll", help="of our server")
    parser.add_argument("--part", choices=("server", "client"), help="one side alone")
    arguments = parser.parse_args()
    suite = Suite(arguments.base.absolute(), arguments.cases.split())
    wrong = []
    for part in ("server", "client") if arguments.part is None else (arguments.part,):
        began = time.monotonic()
        if part == "server":
            test_server(suite, arguments.engine)
        else:
            test_client(suite)
        results = suite.results(part)
        print(f"our {part}: {time.monotonic() - began:.0f} s, report: {suite.folder(part) / 'index.html'}")
        found = judge(results)
        for line in found:
            print(f"  {line}")
        wrong += found if results else [f"our {part}: nothing was tested"]
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
