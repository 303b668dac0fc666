"""Show a foreign value in an error message, and suggest the known name that is nearest to a wrong one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NoReturn

from socketkit.errors import OptionError

__all__ = ["quote", "refuse", "suggest"]


_QUOTED_LENGTH = 60
"""Characters of a foreign text that an error repeats: enough to find it, too few to flood a terminal."""


def quote(value: object) -> str:
    """Shows a foreign value in an error: on one line, control characters escaped, cut when it is long."""
    if isinstance(value, str) and len(value) > _QUOTED_LENGTH:
        return repr(value[:_QUOTED_LENGTH]) + "..."
    try:
        text = repr(value)
    except Exception:  # a foreign repr may do anything, and one of an int of 5000 digits raises ValueError
        text = f"<{type(value).__name__}>"
    text = text if text.isprintable() else text.encode("unicode_escape").decode("ascii")
    return text if len(text) <= _QUOTED_LENGTH + 2 else text[:_QUOTED_LENGTH] + "..."


def refuse(value: object, name: str, problem: str, allowed: str) -> NoReturn:
    """Raises the OptionError that quotes a value and says what is wrong and what is allowed.

    Args:
        value: the refused value.
        name: the option's name; may be empty.
        problem: the predicate, as `is not a time`.
        allowed: what is allowed.
    """
    label = f"{name}: " if name else ""
    raise OptionError(f"{label}{quote(value)} {problem}; allowed is {allowed}")


def suggest(name: str, known: Iterable[str], *, form: str = "{}") -> str:
    """Gives `" (did you mean ...?)"` with the known name nearest to this one, or an empty text when none is near."""
    import difflib  # only a mistake pays for it

    near = difflib.get_close_matches(name.replace("-", "_").lower()[:_QUOTED_LENGTH], list(known), n=1, cutoff=0.6)
    return f" (did you mean {form.format(near[0])}?)" if near else ""
