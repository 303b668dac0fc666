"""Write the generated parts of the docs and of ARCHITECTURE.md from the code: `make docs`. A test compares them.

A generated part stands between `<!-- made: NAME -->` and `<!-- end -->`; the function for NAME is below.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable
from pathlib import Path

from socketkit import errors
from socketkit.config.options import Options

HERE = Path(__file__).parent
SOURCE = HERE.parent / "src" / "socketkit"
PAGES = (HERE.parent / "ARCHITECTURE.md", *sorted(HERE.glob("*.md")))
MADE = re.compile(r"(<!-- made: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def options() -> str:
    """Every option: name, default, kind, and the sentence that gives meaning, unit and reason."""
    rows = [
        f"| `{row.name}` | {row.default} | {row.kind} | {row.scope} | {row.sentence} |" for row in Options.describe()
    ]
    return "\n".join(
        ["| option | default | kind | for | what, and why this default |", "|---|---|---|---|---|", *rows, ""]
    )


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


def _packages() -> dict[str, list[Path]]:
    """The files of each package and of each module at the top level, by its name."""
    found: dict[str, list[Path]] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).parts[0].removesuffix(".py")
        if name != "__init__":
            found.setdefault(name, []).append(path)
    return found


def _imports(paths: list[Path], known: set[str]) -> set[str]:
    """The packages that these files import: at the top, in functions and for type checkers."""
    found = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "socketkit":
                below = (node.module or "").partition(".")[2].partition(".")[0]
                found |= {below} if below else {alias.name for alias in node.names}
            elif isinstance(node, ast.Import):
                found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("socketkit.")}
    return found & known


def _graph() -> dict[str, set[str]]:
    packages = _packages()
    return {name: _imports(paths, set(packages)) - {name} for name, paths in packages.items()}


def _height(graph: dict[str, set[str]], name: str) -> int:
    return 1 + max((_height(graph, below) for below in graph[name]), default=0)


def package_graph() -> str:
    """The packages as a Mermaid graph: an arrow for each import that no longer way implies."""
    graph = _graph()

    def reaches(start: str, goal: str) -> bool:
        return goal in graph[start] or any(reaches(below, goal) for below in graph[start])

    lines = ["```mermaid", "flowchart TD"]
    for name in sorted(graph, key=lambda name: (-_height(graph, name), name)):
        for below in sorted(graph[name]):
            if not any(reaches(other, below) for other in graph[name] - {below}):
                lines.append(f"    {name} --> {below}")
    return "\n".join([*lines, "```", ""])


def package_table() -> str:
    """Each package with its layer (1 is the lowest) and what its docstring says it holds."""
    graph, packages = _graph(), _packages()
    lines = ["| layer | package | what it holds |", "|---|---|---|"]
    for name in sorted(graph, key=lambda name: (-_height(graph, name), name)):
        paths = packages[name]
        main = next((path for path in paths if path.parent.name == name and path.stem == "__init__"), paths[0])
        first = (ast.get_docstring(ast.parse(main.read_text())) or "").partition("\n")[0]
        lines.append(f"| {_height(graph, name)} | `{name}` | {first} |")
    return "\n".join([*lines, ""])


TABLES: dict[str, Callable[[], str]] = {
    "errors": error_tree,
    "options": options,
    "package-graph": package_graph,
    "package-table": package_table,
}


def made(text: str) -> str:
    """The page with its tables made anew."""
    return MADE.sub(lambda match: match[1] + TABLES[match[2]]() + match[3], text)


def main() -> None:
    """Rewrite every page whose tables have changed."""
    sys.path.insert(0, str(HERE))
    import typed_options

    typed_options.write()
    for page in PAGES:
        before = page.read_text()
        after = made(before)
        if after != before:
            page.write_text(after)
            print(f"wrote {page.name}", file=sys.stderr)


if __name__ == "__main__":
    main()
