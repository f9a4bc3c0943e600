"""The entries of INSTALLED_APPS: where they are, and how Daphne is taken out of them."""

import re

import libcst as cst

from .plan import Kind, Plan
from .source import dotted_name

APPLICATIONS = re.compile(r"(?:^|_)APPS$")

DAPHNE = ("daphne", "daphne.apps.DaphneConfig")

SERVE = "serve with `python -m compat run package.asgi:application` or another ASGI server"
TAKEN_OUT = f'"daphne" is taken out, and its runserver with it: {SERVE}'
TAKE_OUT = f'take "daphne" out, whose runserver starts a server of its own: {SERVE}'


def remove(plan: Plan, node: cst.SimpleString) -> None:
    """Take Daphne out of the list that it stands in, or tell a person of it where it is not so simple."""
    stretch = _stretch(plan, node)
    match plan.source.parent(node):
        case cst.Comparison():
            plan.note(node, 'Daphne is not among the apps after the port: what is done if "daphne" is?', Kind.TODO)
        case _ if stretch is None:
            plan.note(node, TAKE_OUT)
        case _:
            plan.edit(*stretch, "")
            plan.note(node, TAKEN_OUT, Kind.TODO)


def _stretch(plan: Plan, node: cst.SimpleString) -> tuple[int, int] | None:
    """Return what to cut out of a list or a tuple; None if what is left might be something else."""
    element = plan.source.parent(node)
    sequence = plan.source.parent(element) if element is not None else None
    if not isinstance(element, cst.Element) or not isinstance(sequence, cst.List | cst.Tuple):
        return None
    elements = list(sequence.elements)
    position = elements.index(element)
    others = elements[:position] + elements[position + 1 :]
    if isinstance(sequence, cst.Tuple) and (
        not sequence.lpar or (len(others) == 1 and not isinstance(others[0].comma, cst.Comma))
    ):
        return None
    code = plan.source.code
    start, end = plan.source.span(node)
    line = code.rfind(b"\n", 0, start) + 1
    rest = re.compile(rb"\s*,?[^\S\n]*(#[^\n]*)?(\n|$)").match(code, end)
    if not code[line:start].strip() and rest:
        return line, rest.end()
    if position + 1 < len(elements):
        return start, plan.source.span(elements[position + 1])[0]
    if others:
        return plan.source.span(elements[position - 1])[1], end
    comma = re.compile(rb"\s*,?").match(code, end)
    return start, comma.end() if comma else end


def is_application(plan: Plan, node: cst.CSTNode) -> bool:
    """Tell whether a string is among INSTALLED_APPS, or another setting of that kind, or is compared with it."""
    for parent in plan.source.ancestors(node):
        match parent:
            case cst.Assign(targets=targets):
                return any(_names_applications(target.target) for target in targets)
            case cst.AnnAssign(target=target) | cst.AugAssign(target=target):
                return _names_applications(target)
            case cst.Arg(keyword=cst.Name(value=keyword)):
                return bool(APPLICATIONS.search(keyword))
            case cst.DictElement(key=cst.SimpleString() as key) if key is not node and APPLICATIONS.search(
                key.raw_value
            ):
                return True
            case cst.Call(func=cst.Attribute(value=target)) if _names_applications(target):
                return True
            case cst.Comparison(comparisons=[cst.ComparisonTarget(comparator=target)]):
                return _names_applications(target)
            case cst.BaseStatement():
                return False
    return False


def _names_applications(node: cst.CSTNode) -> bool:
    return bool(APPLICATIONS.search(dotted_name(node).rpartition(".")[2]))
