"""An import goes only to a lower floor; the core needs nothing but Starlette, anyio and asgiref."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
    for package in ("consumers", "compat")
    for file in (ROOT / package).rglob("*.py")
}
CORE = sorted(name for name in MODULES if name.partition(".")[0] == "consumers")

# A room that holds a package covers the modules in it that are not named here.
FLOORS = {
    "types": 0,
    "threads": 0,
    "wrappers": 0,
    "applications": 1,
    "not_json": 0,
    "exceptions": 0,
    "events": 1,
    "bridge": 1,
    "limits": 1,
    "misspelt": 2,
    "checks": 3,
    "failures": 4,
    "patterns": 2,
    "layers.base": 2,
    "layers.isolation": 1,
    "layers.loops": 0,
    "layers.overrides": 0,
    "budget": 1,
    "backlog": 3,
    "inline": 1,
    "journal": 5,
    "overdue": 1,
    "handlers": 4,
    "turns": 2,
    "wake": 3,
    "socket": 2,
    "layers.receivers": 1,
    "layers.tables": 2,
    "layers.local": 3,
    "layers.codec": 2,
    "inbox": 4,
    "watch": 4,
    "layers": 3,
    "undecided": 5,
    "client": 5,
    "frames": 5,
    "ending": 6,
    "connection": 7,
    "consumer": 8,
    "websocket": 9,
    "http": 9,
    "request": 2,
    "misrouted": 9,
    "task_group": 1,
    "endpoint": 9,
    "worker": 9,
    "telemetry": 10,
    "": 10,
    "__main__": 10,
}
SIDE = {"routing", "origin", "testing"}
"""Rooms that need floors 0 to 2 only, and that only the roof imports."""

LIBRARIES = {"starlette", "anyio", "asgiref"}
EVENT_LOOPS = {
    "bridge": {"asyncio"},
    "frames": {"asyncio"},
    "inline": {"asyncio"},
    "overdue": {"asyncio"},
    "layers.loops": {"asyncio"},
    "turns": {"asyncio"},
    "wake": {"asyncio"},
    "watch": {"asyncio"},
    "testing.application": {"asyncio", "trio"},
}
"""Where anyio is not enough: asgiref's threads know only asyncio; anyio starts no task that outlives a block; waking a
task costs less where the loop is known."""
EXTRAS = {
    "layers.redis": {"redis", "asyncio"},
    "layers.codec": {"msgpack", "cryptography"},
    "telemetry": {"opentelemetry"},
}
"""What a room needs an extra for; no other one may import it, directly or by that room."""


def room(name: str) -> str:
    """Return the room that a module of `consumers` is in, as it is called in the tables."""
    name = name.removeprefix("consumers").removeprefix(".")
    while name and name not in FLOORS and name not in SIDE:
        name = name.rpartition(".")[0]
    return name


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


def is_allowed(importer: str, imported: str) -> bool:
    """Say whether one module of `consumers` may import another one."""
    source, target = room(importer), room(imported)
    same_package = importer.split(".")[1:2] == imported.split(".")[1:2]
    if target in SIDE:
        return source == target or FLOORS.get(source) == FLOORS[""]
    if source in SIDE:
        return FLOORS[target] <= 2
    return FLOORS[target] < FLOORS[source] or (same_package and FLOORS[target] == FLOORS[source])


@pytest.mark.parametrize("name", CORE)
def test_a_module_has_a_floor(name: str) -> None:
    assert name == "consumers" or room(name), f"{name} is in no room: give it a floor in this file"


@pytest.mark.parametrize("name", CORE)
def test_an_import_goes_only_to_a_lower_floor(name: str) -> None:
    ours = [imported for imported in imports(name) if imported.partition(".")[0] == "consumers"]
    assert [imported for imported in ours if not is_allowed(name, imported)] == []


def is_in(name: str, place: str) -> bool:
    """Say whether a module is this one of `consumers`, or in this package."""
    return f"{name}.".startswith(f"consumers.{place}.")


@pytest.mark.parametrize("name", CORE)
def test_what_needs_an_extra_is_imported_by_no_other_room(name: str) -> None:
    for place in ("layers.redis", "telemetry"):
        if not is_in(name, place):
            assert [imported for imported in imports(name) if is_in(imported, place)] == []


@pytest.mark.parametrize("name", CORE)
def test_the_core_imports_only_the_standard_library_and_its_three_dependencies(name: str) -> None:
    allowed = (sys.stdlib_module_names - {"asyncio"}) | LIBRARIES | {"consumers"}
    allowed |= EVENT_LOOPS.get(name.removeprefix("consumers."), set())
    allowed |= next((EXTRAS[extra] for extra in EXTRAS if is_in(name, extra)), set())
    assert {imported.partition(".")[0] for imported in imports(name)} <= allowed


@pytest.mark.parametrize(
    ("importer", "imported", "allowed"),
    [
        ("consumers.consumer", "consumers.connection", True),
        ("consumers.connection", "consumers.consumer", False),
        ("consumers.http", "consumers.websocket", False),
        ("consumers.layers.registry", "consumers.layers.memory", True),
        ("consumers.layers.base", "consumers.layers.memory", False),
        ("consumers.testing.http", "consumers.testing.application", True),
        ("consumers.testing.http", "consumers.consumer", False),
        ("consumers.worker", "consumers.routing", False),
        ("consumers.types", "consumers", False),
        ("consumers", "consumers.routing", True),
    ],
)
def test_the_rules_of_the_house(importer: str, imported: str, allowed: bool) -> None:
    assert is_allowed(importer, imported) is allowed
