"""What an editor shows of a class attribute, when the mouse hovers over it."""

import ast
import inspect
import re
import textwrap

import pytest

import consumers
from consumers import BaseWSEndpoint, WebsocketConsumer
from consumers._connection.request import RequestAttributes
from consumers.limits import Limits

from ..support.pages import ROOT

CLASSES: list[type[object]] = [
    Limits,
    RequestAttributes,
    *(one for one in vars(consumers).values() if isinstance(one, type) and issubclass(one, Limits)),
]


def attributes(one: type) -> dict[str, str | None]:
    """Return the public attributes that a class declares, but for methods; each with its docstring."""
    [definition] = ast.parse(textwrap.dedent(inspect.getsource(one))).body
    assert isinstance(definition, ast.ClassDef)
    found: dict[str, str | None] = {}
    for statement, following in zip(definition.body, [*definition.body[1:], None], strict=True):
        target: ast.expr | None = statement.target if isinstance(statement, ast.AnnAssign) else None
        if isinstance(statement, ast.Assign) and not callable(getattr(one, ast.unparse(statement.targets[0]))):
            target = statement.targets[0]
        if isinstance(target, ast.Name) and not target.id.startswith("_"):
            text = following.value if isinstance(following, ast.Expr) else None
            found[target.id] = str(text.value) if isinstance(text, ast.Constant) else None
    return found


@pytest.mark.parametrize("one", CLASSES)
def test_every_public_attribute_has_a_docstring(one: type) -> None:
    for name, docstring in attributes(one).items():
        assert docstring, name
        assert "Attributes:" not in (one.__doc__ or ""), "nothing is said twice"


def test_those_of_the_reference_are_there_with_their_defaults() -> None:
    page = (ROOT / "docs/reference/consumers.md").read_text(encoding="utf-8")
    rows = re.findall(r'^\| `(\w+)` \| `([\w."]+)` \|', page, re.MULTILINE)
    assert len(rows) == 21
    declared = [(one, attributes(one)) for one in CLASSES if one not in (WebsocketConsumer, BaseWSEndpoint)]
    for name, default in rows:
        [owner] = [one for one, names in declared if name in names]
        assert getattr(owner, name) == ast.literal_eval(default), name
