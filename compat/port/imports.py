"""`from … import …` statements: what they name, how they are written, and joining those of one module."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import libcst as cst

from .names import is_ported
from .source import Source, dotted_name

LINE_LENGTH = 88
"""Where a statement that the tool writes anew is broken: Black's and Django's length."""

PRAGMA = re.compile(r"#\s*(fmt|isort|mypy|noqa|nosec|pragma|pylint|pyright|ruff|type)\b", re.IGNORECASE)
"""A comment for a tool. It holds for the whole statement, and so for each that the statement is split into."""


@dataclass(frozen=True)
class Imported:
    """One name of a statement.

    Attributes:
        name: what it is called in the module.
        alias: what stands behind `as`; "" for nothing.
        above: the comments in the lines above it.
        beside: the comment behind it.
    """

    name: str
    alias: str = ""
    above: tuple[str, ...] = ()
    beside: str = ""

    @property
    def local(self) -> str:
        return self.alias or self.name

    @property
    def code(self) -> str:
        return f"{self.name} as {self.alias}" if self.alias else self.name


@dataclass
class Statement:
    """A `from … import …` and what it shall become.

    Attributes:
        node: the statement.
        module: its module.
        names: its names, in order.
        head: the comment behind its opening parenthesis.
        tail: the comments in the lines above its closing one.
        groups: the new names by new module.
        modules: the modules that shall be imported instead of a name: (module, local name).
    """

    node: cst.ImportFrom
    module: str
    names: list[Imported]
    head: str = ""
    tail: tuple[str, ...] = ()
    groups: dict[str, list[Imported]] = field(default_factory=dict)
    modules: list[tuple[str, str]] = field(default_factory=list)

    @property
    def has_comments(self) -> bool:
        return bool(self.head or self.tail or any(name.above or name.beside for name in self.names))

    @property
    def is_changed(self) -> bool:
        return bool(self.modules) or self.groups != {self.module: self.names}


def read(source: Source, node: cst.ImportFrom) -> Statement | None:
    """Return what an absolute `from … import …` says; None for a relative or a star import."""
    if node.relative or isinstance(node.names, cst.ImportStar):
        return None
    comments = _Comments()
    comments.pass_over(node.lpar.whitespace_after if node.lpar else None, 0)
    for number, alias in enumerate(node.names, 1):
        if isinstance(alias.comma, cst.Comma):
            comments.pass_over(alias.comma.whitespace_before, number)
            comments.pass_over(alias.comma.whitespace_after, number)
    comments.pass_over(node.rpar.whitespace_before if node.rpar else None, len(node.names))
    names = [
        Imported(
            dotted_name(alias.name),
            dotted_name(alias.asname.name) if alias.asname else "",
            tuple(comments.above.get(number - 1, ())),
            comments.beside.get(number, ""),
        )
        for number, alias in enumerate(node.names, 1)
    ]
    tail = tuple(comments.above.get(len(names), ()))
    return Statement(node, dotted_name(node.module), names, comments.beside.get(0, ""), tail)


class _Comments:
    """The comments inside parentheses: those behind the n-th name, and those in the lines after it."""

    def __init__(self) -> None:
        self.beside: dict[int, str] = {}
        self.above: dict[int, list[str]] = {}

    def pass_over(self, space: cst.BaseParenthesizableWhitespace | None, number: int) -> None:
        if not isinstance(space, cst.ParenthesizedWhitespace):
            return
        if space.first_line.comment:
            self.beside[number] = "  ".join(filter(None, [self.beside.get(number), space.first_line.comment.value]))
        lines = [line.comment.value for line in space.empty_lines if line.comment]
        self.above.setdefault(number, []).extend(lines)


def write(source: Source, statement: Statement) -> str:
    """Return the code of what a statement shall become; "" if nothing is left of it."""
    indentation = source.indentation(statement.node)
    pieces = [
        _from(module, names, statement, indentation, is_last=number == len(statement.groups))
        for number, (module, names) in enumerate(statement.groups.items(), 1)
    ]
    pieces += [f"import {module} as {local}" for module, local in statement.modules]
    joiner = source.joiner(statement.node)
    line = source.parent(statement.node)
    if joiner != "; " and isinstance(line, cst.SimpleStatementLine) and line.trailing_whitespace.comment:
        comment = line.trailing_whitespace.comment.value
        joiner = f"  {comment}{joiner}" if PRAGMA.match(comment) else joiner
    return joiner.join(pieces)


def _from(module: str, names: list[Imported], statement: Statement, indentation: str, *, is_last: bool) -> str:
    names = sorted(names, key=_order)
    front = f"from {module} import "
    line = front + ", ".join(name.code for name in names)
    tail = statement.tail if is_last else ()
    head = statement.head if is_last or PRAGMA.match(statement.head) else ""
    has_comments = head or tail or any(name.above or name.beside for name in names)
    if not has_comments and len(indentation + line) <= LINE_LENGTH:
        return line
    lines = [f"{front}({head and '  '}{head}"]
    for name in names:
        lines += [f"    {comment}" for comment in name.above]
        lines.append(f"    {name.code},{name.beside and '  '}{name.beside}")
    lines += [f"    {comment}" for comment in tail]
    return f"\n{indentation}".join([*lines, ")"])


def _order(name: Imported) -> tuple[int, str, str]:
    """Return a name's rank, as isort and Ruff have it: constants, classes, then the rest; large letters like small."""
    is_constant = name.name.isupper() and len(name.name) > 1
    rank = 0 if is_constant else 1 if name.name[:1].isupper() else 2
    return rank, name.name.lower(), name.alias


