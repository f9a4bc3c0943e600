"""`path()` and `re_path()` of `django.urls` where they lead to consumers."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import libcst as cst

from ..moves import MOVES
from .plan import Kind, Plan
from .source import Source, dotted_name
from .uses import Uses

DJANGO_URLS = "django.urls"
PORTED = f"compat.{DJANGO_URLS}"
ROUTERS = ("ChannelNameRouter", "ProtocolTypeRouter", "URLRouter")
FUNCTIONS = tuple(name.removeprefix(f"{DJANGO_URLS}.") for name in MOVES if name.startswith(f"{DJANGO_URLS}."))
BUILT_IN = ("int", "path", "slug", "str", "uuid")
PARAMETER = re.compile(r"<\s*(\w+)\s*:")

DJANGO = "django.urls: these routes need Django installed; without it, import from consumers (which --native does)"
MIXED = (
    "this stands among routes that lead to consumers, but leads to none that the tool can see: give the consumers' "
    "routes a file of their own and run this again"
)


@dataclass
class Routes:
    """What a file does with the functions of `django.urls`.

    Attributes:
        channels: the calls that lead to a consumer or a router.
        others: what else there is: calls that lead to a view, to `include()`, or to what cannot be told.
        converters: the names of converters that the file's routes have.
        registered: those that the file registers.
    """

    channels: list[cst.CSTNode] = field(default_factory=list)
    others: list[cst.CSTNode] = field(default_factory=list)
    converters: set[str] = field(default_factory=set)
    registered: set[str] = field(default_factory=set)


def moved(plan: Plan, uses: Uses, imports: list[cst.ImportFrom]) -> dict[str, str]:
    """Return from where the file shall import the functions of `django.urls`, by their dotted names.

    They are moved if all that the file does with them leads to consumers: to `consumers`, or without `native`, where
    Django is not in use, to `compat`. A file whose routes lead to Django's views as well is left as it is, and told of.
    """
    mine = [node for node in imports if dotted_name(node.module) in (DJANGO_URLS, PORTED) and not node.relative]
    routes = _look(plan, uses, mine)
    if not routes.channels:
        return {}
    if plan.django is not False and not plan.native:
        if plan.django is None:
            plan.note(mine[0], DJANGO, Kind.TODO)
        return {}
    for node in routes.others:
        plan.note(node, MIXED)
    unknown = routes.converters - routes.registered - set(BUILT_IN)
    if unknown:
        plan.note(
            routes.channels[0],
            f"the converter {', '.join(sorted(unknown))} is registered elsewhere: register it with "
            "consumers.register_converter, and import path and re_path from consumers",
        )
    if routes.others or unknown:
        return {}
    new = "consumers" if plan.native else PORTED
    return {f"{module}.{name}": new for module in (DJANGO_URLS, PORTED) for name in FUNCTIONS}


def uses_django(data: bytes) -> bool:
    """Tell whether a file needs Django for anything but routes.

    Raises:
        Unreadable: it is no Python.
    """
    if b"DJANGO_SETTINGS_MODULE" in data or (b"INSTALLED_APPS" in data and b"django." in data):
        return True
    if b"django" not in data:
        return False
    for node in Source(data).nodes:
        match node:
            case cst.Import(names=names):
                modules = [dotted_name(alias.name) for alias in names]
            case cst.ImportFrom(relative=[], module=module) if not _is_of_routes(node):
                modules = [dotted_name(module)]
            case _:
                continue
        if any(f"{module}.".startswith("django.") for module in modules):
            return True
    return False


def _is_of_routes(node: cst.ImportFrom) -> bool:
    return dotted_name(node.module) == DJANGO_URLS and all(name in FUNCTIONS for name, _ in _names(node))


def _look(plan: Plan, uses: Uses, imports: list[cst.ImportFrom]) -> Routes:
    routes = Routes()
    for node in imports:
        for name, local in _names(node):
            for use, bindings in uses.of(local):
                if node in bindings and name in FUNCTIONS:
                    _sort(plan, routes, name, use.node)
    return routes


def _names(node: cst.ImportFrom) -> Iterator[tuple[str, str]]:
    if not isinstance(node.names, cst.ImportStar):
        for alias in node.names:
            name = dotted_name(alias.name)
            yield name, dotted_name(alias.asname.name) if alias.asname else name


def _sort(plan: Plan, routes: Routes, function: str, name: cst.CSTNode) -> None:
    call = plan.source.parent(name)
    if not isinstance(call, cst.Call) or call.func is not name:
        routes.others.append(name)
        return
    texts = [_text(argument.value) for argument in call.args]
    if function == "register_converter":
        routes.registered.update(texts[1:2])
        return
    if leads_to_consumer(call):
        routes.channels.append(call)
    else:
        routes.others.append(call)
    if function == "path":
        routes.converters.update(PARAMETER.findall(" ".join(texts[:1])))


def leads_to_consumer(call: cst.Call) -> bool:
    """Tell whether a route leads to a consumer's `as_asgi()` or to a router, perhaps with middleware around it."""
    target = [argument.value for argument in call.args if argument.keyword and argument.keyword.value == "view"]
    positional = [argument.value for argument in call.args if not argument.keyword and not argument.star]
    waiting: list[cst.CSTNode] = [*target, *positional[1:2]]
    while waiting:
        node = waiting.pop()
        if isinstance(node, cst.Call):
            last = dotted_name(node.func).rpartition(".")[2]
            if last in ROUTERS or (isinstance(node.func, cst.Attribute) and node.func.attr.value == "as_asgi"):
                return True
        waiting += node.children
    return False


def _text(node: cst.BaseExpression) -> str:
    value = node.evaluated_value if isinstance(node, cst.SimpleString | cst.ConcatenatedString) else ""
    return value if isinstance(value, str) else ""
