"""Pieces of TypeScript: names, literals and comments. No text of an application's can end one that it stands in."""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

INDENT = "  "

ROOM = 100
"""Columns of a line, beyond which each member of a union has one of its own."""

LARGEST = 2**53 - 1
"""The largest integer that JavaScript has exactly."""

_PLAIN_KEY = re.compile(r"[A-Za-z_$][\w$]*", re.ASCII)
_NO_NAME = re.compile(r"\W+|__+", re.ASCII)
_DIRECTIVE = re.compile(r"@(?=ts-)")

_WORDS = """
any arguments as asserts async await bigint boolean break case catch class const constructor continue debugger declare
default delete do else enum eval export extends false finally for from function get if implements import in infer
instanceof interface intrinsic is keyof let module namespace never new null number object of package private protected
public readonly require return set static string super switch symbol this throw true try type typeof undefined unique
unknown var void while with yield
"""

RESERVED = frozenset(_WORDS.split())
"""The words that are no names of types, or are none everywhere."""


def quoted(text: str) -> str:
    """Return a text as a literal of TypeScript's."""
    return _visible(json.dumps(text, ensure_ascii=False))


def key(name: str) -> str:
    """Return the name of a property."""
    return name if _PLAIN_KEY.fullmatch(name) else quoted(name)


def literal(value: Any) -> str:
    """Return the type that a value of JSON alone has."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, dict):
        members = "; ".join(f"{key(str(name))}: {literal(each)}" for name, each in value.items())
        return f"{{ {members} }}" if members else "{ [key: string]: never }"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(literal, value))}]"
    text = json.dumps(value)
    if isinstance(value, bool) or value is None:
        return text
    is_exact = abs(value) <= LARGEST if isinstance(value, int) else text not in ("NaN", "Infinity", "-Infinity")
    return text if is_exact else "number"


def comment(lines: Iterable[str]) -> list[str]:
    """Return the lines of a JSDoc comment; none for no text."""
    safe = [harmless(line).rstrip() for text in lines for line in text.splitlines()]
    while safe and not safe[-1]:
        safe.pop()
    if len(safe) < 2:
        return [f"/** {safe[0].strip()} */"] if safe else []
    return ["/**", *(f" * {line}".rstrip() for line in safe), " */"]


def harmless(text: str) -> str:
    """Return one line of text that cannot end a comment, nor direct the compiler from within it."""
    return _visible(_DIRECTIVE.sub("@ ", text).replace("*/", "*\\/"))


def indented(lines: Iterable[str]) -> list[str]:
    """Return lines, one step further to the right."""
    return [f"{INDENT}{line}" if line else line for line in lines]


def union(members: Sequence[str], before: str) -> list[str]:
    """Return the lines of a union behind what stands before it, with a semicolon.

    Args:
        members: its members.
        before: the beginning of the first line.
    """
    whole = f"{before} {' | '.join(members)};"
    if len(whole) <= ROOM or len(members) == 1:
        return [whole]
    return [before, *(f"{INDENT}| {member}" for member in members[:-1]), f"{INDENT}| {members[-1]};"]


class Names:
    """Gives out names of types, each of them once.

    Args:
        taken: the names that are not given out.
    """

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = {*taken, *RESERVED}

    def new(self, wanted: str, endings: Sequence[str] = ("",)) -> str:
        """Return a name that is free with each of some endings; with a number if need be.

        Args:
            wanted: what it is to be made of.
            endings: what will stand behind it.
        """
        base = wanted if wanted.isidentifier() and "__" not in wanted else _NO_NAME.sub("_", wanted)
        base = base.strip("_") or "Type"
        if not base.isidentifier():
            base = f"_{base}"
        name, number = base, 1
        while any(f"{name}{ending}" in self._taken for ending in endings):
            number += 1
            name = f"{base}{number}"
        self._taken |= {f"{name}{ending}" for ending in endings}
        return name


def _visible(text: str) -> str:
    """Return a text with an escape for each character that cannot be seen, or that ends a line."""
    return "".join(each if each.isprintable() else _escape(each) for each in text)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\u{{{code:x}}}"
