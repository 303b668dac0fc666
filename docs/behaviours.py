"""Run the behaviours for each tool and write the table of behaviours.md: `make behaviours`.

`make behaviours TOOL=socat` runs that one alone, and shows its table.

A cell is made from the run: yes where every test of a behaviour passed, no where one failed, n/a where the tool has no
such thing (the test skips and says so) or this system cannot show it.
"""

from __future__ import annotations

import ast
import os
import platform
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).parent
TESTS = HERE.parent / "tests"
PAGE = HERE / "behaviours.md"
MEASURED = re.compile(r"(<!-- measured: behaviours -->\n).*?(<!-- end -->)", re.DOTALL)
COLUMNS = ("socketkit", "socat", "ncat", "nc")

Outcomes = dict[str, set[str]]


def run(tool: str, *words: str) -> Outcomes:
    """The outcomes of each test, by its name."""
    found: Outcomes = defaultdict(set)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-n",
            "2",
            "--tb=line",
            f"--junitxml={report}",
            "tests/behaviours",
        ]
        environment = {**os.environ, "TOOL": tool}
        subprocess.run([*command, *words], cwd=HERE.parent, stdout=sys.stderr, env=environment, check=False)
        for case in ElementTree.parse(report).getroot().iter("testcase"):
            tags = {child.tag for child in case}
            outcome = "no" if tags & {"failure", "error"} else "n/a" if "skipped" in tags else "yes"
            found[(case.get("name") or "").partition("[")[0]].add(outcome)
    return found


def sentences() -> dict[str, str]:
    """The sentence of each test, in the order of the numbers."""
    found = {}
    for path in sorted((TESTS / "behaviours").glob("test_*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                found[node.name] = (ast.get_docstring(node) or "").partition("\n")[0]
    return dict(sorted(found.items(), key=lambda item: item[0][:7]))


def cell(outcomes: set[str]) -> str:
    """One word for a behaviour that may have several tests."""
    return next((word for word in ("no", "yes") if word in outcomes), "n/a")


def table(found: dict[str, Outcomes], versions: list[str]) -> str:
    """The table, with totals and the versions that ran."""
    lines = ["| behaviour | " + " | ".join(found) + " |", "|---" * (len(found) + 1) + "|"]
    for test, sentence in sentences().items():
        cells = [cell(outcomes[test]) for outcomes in found.values()]
        lines.append(f"| {int(test[5:7])}. {sentence} | " + " | ".join(cells) + " |")
    totals = []
    for outcomes in found.values():
        words = [cell(outcomes[test]) for test in sentences()]
        totals.append(f"{words.count('yes')} of {len(words) - words.count('n/a')}")
    lines.append("| **yes, of those that apply** | " + " | ".join(totals) + " |")
    return "\n".join(
        [*lines, "", f"As run with {', '.join(versions)}, on {platform.system()} {platform.release()}.", ""]
    )


def main() -> None:
    """Run for each tool, and rewrite the page; for the one that TOOL names, only show it."""
    sys.path[0] = str(TESTS)  # instead of this folder, where a module has the same name
    from behaviours.tools import TOOLS, version

    if one := os.environ.get("TOOL"):
        print(table({one: run(one, *sys.argv[1:])}, [version(TOOLS[one])]))
        return
    found = {tool: run(tool, *sys.argv[1:]) for tool in COLUMNS}
    text = table(found, [version(TOOLS[tool]) for tool in COLUMNS])
    PAGE.write_text(MEASURED.sub(lambda match: match[1] + text + match[2], PAGE.read_text()))


if __name__ == "__main__":
    main()
