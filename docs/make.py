"""Write the generated parts of the docs and of ARCHITECTURE.md from the code: `make docs`. A test compares them.

A generated part stands between `<!-- made: NAME -->` and `<!-- end -->`; the function for NAME is below. Between
`<!-- file: PATH -->` and `<!-- end -->` stands a file of the project as a code block. In a Russian page the tables are
in Russian, by the words of docs/russian/; it takes its examples (with Russian comments) and its measured parts
(`<!-- measured: NAME -->`) from its English twin.
"""

from __future__ import annotations

import ast
import html
import importlib
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

from socketkit import errors, events
from socketkit.cli import error_pages
from socketkit.config.options import Options
from socketkit.framing.registry import FRAMINGS

HERE = Path(__file__).parent
SOURCE = HERE.parent / "src" / "socketkit"
PAGES = (HERE.parent / "ARCHITECTURE.md", HERE.parent / "README.ru.md", *sorted(HERE.rglob("*.md")))
MADE = re.compile(r"(<!-- made: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
FILE = re.compile(r"(<!-- file: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
MEASURED = re.compile(r"(<!-- measured[: ][^>]* -->\n)(.*?)(<!-- end -->)", re.DOTALL)
BLOCK = re.compile(r"(^```(?:python|sh)\n)(.*?)(^```$)", re.DOTALL | re.MULTILINE)
RECIPES = ("clients", "servers", "messages", "shell", "security", "operation")


def options() -> str:
    """Every option: name, default, kind, and the sentence that gives meaning, unit and reason."""
    rows = [
        f"| `{row.name}` | {row.default} | {row.kind} | {row.scope} | {_cell(row.sentence)} |"
        for row in Options.describe()
    ]
    return "\n".join(
        ["| option | default | kind | for | what, and why this default |", "|---|---|---|---|---|", *rows, ""]
    )


def framing_options() -> str:
    """The options of each framing, but those that all share."""
    rows = [
        f"| `{name}` | `{row.name}` | {'must be given' if row.default is None else row.default} | {_cell(row.kind)} | "
        f"{row.sentence} |"
        for name, kind in FRAMINGS.items()
        for row in kind.describe()
        if row.name not in ("max_size", "oversize")
    ]
    return "\n".join(
        ["| framing | option | default | takes | what, and why this default |", "|---|---|---|---|---|", *rows, ""]
    )


def error_tree() -> str:
    """The tree of errors, each with the built-in that a caller may catch instead, and its first sentence."""

    def branch(kind: type[errors.SocketkitError], depth: int) -> list[str]:
        builtin = [base.__name__ for base in kind.__mro__ if base.__module__ == "builtins"]
        first = _first(kind)
        also = "" if builtin[0] == "Exception" else f" (`{builtin[0]}`)"
        lines = [f"{'    ' * depth}- `{kind.__name__}`{also}: {first}"]
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


def events_table() -> str:
    """Each event: its fields and the first sentence of its docstring."""
    rows = [
        f"| `{name}` | {', '.join(f'`{field}`' for field in _fields(kind))} | {_first(kind)} |"
        for name, kind in sorted(vars(events).items())
        if isinstance(kind, type) and issubclass(kind, events.Event) and kind is not events.Event
    ]
    return "\n".join(["| event | fields | when |", "|---|---|---|", *rows, ""])


def _fields(kind: type) -> list[str]:
    return [name for base in reversed(kind.__mro__) for name in vars(base).get("__annotations__", ()) if name[0] != "_"]


def _first(kind: type) -> str:
    """The first sentence of a docstring, in one line."""
    return re.split(r"(?<=\.)\s", " ".join((kind.__doc__ or "").split()), maxsplit=1)[0].replace("|", "\\|")


def statuses() -> str:
    """Each exit status of the command with its reason."""
    from socketkit.cli.output import Status

    rows = [f"| {int(status)} | {status.reason} |" for status in Status]
    return "\n".join(["| status | what happened |", "|---|---|", *rows, ""])


def verbs() -> str:
    """The options of each verb of the command, under the headings of its help."""
    import click

    from socketkit.cli.help_format import GROUPS, heading_of
    from socketkit.cli.registry import VERBS, Verbs, socketkit

    def leaves(name: str, command: click.Command, parent: click.Context) -> Iterator[tuple[str, click.Command]]:
        if isinstance(command, click.Group):
            for inner in command.list_commands(parent):
                yield from leaves(f"{name} {inner}", command.commands[inner], parent)
        else:
            yield name, command

    lines, order = [], list(GROUPS)
    for verb in VERBS:
        context = click.Context(socketkit)
        command = Verbs.get_command(socketkit, context, verb)
        assert command is not None
        for name, leaf in leaves(f"socketkit {verb}", command, context):
            own = click.Context(leaf, parent=context, info_name=name)
            records = [
                (order.index(heading_of(option)), heading_of(option), record)
                for option in leaf.get_params(own)
                if isinstance(option, click.Option) and (record := option.get_help_record(own))
            ]
            summary = re.split(r"\n\n", (leaf.help or "").strip())[0].replace("\n", " ").replace("\b", "")
            usage = " ".join([name, *leaf.collect_usage_pieces(own)])
            lines += [f"### `{name}`", "", f"`{usage}`", "", summary, "", "| option | what | group |", "|---|---|---|"]
            lines += [
                f"| {_code(record[0])} | {_cell(record[1])} | {heading} |"
                for _, heading, record in sorted(records, key=lambda found: found[0])
            ] + [""]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def _code(text: str) -> str:
    """As code in a cell of a table: with a bar in HTML, because between backticks its escape would be shown."""
    return f"`{text}`" if "|" not in text else f"<code>{html.escape(text).replace('|', '&#124;')}</code>"


def recipes(page: Path) -> str:
    """Every recipe with a link, under the title of its page, in the language of this page."""
    end = ".ru.md" if page.name.endswith(".ru.md") else ".md"
    lines = []
    for name in RECIPES:
        text = (HERE / "howto" / f"{name}{end}").read_text()
        english = (HERE / "howto" / f"{name}.md").read_text()
        title, *questions = _headings(text)
        lines += [f"**{title}**", ""]
        lines += [
            f"- [{question}]({name}.md#{slug(original)})"
            for question, original in zip(questions, _headings(english)[1:], strict=True)
        ] + [""]
    return "\n".join(lines)


def _headings(text: str) -> list[str]:
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"^##? +(.*)$", outside, re.MULTILINE)


def slug(text: str) -> str:
    """The anchor of a heading, as the site has it."""
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", text.encode("ascii", "ignore").decode()).strip().lower())


LANGUAGES = {".py": "python", ".sh": "sh"}

TABLES: dict[str, Callable[[], str]] = {
    "errors": error_tree,
    "events": events_table,
    "framing-options": framing_options,
    "options": options,
    "package-graph": package_graph,
    "package-table": package_table,
    "statuses": statuses,
    "verbs": verbs,
}


def _language(page: Path) -> str:
    return "ru" if page.name.endswith(".ru.md") else "en"


def error_list(page: Path) -> str:
    """The pages about errors, by their titles in the page's language."""
    language = _language(page)
    rows = [f"- [{getattr(each, language).title}](errors/{code}.md)" for code, each in error_pages.PAGES.items()]
    return "\n".join([*rows, ""])


def error_page_files() -> dict[Path, str]:
    """The page of each error in each language, whole."""
    made_pages = {}
    for code, each in error_pages.PAGES.items():
        for language, suffix in (("en", ".md"), ("ru", ".ru.md")):
            words: error_pages.Words = getattr(each, language)
            meaning, causes, tries = error_pages.HEADINGS[language]
            shown = "In Python" if language == "en" else "В Python"
            parts = [
                f"# {words.title}",
                f"## {meaning}",
                words.meaning,
                f"## {causes}",
                "\n".join(f"- {text}" for text in words.causes),
                f"## {tries}",
                "\n".join(f"- {text}" for text in words.tries),
                f"{shown}: `socketkit.{each.raised.__name__}`. {'All errors' if language == 'en' else 'Все ошибки'}: "
                f"[errors](../errors.md).",
            ]
            made_pages[HERE / "errors" / f"{code}{suffix}"] = "\n\n".join(parts) + "\n"
    return made_pages


OF_PAGE: dict[str, Callable[[Path], str]] = {"recipes": recipes, "error-pages": error_list}
"""What depends on the page where it stands."""


def words() -> ModuleType:
    """The Russian words of tables and comments."""
    if str(HERE) not in sys.path:
        sys.path.insert(0, str(HERE))
    return importlib.import_module("russian")


def made(text: str, page: Path | None = None) -> str:
    """The page with its tables, files and measured parts made anew."""

    def table(match: re.Match[str]) -> str:
        if match[2] in OF_PAGE and page:
            return match[1] + OF_PAGE[match[2]](page) + match[3]
        text = TABLES[match[2]]()
        return match[1] + (words().translated(text) if page and _language(page) == "ru" else text) + match[3]

    def file(match: re.Match[str]) -> str:
        path = HERE.parent / match[2]
        return f"{match[1]}```{LANGUAGES[path.suffix]}\n{path.read_text()}```\n{match[3]}"

    text = FILE.sub(file, MADE.sub(table, text))
    if page and page.name.endswith(".ru.md"):
        english = page.with_name(page.name.removesuffix(".ru.md") + ".md").read_text()
        examples = [words().commented(match[2]) for match in BLOCK.finditer(english)]
        if len(examples) == len(BLOCK.findall(text)):  # else the pages differ, as a test says
            text = BLOCK.sub(lambda match: match[1] + examples.pop(0) + match[3], text)
        measured = [words().measured(match[2]) for match in MEASURED.finditer(english)]
        text = MEASURED.sub(lambda match: match[1] + measured.pop(0) + match[3], text)
    return text


def main() -> None:
    """Rewrite every page whose tables have changed."""
    sys.path.insert(0, str(HERE))
    import typed_options

    typed_options.write()
    for path, text in error_page_files().items():
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            print(f"wrote {path.relative_to(HERE.parent)}", file=sys.stderr)
    for page in PAGES:
        before = page.read_text()
        after = made(before, page)
        if after != before:
            page.write_text(after)
            print(f"wrote {page.relative_to(HERE.parent)}", file=sys.stderr)


if __name__ == "__main__":
    main()
