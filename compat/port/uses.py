"""Where a file looks up the names that its imports bind."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import libcst as cst

from ..moves import MOVES
from .names import is_ported
from .source import Source, dotted_name

BY_NAME = ("delattr", "getattr", "hasattr", "object", "setattr")
"""Functions that take an object and the name of its attribute: `mock.patch.object(layers, "get_channel_layer")`, …"""


@dataclass(frozen=True)
class Use:
    """A dotted name in the code, such as `channels.layers.get_channel_layer`.

    Attributes:
        node: the node it is in.
        start: where it begins.
        parts: its names.
        ends: where each of them ends.
        named: the attribute that a function in BY_NAME is asked for.
        is_commented: whether there is a comment inside it.
    """

    node: cst.CSTNode
    start: int
    parts: tuple[str, ...]
    ends: tuple[int, ...]
    named: str | None = None
    is_commented: bool = False

    @property
    def dotted(self) -> str:
        return ".".join(self.parts)


Bound = tuple[Use, list[cst.CSTNode]]
"""A use, and the nodes that bind its name there."""


class Uses:
    """The uses of every name that a file's imports bind."""

    def __init__(self, source: Source) -> None:
        self._source = source

    @cached_property
    def _found(self) -> dict[str, list[Bound]]:
        found: dict[str, list[Bound]] = {}
        for node, local, bindings in self._source.loads():
            uses = self._in_string(node, local) if isinstance(node, cst.SimpleString) else self._at(node)
            found.setdefault(local, []).extend((use, bindings) for use in uses)
        return found

    def of(self, local: str) -> list[Bound]:
        """Return the uses of a name, each with the nodes that bind the name there."""
        return self._found.get(local, [])

    def _at(self, name: cst.CSTNode) -> Iterator[Use]:
        if not isinstance(name, cst.Name):
            return
        node: cst.BaseExpression = name
        start, end = self._source.span(name)
        parts, ends = [name.value], [end]
        parent = self._source.parent(node)
        while isinstance(parent, cst.Attribute) and parent.value is node and not node.lpar:
            parts.append(parent.attr.value)
            ends.append(self._source.span(parent.attr)[1])
            node, parent = parent, self._source.parent(parent)
        is_commented = b"#" in self._source.code[start : ends[-1]]
        yield Use(name, start, tuple(parts), tuple(ends), self._named(node), is_commented)

    def _named(self, node: cst.BaseExpression) -> str | None:
        argument = self._source.parent(node)
        call = self._source.parent(argument) if isinstance(argument, cst.Arg) else None
        if not isinstance(call, cst.Call) or len(call.args) < 2 or call.args[0] is not argument:
            return None
        name = call.args[1].value
        if dotted_name(call.func).rpartition(".")[2] in BY_NAME and isinstance(name, cst.SimpleString):
            value = name.evaluated_value
            return value if isinstance(value, str) else None
        return None

    def _in_string(self, node: cst.SimpleString, local: str) -> Iterator[Use]:
        """Yield the uses in an annotation that is a string."""
        content = node.raw_value
        if content != node.evaluated_value or not content.isascii() or "\n" in content:
            return
        start = self._source.span(node)[0] + len(node.prefix) + len(node.quote)
        try:
            waiting: list[ast.AST] = [ast.parse(content, mode="eval")]
        except SyntaxError:  # of a newer Python
            return
        while waiting:
            found = waiting.pop()
            chain = list(_chain(found))
            if chain and isinstance(chain[-1], ast.Name) and chain[-1].id == local:
                parts = [local, *(link.attr for link in reversed(chain) if isinstance(link, ast.Attribute))]
                ends = [start + (link.end_col_offset or 0) for link in reversed(chain)]
                yield Use(node, start + chain[-1].col_offset, tuple(parts), tuple(ends))
            else:
                waiting += ast.iter_child_nodes(found)


def _chain(node: ast.AST) -> Iterator[ast.expr]:
    """Yield `a.b.c`, `a.b` and `a` for the first of them."""
    while isinstance(node, ast.Attribute):
        yield node
        node = node.value
    if isinstance(node, ast.expr):
        yield node


def native_module(uses: Uses, local: str, old: str, statement: cst.CSTNode) -> str | None:
    """Return the one module of `consumers` that has all that a file looks up in a module of Channels.

    Args:
        uses: the file's.
        local: what the module is called in the file.
        old: the module's name in Channels.
        statement: the import that binds it.

    Returns:
        str: None if there is no such module, or if the file does more with the module than to look names up.
    """
    found: set[str | None] = set()
    for use, bindings in uses.of(local):
        if statement in bindings:
            name = use.parts[1] if len(use.parts) > 1 else use.named
            module, _, new = MOVES.get(f"{old}.{name}", "").rpartition(".")
            found.add(module if new == name and bindings == [statement] and not is_ported(module) else None)
    return found.pop() if len(found) == 1 else None
