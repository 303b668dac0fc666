"""Write `src/socketkit/typed_options.py` from the table of options: `make docs`. A test compares them."""

from __future__ import annotations

from pathlib import Path

from socketkit.config.option_types import OptionType
from socketkit.config.options import Options

TARGET = Path(__file__).parents[1] / "src" / "socketkit" / "typed_options.py"

VERBS = {
    "connect": "ConnectOptions",
    "serve": "ServeOptions",
    "listen": "ListenOptions",
    "pair": "PairOptions",
    "open_datagrams": "DatagramsOptions",
}
OWN = {"framing"}
"""Parameters of the functions themselves, as the messages' type depends on them."""

BY_NAME = {"engine": "EngineName | Engine", "retry": "Retry | int | str", "tls": "TLS | Switch", "pin": "str | Texts"}
BY_KIND = {
    "time": "float | str",
    "size": "int | str",
    "count": "int | str",
    "yes/no": "Switch",
    "file mode": "int | str",
    "name": "str",
    "address": "str",
    "networks": "Networks",
    "names": "str | Texts",
    "origin": "str",
    "origins": "str | Texts",
    "header fields": "str | Mapping[str, str] | Collection[str | tuple[str, str]] | None",
    "proxies": "str | Proxy | list[str | Proxy] | tuple[str | Proxy, ...]",
}
HEAD = '''"""The options of each verb as type checkers and editors see them. Made from `config.options` by `make docs`.

Wherever a value may be given as text, as in an address, `str` is among its types.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Literal, TypeAlias, TypedDict

from socketkit.config.proxy import Proxy
from socketkit.config.retry import Retry
from socketkit.config.tls_settings import TLS
from socketkit.engines.engine import Engine
from socketkit.events import Observer

__all__ = [
'''


def annotation(name: str, kind: OptionType) -> str:
    """The values that an option takes, as an annotation."""
    found = BY_NAME.get(name) or BY_KIND.get(kind.name)
    if found is None:
        if "/" not in kind.name:
            raise LookupError(f"option {name}: say in BY_KIND what {kind.name!r} accepts")
        words = ", ".join(f'"{word}"' for word in kind.name.split("/"))
        found = f"Literal[{words}]"
    if not kind.optional:
        return found
    has_text = found == "Networks" or "str" in found.replace(" ", "").split("|")
    return f"{found} | None" if has_text else f'{found} | Literal["none"] | None'


def made() -> str:
    """The whole module."""
    from socketkit import engines

    names = sorted([*VERBS.values(), "EngineName", "Networks", "Switch", "Texts"])
    lines = [HEAD.rstrip("\n"), *(f'    "{name}",' for name in names), "]", ""]
    words = ", ".join(f'"{name}"' for name in engines.NAMES)
    lines += [f"EngineName: TypeAlias = Literal[{words}]", ""]
    lines += [
        "Switch: TypeAlias = bool | Literal[",
        '    "yes", "no", "true", "false", "on", "off", "1", "0", 1, 0',
        "]  # fmt: skip",
        "Texts: TypeAlias = Collection[str]",
        "Networks: TypeAlias = str | Collection[str | IPv4Address | IPv4Network | IPv6Address | IPv6Network]",
    ]
    for verb, title in VERBS.items():
        lines += ["", "", f"class {title}(TypedDict, total=False):"]
        lines += [f'    """What `{verb}` takes, beside its framing."""', "", "    observer: Observer | None"]
        for name, entry in Options.fields.items():
            if name not in OWN and verb in entry.facts["scope"].verbs:
                lines.append(f"    {name}: {annotation(name, entry.facts['kind'])}")
    return "\n".join([*lines, ""])


def write() -> None:
    """Write the module, if it is not current."""
    if not TARGET.exists() or TARGET.read_text() != made():
        TARGET.write_text(made())


if __name__ == "__main__":
    write()
