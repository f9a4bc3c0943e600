"""Requirements of Channels in requirements files and pyproject.toml: told of, and left to a person."""

import re
import tomllib
from collections.abc import Iterator
from typing import Any

from .plan import Finding, Kind
from .source import Unreadable

ADVICE = {
    "channels": ("require starlette-consumers in its place", Kind.LEFT),
    "channels-redis": ("require starlette-consumers[redis] in its place", Kind.LEFT),
    "daphne": ("take it out if another server, such as uvicorn, serves the application", Kind.TODO),
}
"""What to do with a requirement, by the normalized name of the distribution."""

NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
LINK = re.compile(r"\s*(?:(?:-e|--editable)[\s=]|\w+\+|\w+:|\.{0,2}/)")
"""How a line begins that says where a distribution is, and may say its name further on."""

LINKED = (
    re.compile(r"[#&]egg=([\w.-]+)"),
    re.compile(r"\w\+\w+://[^/\s#]+/(?:[^@\s#]*/)?([\w.-]+?)(?:\.git)?/?(?:@[^\s#]*)?(?:[\s;#]|$)"),  # a repository
    re.compile(r"/([\w.-]+)/archive/"),  # a repository's, as GitHub has it
    re.compile(r"(?:^|[/\s])([A-Za-z][\w.-]*?)-\d[^/\s]*\.(?:whl|zip|tar\.\w+)"),  # a file
)
"""What a link's name is found by; the first counts."""

HEADER = re.compile(r"\s*\[+([^\]]+)\]")
COMMENT = re.compile(r"\s*#")
TABLES = re.compile(r"requires$|(^|-)dependencies$|^dependency-groups$")
"""The keys in pyproject.toml below which there are requirements, whichever tool reads them."""


def in_text(text: str) -> list[Finding]:
    """Return what to tell about the lines of a requirements file."""
    return [
        finding for number, line in enumerate(text.splitlines(), 1) if (finding := _finding(number, line)) is not None
    ]


def in_pyproject(text: str) -> list[Finding]:
    """Return what to tell about the requirements in a pyproject.toml.

    Raises:
        Unreadable: it is no TOML.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Unreadable(f"no valid TOML: {error}") from error
    patterns = {
        requirement: re.compile(rf"^\s*{name}\s*=" if is_key else rf"""["']{name}["']""")
        for requirement, is_key in _requirements(tables, inside=False)
        if _advice(requirement) and (name := re.escape(requirement))
    }
    findings, is_inside = [], False
    for number, line in enumerate(text.splitlines(), 1):
        if header := HEADER.match(line):
            is_inside = any(TABLES.search(key) for key in header[1].split("."))
        for requirement, pattern in patterns.items():
            if pattern.search(line) and not COMMENT.match(line) and (is_inside or not pattern.pattern.startswith("^")):
                findings.append(_finding(number, requirement, line))
    return [finding for finding in findings if finding is not None]


def _requirements(value: Any, inside: bool) -> Iterator[tuple[str, bool]]:
    """Yield each requirement, and whether it is the key of a table."""
    if isinstance(value, dict):
        for key, below in value.items():
            if inside and not isinstance(below, list):
                yield key, True
            yield from _requirements(below, inside or bool(TABLES.search(key)))
    elif isinstance(value, list):
        for below in value:
            yield from _requirements(below, inside)
    elif inside and isinstance(value, str):
        yield value, False


def _advice(requirement: str) -> tuple[str, Kind] | None:
    if LINK.match(requirement):
        match = next(filter(None, (pattern.search(requirement) for pattern in LINKED)), None)
    else:
        match = NAME.match(requirement)
    return ADVICE.get(re.sub(r"[-_.]+", "-", match[1]).lower()) if match else None


def _finding(number: int, requirement: str, line: str | None = None) -> Finding | None:
    advice = _advice(requirement)
    if advice is None:
        return None
    text = (requirement if line is None else line).strip().rstrip(",")
    return Finding(number, f"`{text}`: {advice[0]}", advice[1])
