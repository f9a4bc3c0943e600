"""What the tool prints: the diff, and the report."""

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .plan import Finding, Kind

SECTIONS = (
    ("Needs a person", Kind.LEFT),
    ("Worth a look", Kind.TODO),
    ("Not covered", Kind.UNCOVERED),
)


@dataclass
class Result:
    """What came of one file.

    Attributes:
        name: what to call it.
        before: its bytes.
        after: what they shall be.
        lines: the lines with edits, by their numbers afterwards.
        findings: what to tell a person.
        shadows: the project's own modules that its imports find, and their names.
        encoding: how the bytes are to be shown.
        configures_layers: whether it calls what makes the layers without settings.
        is_written: whether the file has been changed.
        is_file: whether it is a file of the project; else what is told concerns something that is installed.
    """

    name: str
    before: bytes = b""
    after: bytes = b""
    lines: list[int] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    shadows: list[tuple[Path, str]] = field(default_factory=list)
    encoding: str = "utf-8"
    configures_layers: bool = False
    is_written: bool = False
    is_file: bool = True

    def add(self, text: str, kind: Kind, line: int | None = None) -> None:
        """Tell a person something about the file."""
        self.findings.append(Finding(line or 0, text, kind))


def diff(result: Result) -> Iterator[str]:
    """Yield the lines of a unified diff, which `patch -p0` takes; none if nothing changes."""
    before, after = _split(result.before, result.encoding), _split(result.after, result.encoding)
    for line in difflib.unified_diff(before, after, result.name, result.name):
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def _split(data: bytes, encoding: str) -> list[str]:
    """Return the lines with their ends; str.splitlines() would also split at form feeds."""
    lines = data.decode(encoding, "backslashreplace").split("\n")
    return [f"{line}\n" for line in lines[:-1]] + lines[-1:] * bool(lines[-1])


def report(results: list[Result], *, written: bool) -> Iterator[str]:
    """Yield the lines of the report.

    Args:
        results: of all files.
        written: whether the files were to be written.
    """
    changed = [result for result in results if result.lines and (result.is_written or not written)]
    if changed:
        yield "Changed:" if written else "To be changed (--write does it):"
        for result in changed:
            yield f"  {result.name}: {_lines(result.lines)}"
    for title, kind in SECTIONS:
        yield from _section(title, kind, results)
    persons = sum(finding.kind is Kind.LEFT for result in results for finding in result.findings)
    looked_at = f"{_count(sum(result.is_file for result in results), 'file')} looked at"
    if changed or persons:
        what = "changed" if written else "to be changed"
        yield f"{looked_at}, {len(changed)} {what}, {_count(persons, 'thing')} for a person."
    else:
        yield f"{looked_at}, nothing to port."


def _section(title: str, kind: Kind, results: list[Result]) -> Iterator[str]:
    places: dict[str, list[str]] = {}
    for result in results:
        for finding in result.findings:
            if finding.kind is kind:
                place = f"{result.name}:{finding.line}" if finding.line else result.name
                places.setdefault(finding.text, []).append(place)
    if places:
        yield f"{title}:"
    for text, where in places.items():
        yield f"  {', '.join(dict.fromkeys(where))}: {text}"


def _count(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def left(results: Iterable[Result]) -> int:
    """Return how many things there are left to do in the files."""
    return sum(
        sum(finding.kind is Kind.LEFT for finding in result.findings) + (0 if result.is_written else len(result.lines))
        for result in results
    )


def _lines(numbers: list[int]) -> str:
    *front, last = map(str, numbers)
    return f"lines {', '.join(front)} and {last}" if front else f"line {last}"
