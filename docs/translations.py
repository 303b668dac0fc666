"""Show what has changed in English pages since their Russian twins were last changed: `make translations`.

The tests compare the shape of both languages: headings, paragraphs, lists, tables, code, links. A sentence that was
only reworded has the same shape, so it is found here, by the history of both files.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
GENERATED = re.compile(r"<!-- (?:made|file|measured)[: ].*?<!-- end -->|```.*?```", re.DOTALL)


def git(*words: str) -> str:
    """The output of a git command; nothing where it fails."""
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout


def paragraphs(text: str) -> list[str]:
    """The paragraphs of prose, each in one line."""
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n", GENERATED.sub("", text)) if part.strip()]


def changed(english: Path, russian: Path) -> list[str]:
    """Paragraphs of the English page that are new since the last change of the Russian one."""
    last = git("log", "-1", "--format=%H", "--", str(russian)).strip()
    before = paragraphs(git("show", f"{last}:{english.relative_to(ROOT)}"))
    return [text for text in paragraphs(english.read_text()) if text not in before] if before else []


def main() -> None:
    """Print each page with what is to be translated anew."""
    for russian in [ROOT / "README.ru.md", *sorted((ROOT / "docs").rglob("*.ru.md"))]:
        for text in changed(russian.with_name(russian.name.removesuffix(".ru.md") + ".md"), russian):
            print(f"{russian.relative_to(ROOT)}: {text}\n")


if __name__ == "__main__":
    main()
