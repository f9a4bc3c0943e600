"""One Python file: its bytes, its syntax tree, and edits of it."""

import ast
import warnings
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import NamedTuple

import libcst as cst
from libcst.metadata import (
    Assignment,
    ByteSpanPositionProvider,
    CodeSpan,
    MetadataWrapper,
    ParentNodeProvider,
    ScopeProvider,
)
from libcst.metadata.scope_provider import BaseAssignment, Scope

MAX_DEPTH = 1000
"""How deep a file's syntax tree may be: the time that libcst takes grows with the square of it."""

TOO_DEEP = "its expressions are nested too deeply"


class Unreadable(Exception):
    """A file is no Python source.

    Args:
        reason: why.
        line: where, if it is known.
    """

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line


class Edit(NamedTuple):
    """A stretch of the source, in bytes of its UTF-8 form, and what comes into its place."""

    start: int
    end: int
    text: str


class Source:
    """A Python file's syntax tree, with positions and scopes.

    Args:
        data: the file's bytes.

    Raises:
        Unreadable: they are no Python source, or could not be written back as they are.
    """

    def __init__(self, data: bytes) -> None:
        tree = _parse(data)
        if tree.bytes != data:
            raise Unreadable("an edit would lose its form feeds or its line endings")
        self._wrapper = MetadataWrapper(tree, unsafe_skip_copy=True)
        self.tree = self._wrapper.module
        self.code = tree.code.encode()

    # Each of these goes over the whole tree: many files need none.

    @cached_property
    def _spans(self) -> Mapping[cst.CSTNode, CodeSpan]:
        return self._wrapper.resolve(ByteSpanPositionProvider)

    @cached_property
    def _parents(self) -> Mapping[cst.CSTNode, cst.CSTNode]:
        return self._wrapper.resolve(ParentNodeProvider)

    @cached_property
    def _scopes(self) -> list[Scope]:
        scopes = self._wrapper.resolve(ScopeProvider).values()
        return list(dict.fromkeys(scope for scope in scopes if scope is not None))

    def span(self, node: cst.CSTNode) -> tuple[int, int]:
        """Return where a node begins and ends."""
        span = self._spans[node]
        return span.start, span.start + span.length

    def text(self, node: cst.CSTNode) -> str:
        """Return a node's code."""
        start, end = self.span(node)
        return self.code[start:end].decode()

    def line(self, node: cst.CSTNode) -> int:
        """Return the number of the line that a node begins in."""
        return self.line_at(self.span(node)[0])

    def line_at(self, offset: int) -> int:
        return self.code.count(b"\n", 0, offset) + 1

    def parent(self, node: cst.CSTNode) -> cst.CSTNode | None:
        return self._parents.get(node)

    def ancestors(self, node: cst.CSTNode) -> Iterator[cst.CSTNode]:
        """Yield a node's parent, its parent, and so on."""
        current = self.parent(node)
        while current is not None:
            yield current
            current = self.parent(current)

    def loads(self) -> Iterator[tuple[cst.CSTNode, str, list[cst.CSTNode]]]:
        """Yield every place where a name is looked up.

        Yields:
            The name's node, or the string that has it as an annotation; the name; the nodes that bind it there, which
            for an import is the statement.
        """
        for scope in self._scopes:
            for access in scope.accesses:
                node: cst.CSTNode = access.node
                while isinstance(node, cst.Attribute):
                    node = node.value
                names = [node.value] if isinstance(node, cst.Name) else [_root(found) for found in access.referents]
                for name in dict.fromkeys(names):
                    yield node, name, [_node(assignment) for assignment in scope[name]]

    @cached_property
    def bound_names(self) -> dict[str, set[cst.CSTNode]]:
        """Return every name that is bound anywhere in the file, with the nodes that do."""
        found: dict[str, set[cst.CSTNode]] = {}
        for scope in self._scopes:
            for assignment in scope.assignments:
                if isinstance(assignment, Assignment):
                    found.setdefault(_root(assignment), set()).add(_node(assignment))
        return found

    @cached_property
    def nodes(self) -> list[cst.CSTNode]:
        """All nodes, in the order of the source."""
        found: list[cst.CSTNode] = []
        waiting: list[cst.CSTNode] = [self.tree]
        while waiting:
            found.append(node := waiting.pop())
            waiting += reversed(node.children)
        return found

    def joiner(self, statement: cst.CSTNode) -> str:
        """Return what separates a statement from one that is put behind it."""
        line = self.parent(statement)
        if not isinstance(line, cst.SimpleStatementLine) or len(line.body) > 1:
            return "; "
        return "\n" + self.indentation(statement)

    def indentation(self, statement: cst.CSTNode) -> str:
        """Return the white space in front of a statement that begins its line."""
        start, _ = self.span(statement)
        front = self.code[self.code.rfind(b"\n", 0, start) + 1 : start].decode()
        return front if not front.strip() else ""

    def edited(self, edits: Iterable[Edit]) -> bytes:
        """Return the file's bytes after the edits, in its own encoding.

        Raises:
            Unreadable: two edits overlap, or the result is no Python: nothing that may be written.
        """
        parts, position = [], 0
        for edit in sorted(set(edits)):
            if edit.start < position:
                raise Unreadable("two edits overlap", self.line_at(edit.start))
            parts += [self.code[position : edit.start], edit.text.replace("\n", self.tree.default_newline).encode()]
            position = edit.end
        code = b"".join([*parts, self.code[position:]]).decode()
        data = code.encode(self.tree.encoding)
        _parse(data)
        return data


def _parse(data: bytes) -> cst.Module:
    if _is_too_deep(data):
        raise Unreadable(TOO_DEEP)
    try:
        return cst.parse_module(data)
    except (cst.ParserSyntaxError, SyntaxError, LookupError, RecursionError, ValueError) as error:
        known = _syntax_error(data)
        if known is not None:
            raise known from error
        raise Unreadable(str(error).partition("\n")[0] or type(error).__name__) from error


def require_syntax(data: bytes) -> None:
    """Raise Unreadable if this is no Python; cheaper than `Source`."""
    if _syntax_error(data) is not None and not _is_too_deep(data):
        _parse(data)  # it knows newer syntax than the Python that runs this


def _syntax_error(data: bytes) -> Unreadable | None:
    try:
        _syntax_tree(data)
    except SyntaxError as error:
        return Unreadable(f"syntax error: {error.msg}", error.lineno)
    except (ValueError, RecursionError, MemoryError) as error:
        return Unreadable(f"syntax error: {error}")
    return None


def _is_too_deep(data: bytes) -> bool:
    try:
        level: list[ast.AST] = [_syntax_tree(data)]
    except (RecursionError, MemoryError):
        return True
    except (SyntaxError, ValueError):  # libcst may know better
        return False
    depth = 0
    while level and depth <= MAX_DEPTH:
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        depth += 1
    return bool(level)


def _syntax_tree(data: bytes) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about escapes in strings: the file's own affair
        return ast.parse(data)


def _root(assignment: BaseAssignment) -> str:
    return assignment.name.partition(".")[0]


def _node(assignment: BaseAssignment) -> cst.CSTNode:
    if isinstance(assignment, Assignment):
        return assignment.node
    return cst.Pass()  # a builtin's


def dotted_name(node: cst.CSTNode | None) -> str:
    """Return `a.b.c` of names with dots in between; "" for any other node."""
    match node:
        case cst.Name(value=value):
            return value
        case cst.Attribute(value=inner, attr=cst.Name(value=value)):
            front = dotted_name(inner)
            return front and f"{front}.{value}"
    return ""
