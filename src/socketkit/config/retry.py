"""Trying again: how often, after which pauses, and after which failures it is worth it.

Plain values and arithmetic: the moment and the chance are arguments. Who waits and dials is `reconnect`.
"""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING, Any, Final

from socketkit.config.backoff import pause_after
from socketkit.config.durations import format_duration, parse_duration
from socketkit.config.option_types import OptionType, parse_count
from socketkit.config.quoting import quote, suggest
from socketkit.errors import BrokenError, DeadlineError, OpenError, OptionError, RejectedError, ResolveError
from socketkit.values import Value

__all__ = ["RETRY", "Retry", "RetryState", "is_transient", "parse_retry"]

FOREVER: Final = "forever"
MOST: Final = 2**31 - 2  # further tries, after the first

PARTS: Final = ("first", "factor", "maximum", "jitter", "deadline")

ALLOWED: Final = (
    "how often to try again: a count or forever, perhaps with first, factor, maximum, jitter and deadline, "
    "as in 5,first=100ms,maximum=10s"
)


class Retry(Value):
    """How to try again: the pauses grow from `first` by `factor` up to `maximum`, each shortened by chance.

    Chance keeps a thousand clients that lost the same server from coming back in the same moment.

    Attributes:
        attempts: how many tries in a row may fail, the first among them; None: any number.
        first: the pause after the first failure, in seconds.
        factor: by which each pause is longer than the one before; at least 1.
        maximum: the longest pause, in seconds.
        jitter: which part of a pause is left to chance: 0 none of it, 1 all of it.
        deadline: seconds that all tries and pauses in a row may take together; None: as long as they take.

    Raises:
        OptionError: a value is wrong or out of range. Times may be given as text (`"100ms"`).
    """

    attempts: int | None = None
    first: float = 0.1
    factor: float = 2.0
    maximum: float = 10.0
    jitter: float = 0.5
    deadline: float | None = None

    if TYPE_CHECKING:  # what is accepted; the fields are what it becomes

        def __init__(
            self,
            attempts: int | str | None = None,
            first: float | str = 0.1,
            factor: float | str = 2.0,
            maximum: float | str = 10.0,
            jitter: float | str = 0.5,
            deadline: float | str | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        def settle(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        if self.attempts is not None:
            settle("attempts", parse_count(self.attempts, name="attempts", minimum=1))
        settle("first", parse_duration(self.first, name="first"))
        settle("maximum", parse_duration(self.maximum, name="maximum"))
        if self.maximum < self.first:
            raise OptionError(
                f"maximum: {format_duration(self.maximum)} is less than the first pause, {format_duration(self.first)}"
            )
        settle("factor", _number("factor", self.factor, 1, 1000))
        settle("jitter", _number("jitter", self.jitter, 0, 1))
        if self.deadline is not None:
            settle("deadline", parse_duration(self.deadline, name="deadline"))

    def pause(self, failures: int, luck: float) -> float:
        """Seconds to wait before the next attempt.

        Args:
            failures: in a row, at least one.
            luck: a chance from 0 to 1, for `jitter`.
        """
        return pause_after(failures, luck, self.first, self.maximum, self.factor, self.jitter)

    def __str__(self) -> str:
        """What `parse_retry` reads as the same: `5`, `forever,first=1s`."""
        default = type(self).fields
        parts = [FOREVER if self.attempts is None else str(self.attempts - 1)]
        for name in ("first", "maximum", "deadline"):
            value = getattr(self, name)
            if value != default[name].default:
                parts.append(f"{name}={format_duration(value)}")
        for name in ("factor", "jitter"):
            value = getattr(self, name)
            if value != default[name].default:
                parts.append(f"{name}={repr(value).removesuffix('.0')}")
        return ",".join(parts)


def parse_retry(value: object, *, name: str = "retry") -> Retry:
    """Reads how to try again.

    Args:
        value: a `Retry`; how often to try *again* after the first time, as a number; or text such as `5`, `forever` or
            `5,first=100ms,maximum=10s`.
        name: the option's name, for the error.

    Raises:
        OptionError: none of these, or out of range.
    """
    if isinstance(value, Retry):
        return value
    if not isinstance(value, str):
        return Retry(attempts=parse_count(value, name=name, maximum=MOST) + 1)
    count, *parts = value.split(",")
    if count != FOREVER and not (count.isascii() and count.isdecimal()):
        raise OptionError(f"{name}: {quote(count)} is not a count; allowed is {ALLOWED}")
    attempts = None if count == FOREVER else parse_count(count, name=name, maximum=MOST) + 1
    facts: dict[str, Any] = {}
    for part in parts:
        key, _, text = part.partition("=")
        if key not in PARTS or key in facts:
            problem = "is given twice" if key in facts else f"is unknown{suggest(key, PARTS)}"
            raise OptionError(f"{name}: {quote(key)} {problem}; allowed is {ALLOWED}")
        facts[key] = text
    try:
        return Retry(attempts=attempts, **facts)
    except OptionError as error:
        raise OptionError(f"{name}: {error}") from None


_DECIMAL: Final = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"  # what `str` of a float gives too


def _number(name: str, value: object, minimum: float, maximum: float) -> float:
    allowed = f"allowed is a number from {minimum} to {maximum}"
    try:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        is_text = isinstance(value, str) and re.fullmatch(_DECIMAL, value) is not None
        number = float(value) if is_number or is_text else None  # type: ignore[arg-type]
    except OverflowError:
        number = None
    if number is None:
        raise OptionError(f"{name}: {quote(value)} is not a number; {allowed}")
    if not minimum <= number <= maximum:  # also what is not a number, which is in no range
        raise OptionError(f"{name}: {quote(value)} is out of range; {allowed}")
    return number + 0.0  # minus zero becomes zero


RETRY: Final = OptionType("retry", parse_retry, str)
"""The kind of an option that says how to try again."""


class RetryState:
    """Tries in a row that failed so far.

    Attributes:
        count: how many.
    """

    def __init__(self, retry: Retry) -> None:
        self._retry = retry
        self._end: float | None = None
        self._began: float | None = None
        self.count = 0

    def begin(self, now: float) -> float | None:
        """A try begins. How many seconds there are for it; None: its own."""
        deadline = self._retry.deadline
        if self._began is None:
            self._began = now
            self._end = None if deadline is None else now + deadline
        return None if self._end is None else max(0.0, self._end - now)

    def failed(self, now: float, luck: float) -> float | None:
        """A try has failed. Seconds to wait before the next; None: it was the last.

        A pause takes no more than half of the time that is left, so that a service which comes up shortly before the
        deadline is still found; when that is less than the first pause, it is over.
        """
        self.count += 1
        retry = self._retry
        if retry.attempts is not None and self.count >= retry.attempts:
            return None
        pause = retry.pause(self.count, luck)
        if self._end is None:
            return pause
        half = (self._end - now) / 2
        return None if half < retry.first or half <= 0 else min(pause, half)

    def is_over(self) -> bool:
        """Whether the tries are used up; else what ended the row was its deadline."""
        return self._retry.attempts is not None and self.count >= self._retry.attempts

    def seconds(self, now: float) -> float:
        """How long the row has taken."""
        return 0.0 if self._began is None else now - self._began

    def succeeded(self) -> None:
        """The next failure is the first of a new row."""
        self._began = self._end = None
        self.count = 0


_PASSING: Final = {
    getattr(errno, name, None)
    for name in (
        "EAGAIN", "EADDRNOTAVAIL", "ECONNABORTED", "ECONNREFUSED", "ECONNRESET", "EHOSTDOWN", "EHOSTUNREACH", "EINTR",
        "EMFILE", "ENETDOWN", "ENETRESET", "ENETUNREACH", "ENFILE", "ENOBUFS", "ENOMEM", "EPIPE", "ETIMEDOUT",
    )
}  # fmt: skip
"""What may be otherwise in a moment: a service or a network that is not up (again), and shortages of this machine."""


def is_transient(error: BaseException) -> bool:
    """Whether a dial that failed by this error may go well later, with nothing done about it by us.

    Yes: refused, unreachable, reset, timed out, a shortage of this machine, a resolver that cannot answer now, a UNIX
    socket file that is not there (its server makes it when it starts). No: an unknown name, a wrong address or option,
    no right, a socket of another kind, a certificate that was not accepted, a peer that speaks something else. Of
    several addresses one that may go well is enough.
    """
    if isinstance(error, RejectedError):
        return False
    if isinstance(error, (DeadlineError, BrokenError)):
        return True
    if isinstance(error, ResolveError):
        from socket import EAI_AGAIN  # the resolver's numbers are not the system's

        return error.errno == EAI_AGAIN
    if not isinstance(error, OpenError):
        return False
    numbers = {error.errno, *(attempt.errno for attempt in error.attempts)} - {None}
    if numbers & _PASSING:
        return True
    return errno.ENOENT in numbers and "unix" in error.address.partition(":")[0]
