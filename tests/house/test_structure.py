"""The structure of the source: no import circles, few modules at the top level, short chains, plain module names."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import socketkit

SOURCE = Path(__file__).parents[2] / "src" / "socketkit"

TOP_LEVEL = {
    "__init__", "__main__",
    "_core", "api", "blocking", "endpoint", "errors", "events", "health", "metrics", "observe", "open_context",
    "typed_options", "values",
    "apps", "cli", "client", "config", "connection", "datagrams", "engines", "framing", "server", "sockets",
    "streams", "tls", "websocket",
}  # fmt: skip

PUBLIC = """
    Address AddressError Attempt BlockingConnection BlockingDatagrams BlockingListener BlockingServer BrokenError
    BusyError ClosedError ConnectError Connection ConnectionStatistics Datagrams DatagramsStatistics DeadlineError
    EndOfStream FrameTooLongError FramingError HandshakeError ListenError Listener OpenError OptionError Options
    RejectedError Request ResolveError Response Retry Server ServerStatistics SocketkitError StreamError TLS TlsFacts
    TruncatedFrameError WouldBlock broadcast connect copy_both framing listen open_datagrams pair serve
"""

NO_NAMES = {"base", "common", "door", "entrance", "helpers", "manager", "misc", "room", "recipe", "utils", "welcome"}
"""Names of modules that would say nothing; `apps/chat/room.py` holds a chat room."""


@cache
def modules() -> dict[str, Path]:
    """Every module by its dotted name below the package; a package by its own."""
    found = {}
    for path in SOURCE.rglob("*.py"):
        name = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    return found


def imported(path: Path) -> Iterator[str]:
    """What a file imports of this package: at the top, inside functions and for type checkers."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "socketkit":
            module = (node.module or "").partition(".")[2]
            for alias in node.names:
                whole = f"{module}.{alias.name}".lstrip(".")
                yield whole if whole in modules() else module
        elif isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[2] for alias in node.names if alias.name.startswith("socketkit."))


def circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """Sets of nodes that reach each other (more than one node each)."""

    def reach(start: str) -> set[str]:
        seen: set[str] = set()
        todo = [start]
        while todo:
            for target in graph.get(todo.pop(), set()) - seen:
                seen.add(target)
                todo.append(target)
        return seen

    reached = {node: reach(node) for node in graph}
    found = {frozenset({node, *(other for other in reached[node] if node in reached.get(other, ()))}) for node in graph}
    return [set(circle) for circle in found if len(circle) > 1]


def module_graph() -> dict[str, set[str]]:
    """Which module imports which; the top package itself is left out, since it loads its names on demand."""
    return {name: set(imported(path)) - {"", name} for name, path in modules().items() if name != "__init__"}


def package_graph() -> dict[str, set[str]]:
    """Which package or top-level module imports which."""
    graph: dict[str, set[str]] = {}
    for name, targets in module_graph().items():
        package = name.partition(".")[0]
        graph.setdefault(package, set()).update({target.partition(".")[0] for target in targets} - {package})
    return graph


def test_circles_are_found() -> None:
    """The check itself: two modules that import each other are a circle, also by way of a third."""
    assert circles({"a": {"b"}, "b": {"a"}, "c": {"a"}}) == [{"a", "b"}]
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == [{"a", "b", "c"}]
    assert circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_no_import_circles_of_modules() -> None:
    """Counting every import: at the top, lazy ones in functions, and those for type checkers."""
    assert circles(module_graph()) == []


def test_no_import_circles_of_packages() -> None:
    assert circles(package_graph()) == []


def test_longest_chain_of_packages() -> None:
    """From the command down to the values there are at most 14 layers; `__main__` only starts the command."""
    graph = package_graph()
    del graph["__main__"]

    @cache
    def depth(package: str) -> int:
        return 1 + max((depth(target) for target in graph.get(package, ())), default=0)

    assert max(map(depth, graph)) <= 14


def test_top_level_modules() -> None:
    """The top level holds what users import, and one package for each layer below it."""
    found = {path.stem for path in SOURCE.glob("*.py")} | {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    assert found == TOP_LEVEL


def test_public_names() -> None:
    """No public name is lost or added without this list saying so."""
    assert set(socketkit.__all__) == set(PUBLIC.split())


def test_module_names_are_plain() -> None:
    names = {name for name in modules() if name.rpartition(".")[2] in NO_NAMES}
    assert names <= {"apps.chat.room"}


def test_no_banners() -> None:
    """Comments give reasons; a file that needs headings is two files."""
    banners = [
        f"{name}:{number}"
        for name, path in modules().items()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if line.lstrip().startswith(("# ---", "# ===", "#####"))
    ]
    assert banners == []
