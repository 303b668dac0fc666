"""The line editor of a chat: it completes commands and names, and rings when somebody calls us."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.input import Input
from prompt_toolkit.output import Output

from socketkit.apps.chat.commands import COMMAND_NAMES
from socketkit.apps.chat.name_book import NameBook
from socketkit.cli.prompt import Prompted

__all__ = ["ChatPrompt", "completions"]


def completions(text: str, names: list[str]) -> list[tuple[str, int]]:
    """What may stand for the last word of this text, and how many of its characters it replaces."""
    if text.startswith("/") and " " not in text:
        return [(name, len(text)) for name in sorted(COMMAND_NAMES) if name.startswith(text.casefold())]
    word = text.rpartition(" ")[2]
    is_first = word == text
    found = [name for name in names if word and name.casefold().startswith(word.casefold())]
    return [(f"{name}: " if is_first else name, len(word)) for name in found]


class _ChatCompleter(Completer):
    def __init__(self, book: NameBook) -> None:
        self._book = book

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        for text, size in completions(document.text_before_cursor, self._book.names):
            yield Completion(text, start_position=-size)


class ChatPrompt(Prompted):
    """A participant of a chat at a terminal."""

    def __init__(self, own: str = "", *, input: Input | None = None, output: Output | None = None) -> None:  # noqa: A002
        """Args:
        own: our name, as far as it is known.
        """
        self._book = NameBook(own)
        super().__init__(completer=_ChatCompleter(self._book), input=input, output=output)

    def show(self, line: str) -> Awaitable[None]:
        self._book.see(line)
        if self._book.calls(line):
            self.ring()
        return super().show(line)
