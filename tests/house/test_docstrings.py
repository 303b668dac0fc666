"""The docstring of each public function, class and method is complete: parameters, result and errors are named."""

from __future__ import annotations

import ast
import builtins
import inspect
import re
import textwrap
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest

import socketkit
from socketkit import errors

SUBMODULES = ("errors", "events", "framing", "metrics", "observe")
"""Modules whose names the documentation uses, beside those of the package itself."""

ELSEWHERE = re.compile(r"\b(as|those of|see)\b[^.]*?`", re.IGNORECASE)
"""`as Connection.receive`, `Args and errors are those of serve`, `See FullCodec`."""

UNNAMED = {"NotImplementedError", "TypeError", "AttributeError"}
"""Raised where a program misuses Python; a docstring need not name them."""


def names_of_modules() -> Iterator[tuple[str, Any]]:
    yield from ((name, getattr(socketkit, name)) for name in socketkit.__all__)
    for module in SUBMODULES:
        found = import_module(f"socketkit.{module}")
        yield from ((f"{module}.{name}", getattr(found, name)) for name in found.__all__)


def members(name: str, kind: type) -> Iterator[tuple[str, Any]]:
    """The public methods and properties of a class, with those that it has from a base of ours."""
    for key in dir(kind):
        base = next((base for base in kind.__mro__ if key in vars(base)), object)
        if not key.startswith("_") and base.__module__.startswith("socketkit"):
            member = vars(base)[key]
            function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
            if inspect.isfunction(function):
                yield f"{name}.{key}", member


def public() -> dict[str, Any]:
    """Every public class, function, method and property, each once."""
    found: dict[int, tuple[str, Any]] = {}
    for name, thing in names_of_modules():
        if inspect.isclass(thing) or inspect.isfunction(thing):
            found.setdefault(id(thing), (name, thing))
        if inspect.isclass(thing):
            for title, member in members(name, thing):
                found.setdefault(id(member), (title, member))
    return dict(found.values())


PUBLIC = public()
FUNCTIONS = [name for name, thing in PUBLIC.items() if not inspect.isclass(thing) and not isinstance(thing, property)]


def docstring(name: str) -> str:
    """The docstring; of a member without one, that of the member of a base which it overrides."""
    thing = PUBLIC[name]
    own = inspect.getdoc(getattr(thing, "__func__", thing))
    if own or "." not in name:
        return own or ""
    kind, _, key = name.rpartition(".")
    owner = dict(names_of_modules()).get(kind)
    overridden = [vars(base)[key] for base in getattr(owner, "__mro__", ()) if key in vars(base)]
    return next((text for member in overridden if (text := inspect.getdoc(member))), "")


def section(text: str, title: str) -> str:
    """The indented lines below a title; empty where there are none."""
    found = re.search(rf"^{title}:\n((?:[ ]{{4}}.*\n?|\n(?=[ ]{{4}}))+)", text, re.MULTILINE)
    return found[1] if found else ""


def entries(text: str) -> list[str]:
    """The names before the colons of a section: `a, b: what they are` gives both."""
    heads = re.findall(r"^ {4}(\S[^:\n]*):", text, re.MULTILINE)
    return [name.strip(" *") for head in heads for name in head.split(",")]


def function(name: str) -> Any:
    return getattr(PUBLIC[name], "__func__", PUBLIC[name])


def parameters(name: str) -> list[str]:
    own = inspect.signature(function(name)).parameters
    return [key for key, one in own.items() if key not in ("self", "cls") and one.kind is not one.VAR_KEYWORD]


def test_there_is_much_to_look_at():
    assert len(PUBLIC) > 250
    assert {"connect", "Connection.receive", "framing.Codec.feed", "events.combine", "Address.parse"} <= set(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_first_sentence(name):
    """The first paragraph is whole sentences."""
    assert docstring(name).split("\n\n")[0].rstrip().endswith((".", ":"))


def test_parameters_are_named():
    """Each parameter is named, in `Args` or in a sentence, or the docstring says where it is described."""
    missing = {
        name: unnamed
        for name in FUNCTIONS
        if not ELSEWHERE.search(text := docstring(name))
        and (unnamed := [key for key in parameters(name) if not re.search(rf"\b{key}\b", text)])
    }
    assert not missing


def test_args_are_the_parameters():
    """A section `Args` has every parameter, and nothing else."""
    wrong = {}
    for name in FUNCTIONS:
        named = entries(section(docstring(name), "Args"))
        own = parameters(name)
        extra = [key for key in named if key not in inspect.signature(function(name)).parameters]
        if named and (extra or set(own) - set(named)):
            wrong[name] = (named, own)
    assert not wrong


def test_result_is_described():
    """What a function returns is said: by `Returns`, by the word, or by a first sentence that is the result itself."""
    noun = re.compile(r"(The|A|An|This|One|Two|Each|Every|Whether|None|Seconds|Bytes|How)\b")
    opens = re.compile(r"`with`|`async with`|\bIterates?\b|\bends\b")
    missing = []
    for name in FUNCTIONS:
        result = inspect.signature(function(name)).return_annotation
        text = docstring(name)
        is_said = noun.match(text) or re.search(r"\breturns?\b", text, re.IGNORECASE)
        if result in ("None", "NoReturn", inspect.Signature.empty) or is_said:
            continue
        if not opens.search(text.split("\n\n")[0]):
            missing.append(name)
    assert not missing


def test_raised_errors_are_named():
    """Each error that a function itself raises is named, or the docstring says where it is described."""
    missing = {}
    for name in FUNCTIONS:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function(name))))
        calls = [one.exc.func for one in ast.walk(tree) if isinstance(one, ast.Raise) and isinstance(one.exc, ast.Call)]
        raised = {one.id for one in calls if isinstance(one, ast.Name) and one.id[0].isupper()} - UNNAMED
        text = docstring(name)
        unnamed = [one for one in raised if one not in text]
        if unnamed and not ELSEWHERE.search(text):
            missing[name] = unnamed
    assert not missing


def test_raises_are_errors():
    """What a section `Raises` names are errors of ours, or Python's."""
    wrong = {}
    for name in FUNCTIONS:
        named = entries(section(docstring(name), "Raises"))
        strange = [one for one in named if not hasattr(errors, one) and not hasattr(builtins, one)]
        if strange:
            wrong[name] = strange
    assert not wrong
