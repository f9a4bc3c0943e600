"""The core needs nothing but Starlette, anyio and asgiref; `lint-imports` checks which package may import which."""

import ast
import sys
from collections.abc import Iterator

import pytest

from .support.pages import ROOT

MODULES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
    for package in ("consumers", "compat")
    for file in (ROOT / package).rglob("*.py")
}
CORE = sorted(name for name in MODULES if name.partition(".")[0] == "consumers")

LIBRARIES = {"starlette", "anyio", "asgiref"}
EXTRAS = {
    "layers.redis": {"redis"},
    "layers.codec": {"msgpack", "cryptography"},
    "server": {"uvicorn", "uvicorn_worker", "websockets"},
    "telemetry": {"opentelemetry"},
    "testing.application": {"trio"},
    "typed": {"pydantic", "pydantic_core"},
    "client": {"pydantic", "websockets"},
}
"""What a package needs an extra for, or finds where tests run; no other one may import it, directly or by that one."""


def imports(name: str) -> Iterator[str]:
    """Yield the full names of the modules that a module imports, wherever in its code."""
    package = name if MODULES[name].name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*parents, *filter(None, [node.module])])
            for alias in node.names:
                full = f"{source}.{alias.name}"
                yield full if full in MODULES else source


def is_in(name: str, place: str) -> bool:
    """Say whether a module is this one of `consumers`, or in this package."""
    return f"{name}.".startswith(f"consumers.{place}.")


@pytest.mark.slow
def test_what_needs_an_extra_is_imported_by_no_other_package() -> None:
    for place in ("layers.redis", "telemetry", "typed", "client"):
        others = [name for name in CORE if not is_in(name, place)]
        assert [(name, imported) for name in others for imported in imports(name) if is_in(imported, place)] == []


def test_the_core_imports_only_the_standard_library_and_its_three_dependencies() -> None:
    for name in CORE:
        allowed = sys.stdlib_module_names | LIBRARIES | {"consumers"}
        allowed |= next((EXTRAS[extra] for extra in EXTRAS if is_in(name, extra)), set())
        assert [imported for imported in imports(name) if imported.partition(".")[0] not in allowed] == [], name
