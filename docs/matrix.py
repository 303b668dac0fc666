"""Run the contract suites and write who keeps which promise into engines.md: `make matrix`.

A cell says how many tests of a promise passed on an engine, of how many that ran; what was skipped is counted apart. It
is made from the run, so that it cannot say more than was shown.
"""

from __future__ import annotations

import platform
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections import Counter, defaultdict
from pathlib import Path

from socketkit.engines import NAMES

HERE = Path(__file__).parent
PAGES = [HERE / "engines.md", HERE / "engines.ru.md"]
SUITES = ["tests/engines/test_engine_contract.py", "tests/streams", "tests/tls/test_stream_contract.py"]
MEASURED = re.compile(r"(<!-- measured: matrix -->\n).*?(<!-- end -->)", re.DOTALL)

Outcomes = dict[str, dict[str, Counter[str]]]


def run() -> ElementTree.Element:
    """Run the suites; what came of each test."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-n", "2", f"--junitxml={report}", *SUITES]
        subprocess.run(command, cwd=HERE.parent, stdout=sys.stderr, check=False)
        return ElementTree.parse(report).getroot()


def gather(root: ElementTree.Element) -> Outcomes:
    """Promise by engine, with how many passed, failed and were skipped."""
    found: Outcomes = defaultdict(lambda: defaultdict(Counter))
    for case in root.iter("testcase"):
        inside = re.search(r"\[(.*)\]$", case.get("name") or "")
        words = inside[1].split("-") if inside else []
        engine = next((word for word in words if word in NAMES), None)
        if engine is None:
            continue
        suite, _, group = (case.get("classname") or "").rpartition(".")
        if not group.startswith("Test"):
            continue
        about = "waiting" if suite.startswith("tests.engines") else "bytes"
        words_of_group = re.sub(r"(?<!^)(?=[A-Z])", " ", group.removeprefix("Test")).lower()
        kind = f" {words[0]}" if words[0] != engine else ""
        tags = {child.tag for child in case}
        outcome = "failed" if tags & {"failure", "error"} else "skipped" if "skipped" in tags else "passed"
        found[f"{about}: {words_of_group}{kind if about == 'bytes' else ''}"][engine][outcome] += 1
    return found


def table(found: Outcomes) -> str:
    """The outcomes as a table, with the machine that they come from."""
    lines = ["| promise | " + " | ".join(NAMES) + " |", "|---" * (len(NAMES) + 1) + "|"]
    for promise, engines in sorted(found.items(), reverse=True):
        lines.append(f"| {promise} | " + " | ".join(_cell(engines[name]) for name in NAMES) + " |")
    machine = (
        f"{platform.system()} {platform.release()}, {platform.python_implementation()} {platform.python_version()}"
    )
    return "\n".join([*lines, "", f"As run on {machine}.", ""])


def _cell(outcomes: Counter[str]) -> str:
    ran = outcomes["passed"] + outcomes["failed"]
    if not ran:
        return "-"
    return f"{outcomes['passed']}/{ran}" + (f" ({outcomes['skipped']} n/a)" if outcomes["skipped"] else "")


def main() -> None:
    """Run, and rewrite the page in both languages."""
    measured = table(gather(run()))
    for page in PAGES:
        page.write_text(MEASURED.sub(lambda match: match[1] + measured + match[2], page.read_text()))


if __name__ == "__main__":
    main()
