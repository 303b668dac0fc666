"""Write the tables of the docs from the code: `make docs`. A test holds them equal, so that they cannot lie.

A table stands between `<!-- made: NAME -->` and `<!-- end -->`; what NAME makes is below.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

from socketkit import errors
from socketkit.config.options import Options

HERE = Path(__file__).parent
MADE = re.compile(r"(<!-- made: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def options() -> str:
    """Every option: name, default, kind, and the sentence that gives meaning, unit and reason."""
    rows = [f"| `{row.name}` | {row.default} | {row.kind} | {row.sentence} |" for row in Options.describe()]
    return "\n".join(["| option | default | kind | what, and why this default |", "|---|---|---|---|", *rows, ""])


def error_tree() -> str:
    """The tree of errors, each with the built-in that a caller may catch instead, and its first sentence."""

    def branch(kind: type[errors.SocketkitError], depth: int) -> list[str]:
        builtin = [base.__name__ for base in kind.__mro__ if base.__module__ == "builtins"]
        first = (kind.__doc__ or "").partition("\n")[0]
        also = "" if builtin[0] == "Exception" else f" (`{builtin[0]}`)"
        lines = [f"{'  ' * depth}- `{kind.__name__}`{also}: {first}"]
        for child in kind.__subclasses__():
            if child.__module__ == errors.__name__:
                lines += branch(child, depth + 1)
        return lines

    return "\n".join([*branch(errors.SocketkitError, 0), ""])


TABLES: dict[str, Callable[[], str]] = {"options": options, "errors": error_tree}


def made(text: str) -> str:
    """The page with its tables made anew."""
    return MADE.sub(lambda match: match[1] + TABLES[match[2]]() + match[3], text)


def main() -> None:
    """Rewrite every page whose tables have changed."""
    for page in sorted(HERE.glob("*.md")):
        before = page.read_text()
        after = made(before)
        if after != before:
            page.write_text(after)
            print(f"wrote {page.name}", file=sys.stderr)


if __name__ == "__main__":
    main()