def join(source: Source, statements: Iterable[Statement]) -> dict[cst.CSTNode, cst.CSTNode]:
    """Move native names of changed statements up to a statement of the same module in the same run of imports.

    A run has no empty lines, no comments and nothing but imports. A statement with a comment stays as it is.

    Returns:
        The statements of which nothing is left, each with the one that its last names have gone to.
    """
    joined: dict[cst.CSTNode, cst.CSTNode] = {}
    known = {statement.node: statement for statement in statements}
    for run in runs(source):
        above: list[cst.Import | cst.ImportFrom] = []
        for node in run:
            statement = known.get(node) if isinstance(node, cst.ImportFrom) else None
            if statement is not None and statement.is_changed and not _is_commented(source, statement):
                target = _move_up(source, statement, above, known)
                if target is not None and not statement.groups and not statement.modules:
                    joined[node] = target
            above.append(node)
    return joined


def _move_up(
    source: Source,
    statement: Statement,
    above: list[cst.Import | cst.ImportFrom],
    known: dict[cst.ImportFrom, Statement],
) -> cst.CSTNode | None:
    moved_to: cst.CSTNode | None = None
    for module in [module for module in statement.groups if not is_ported(module)]:
        locals_ = {name.local for name in statement.groups[module]}
        for number in reversed(range(len(above))):
            node = above[number]
            target = known.get(node) if isinstance(node, cst.ImportFrom) else None
            if target is not None and module in target.groups and not _is_commented(source, target):
                names = target.groups[module] + statement.groups.pop(module)
                target.groups[module] = list(dict.fromkeys(names))
                moved_to = node
                break
            bound = _locals(node, target)
            if bound is None or locals_ & bound:
                break
    return moved_to


def _locals(node: cst.Import | cst.ImportFrom, statement: Statement | None) -> set[str] | None:
    """Return the names that an import binds; None if that cannot be told."""
    if statement is not None:
        return {name.local for names in statement.groups.values() for name in names}
    if isinstance(node.names, cst.ImportStar):
        return None
    return {dotted_name(alias.asname.name if alias.asname else alias.name).partition(".")[0] for alias in node.names}


def runs(source: Source) -> Iterator[list[cst.Import | cst.ImportFrom]]:
    """Yield the runs of imports: each alone in its line, without empty lines or comments between them."""
    for body in source.nodes:
        if not isinstance(body, cst.Module | cst.IndentedBlock):
            continue
        run: list[cst.Import | cst.ImportFrom] = []
        for line in body.body:
            only = line.body[0] if isinstance(line, cst.SimpleStatementLine) and len(line.body) == 1 else None
            is_import = isinstance(only, cst.Import | cst.ImportFrom)
            if run and (not is_import or bool(getattr(line, "leading_lines", None))):
                yield run
                run = []
            if isinstance(only, cst.Import | cst.ImportFrom):
                run.append(only)
        if run:
            yield run


def line_of(source: Source, statement: cst.CSTNode) -> tuple[int, int]:
    """Return where the lines of a statement begin and end, with the line break."""
    start, end = source.span(statement)
    return source.code.rfind(b"\n", 0, start) + 1, source.code.find(b"\n", end) + 1 or len(source.code)


def has_comment_behind(source: Source, statement: cst.CSTNode) -> bool:
    """Tell whether there is a comment at the end of a statement's line."""
    line = source.parent(statement)
    return isinstance(line, cst.SimpleStatementLine) and line.trailing_whitespace.comment is not None


def _is_commented(source: Source, statement: Statement) -> bool:
    return statement.has_comments or has_comment_behind(source, statement.node)
