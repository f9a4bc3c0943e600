"""No module and no function is longer than a reader's attention."""

import ast
from collections.abc import Iterator

import pytest

from .support.pages import ROOT

MODULES = sorted(
    str(file.relative_to(ROOT)) for name in ("consumers", "compat") for file in (ROOT / name).rglob("*.py")
)

MAX_MODULE = 400
MAX_BODY = 60
"""Lines."""


def bodies(source: str) -> Iterator[tuple[str, int]]:
    """Yield each function's name, and how many lines its body has without the docstring."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            yield node.name, (node.end_lineno or 0) - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("name", MODULES)
def test_a_module_and_its_functions_are_short(name: str) -> None:
    source = (ROOT / name).read_text(encoding="utf-8")
    assert len(source.splitlines()) <= MAX_MODULE
    assert [function for function, lines in bodies(source) if lines > MAX_BODY] == []
