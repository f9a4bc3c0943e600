"""No module, no function and no file of tests is longer than a reader's attention."""

import ast
from collections.abc import Iterator

from .support.pages import ROOT

MAX_MODULE = 400
MAX_TESTS = 600
MAX_BODY = 60
"""Lines."""


def files(*folders: str) -> list[str]:
    """Return the paths of all Python files below these folders."""
    return sorted(str(file.relative_to(ROOT)) for folder in folders for file in (ROOT / folder).rglob("*.py"))


def bodies(source: str) -> Iterator[tuple[str, int]]:
    """Yield each function's name, and how many lines its body has without the docstring."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            yield node.name, (node.end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_a_module_and_its_functions_are_short() -> None:
    too_long = []
    for name in files("consumers", "compat"):
        source = (ROOT / name).read_text(encoding="utf-8")
        too_long += [name] if len(source.splitlines()) > MAX_MODULE else []
        too_long += [f"{name}: {function}()" for function, lines in bodies(source) if lines > MAX_BODY]
    assert too_long == []


def test_a_file_of_tests_is_short() -> None:
    lengths = {name: len((ROOT / name).read_text(encoding="utf-8").splitlines()) for name in files("tests")}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_TESTS} == {}
