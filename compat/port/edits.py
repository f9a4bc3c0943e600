"""The port of one Python file: what to edit, and what to tell a person."""

from collections.abc import Iterable

import libcst as cst

from ..moves import BY_HAND, MOVES
from . import imports, layers, routes, strings, uncovered
from .modules import Roots, no_module, note_uses, plan_aliased
from .names import is_module, is_ported, old_name, place
from .plan import Kind, Plan
from .source import Source, dotted_name
from .uses import Uses, native_module

HOSTS = "channels.security.websocket.AllowedHostsOriginValidator"
STAYS = "AllowedHostsOriginValidator: stays in compat, where it follows Django's ALLOWED_HOSTS, in tests too"


def plan(source: Source, *, native: bool, django: bool | None = None) -> Plan:
    """Find out what is to be done with a source.

    Args:
        source: the source.
        native: go on to `consumers` where it has what Channels has.
        django: Django stays in use; None if that is not known. Without `native`, routes then go on using `django.urls`.

    Returns:
        Plan: the edits, and what to tell a person.
    """
    plan = Plan(source, native, django)
    uses = Uses(source)
    from_imports = [node for node in source.nodes if isinstance(node, cst.ImportFrom)]
    plain_imports = [node for node in source.nodes if isinstance(node, cst.Import)]
    _plan_from_imports(plan, uses, from_imports)
    for statement in plain_imports:
        for alias in statement.names:
            plan_aliased(plan, statement, alias, uses)
    roots = Roots(plan, uses, plain_imports)
    for root in ("channels", "channels_redis", *(["compat"] if native else [])):
        roots.plan(root)
    for node in source.nodes:
        strings.visit(plan, node)
    if native:
        layers.note(plan)
        layers.note_stand_ins(plan, uses, from_imports, plain_imports)
    uncovered.note(plan, from_imports, plain_imports)
    return plan


def _plan_from_imports(plan: Plan, uses: Uses, nodes: list[cst.ImportFrom]) -> None:
    moved = routes.moved(plan, uses, nodes)
    statements = []
    for node in nodes:
        if isinstance(node.names, cst.ImportStar):
            _note_star(plan, uses, node)
        statement = imports.read(plan.source, node)
        if statement is not None:
            _sort_names(plan, uses, statement, moved)
            statements.append(statement)
    if plan.native:
        plan.joined.update(imports.join(plan.source, statements))
    for statement in statements:
        if statement.is_changed:
            _edit(plan, statement)


def _sort_names(plan: Plan, uses: Uses, statement: imports.Statement, moved: dict[str, str]) -> None:
    """Put each of a statement's names into the group of its new module."""
    for name in statement.names:
        old = old_name(f"{statement.module}.{name.name}")
        new = (statement.module, name.name)
        if f"{statement.module}.{name.name}" in moved:
            new = (moved[f"{statement.module}.{name.name}"], name.name)
        elif (*new,) == ("consumers", HOSTS.rpartition(".")[2]):
            _note_hosts(plan, uses, statement, name.local)
        elif old is not None and (plan.native or not is_ported(statement.module)):
            base = old_name(statement.module) or "channels"
            if not is_module(base):
                plan.note(statement.node, no_module(base))
            elif is_module(old):
                module = native_module(uses, name.local, old, statement.node) if plan.native else None
                note_uses(plan, uses, name.local, old, statement.node)
                if module is not None:
                    statement.modules.append((module, name.local))
                    continue
                new = ("compat" if statement.module == "compat" else f"compat.{base}", name.name)
            else:
                new = _new(plan, uses, statement, name.local, old)
        _add(statement, name, *new)


def _new(plan: Plan, uses: Uses, statement: imports.Statement, local: str, old: str) -> tuple[str, str]:
    plan.note_missing(statement.node, old)
    if old == HOSTS and plan.native and plan.django:
        plan.note(statement.node, STAYS, Kind.TODO)
        return f"compat.{HOSTS.rpartition('.')[0]}", HOSTS.rpartition(".")[2]
    if old != HOSTS or not _note_hosts(plan, uses, statement, local):
        plan.note_by_hand(statement.node, old)
    found = place(old, plan.native)
    assert found is not None
    return found


def _add(statement: imports.Statement, name: imports.Imported, module: str, new: str) -> None:
    alias = name.alias or (name.name if new != name.name else "")
    statement.groups.setdefault(module, []).append(imports.Imported(new, alias, name.above, name.beside))


def _edit(plan: Plan, statement: imports.Statement) -> None:
    source, node = plan.source, statement.node
    if list(statement.groups.values()) == [statement.names] and not statement.modules and node.module:
        plan.edit(*source.span(node.module), *statement.groups)
        return
    start, end = source.span(node)
    code = imports.write(source, statement)
    if not code:  # its names have gone to statements above it
        start, end = imports.line_of(source, node)
    plan.edit(start, end, code)


def _note_star(plan: Plan, uses: Uses, node: cst.ImportFrom) -> None:
    module = dotted_name(node.module)
    old = None if node.relative else old_name(module)
    if old is None or (is_ported(module) and not plan.native):
        return
    if not is_module(old):
        plan.note(node, no_module(old))
        return
    names = [name.rpartition(".")[2] for name in _public(old)]
    used = [name for name in names if any(not bindings for _, bindings in uses.of(name))]
    example = ", ".join(used or ["…"])
    plan.note(
        node, f"a star import: write from {module} import {example}, with the names that are used, and run this again"
    )


def _public(module: str) -> Iterable[str]:
    return [name for name in MOVES if name.rpartition(".")[0] == module]


def _note_hosts(plan: Plan, uses: Uses, statement: imports.Statement, local: str) -> bool:
    """Tell a person of each call without the hosts. Return whether there was a call."""
    calls = 0
    for use, bindings in uses.of(local):
        call = plan.source.parent(use.node)
        if statement.node in bindings and isinstance(call, cst.Call) and call.func is use.node:
            calls += 1
            if plan.native and len(call.args) < 2 and not any(argument.star for argument in call.args):
                plan.note(call, f"{local}: {BY_HAND[HOSTS]}")
    return calls > 0
