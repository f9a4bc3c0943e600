"""Where a dotted name of Channels goes, and whether it is there."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from ..hook import REPLACED
from ..moves import MODULES, MOVES

COMPAT = Path(__file__).resolve().parent.parent

KNOWN_MODULES = MODULES | {f"channels_redis{module}" for module in ("", ".core", ".pubsub", ".serializers", ".utils")}
"""The modules of Channels 4.3 and channels_redis 4.3, by their old names."""

IMPLICIT = ("__doc__", "__file__", "__name__", "__path__", "__spec__")
"""What every package has without binding it."""


class Place(NamedTuple):
    """A dotted name: what to import, and what to look up in it.

    Attributes:
        module: the module's dotted name.
        attributes: what follows it, with dots in between; "" for the module itself.
    """

    module: str
    attributes: str

    @property
    def dotted(self) -> str:
        return f"{self.module}.{self.attributes}" if self.attributes else self.module


def old_name(dotted: str) -> str | None:
    """Return the name in Channels: of `channels.layers` and of `compat.channels.layers`; None for any other's."""
    old = dotted.removeprefix("compat.")
    return old if old.partition(".")[0] in REPLACED else None


def is_ported(dotted: str) -> bool:
    """Tell whether this is a name in `compat`."""
    return dotted.partition(".")[0] == "compat"


def is_module(old: str) -> bool:
    """Tell whether Channels has a module of this name."""
    return old in KNOWN_MODULES


def split(old: str) -> tuple[str, str]:
    """Return the longest module in front of a name, and the rest; ("", name) if there is none."""
    parts = old.split(".")
    for count in range(len(parts), 0, -1):
        module = ".".join(parts[:count])
        if is_module(module):
            return module, ".".join(parts[count:])
    return "", old


def place(old: str, native: bool) -> Place | None:
    """Return where a name of Channels, or an attribute of it, is.

    Args:
        old: the name in Channels, such as "channels.layers.InMemoryChannelLayer.send".
        native: prefer the place in `consumers`, where there is one.

    Returns:
        Place: None if Channels has no module of this name.
    """
    parts = old.split(".")
    for count in range(len(parts), 0, -1):
        name = ".".join(parts[:count])
        if native and name in MOVES:
            module, _, new = MOVES[name].rpartition(".")
            return Place(module, ".".join([new, *parts[count:]]))
    module, attributes = split(old)
    return Place(f"compat.{module}", attributes) if module else None


def is_missing(old: str) -> bool:
    """Tell whether `compat` has the module that a name is in, but not the name."""
    module, attributes = split(old)
    name = attributes.partition(".")[0]
    if not name or f"{module}.{name}" in MOVES or name in IMPLICIT:
        return False
    bound = _bound_in(module)
    return module.startswith("channels.") if bound is None else name not in bound


def has_module(old: str) -> bool:
    """Tell whether this version has the module, or the module that the name is in."""
    module, _ = split(old)
    return module in MODULES or _source(module) is not None


@cache
def _bound_in(module: str) -> frozenset[str] | None:
    source = _source(module)
    if source is None:
        return None
    return frozenset(_bindings(ast.parse(source.read_bytes()).body))


def _source(module: str) -> Path | None:
    """Return the file of a module under its old name; its code is only read, since importing it may need Django."""
    path = COMPAT.joinpath(*module.split("."))
    return next((file for file in (path / "__init__.py", path.with_suffix(".py")) if module and file.exists()), None)


def _bindings(body: list[ast.stmt]) -> Iterator[str]:
    for statement in body:
        match statement:
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                yield from (alias.asname or alias.name.partition(".")[0] for alias in names)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.If(body=inner, orelse=other) | ast.Try(body=inner, orelse=other):
                yield from _bindings(inner + other)
            case ast.Assign() | ast.AnnAssign():
                yield from (node.id for node in ast.walk(statement) if isinstance(node, ast.Name))
