"""Dotted names in strings: settings, `mock.patch("channels.layers.get_channel_layer")`, `import_module("channels")`."""

import re

import libcst as cst

from . import layers
from .names import is_missing, is_module, is_ported, old_name, place, split
from .plan import Kind, Plan
from .source import dotted_name

IMPORTERS = ("find_spec", "import_module", "import_string", "importorskip", "is_installed", "run_module")
"""Functions whose first argument names a module, or an application of Django's."""

PATCHERS = ("patch", "setattr")
"""Functions whose first argument may name an attribute of a module: `mock.patch("…")`, `monkeypatch.setattr("…")`."""

DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
APPLICATIONS = re.compile(r"(?:^|_)APPS$")
DAPHNE = (
    'Daphne\'s runserver starts its own server: take "daphne" out, and serve with '
    "`python -m compat run package.asgi:application` or another ASGI server; or leave it in if Daphne is to stay"
)


def visit(plan: Plan, node: cst.CSTNode) -> None:
    """Plan what to do with a string, or with a call that imports by a string."""
    if isinstance(node, cst.SimpleString) and node not in plan.done:
        _visit_string(plan, node)
    elif isinstance(node, cst.ConcatenatedString):
        value = node.evaluated_value
        if isinstance(value, str) and not _is_prose(plan, node) and _new(plan, node, value) is not None:
            plan.note(node, f"write {value!r} in one piece and run this again")
    elif isinstance(node, cst.Call):
        _visit_call(plan, node)


def _visit_string(plan: Plan, node: cst.SimpleString) -> None:
    value = node.evaluated_value
    if not isinstance(value, str) or value != node.raw_value or not DOTTED.fullmatch(value) or _is_prose(plan, node):
        return
    if value == "daphne" and _is_application(plan, node):
        plan.note(node, DAPHNE, Kind.TODO)
        return
    new = _new(plan, node, value)
    if new is None or new == value:
        return
    if _called(plan, node) == "__import__":
        plan.note(node, f"__import__ returns the outermost package: write importlib.import_module({new!r})")
        return
    start, end = plan.source.span(node)
    plan.edit(start, end, f"{node.prefix}{node.quote}{new}{node.quote}")
    plan.note_missing(node, old_name(value) or "")
    plan.note_by_hand(node, old_name(value) or "")
    if plan.native and not is_ported(new) and _is_backend(plan, node):
        plan.note(node, layers.SETTING, Kind.LAYERS)


def _new(plan: Plan, node: cst.CSTNode, value: str) -> str | None:
    """Return what a string that names something of Channels shall be; None for any other string."""
    old = old_name(value)
    if old is None or not split(old)[0] or (is_ported(value) and not plan.native):
        return None
    called = _called(plan, node)
    names_module = called in (*IMPORTERS, "__import__")
    if is_module(old):
        found = names_module or called in PATCHERS or _is_key_of_modules(plan, node)
        if not found and not (old == "channels" and _is_application(plan, node)):
            return None
    elif is_missing(old) and not names_module and called not in PATCHERS:
        return None  # the name of a group or of a logger
    new = place(old, plan.native)
    return new.dotted if new else None


def _visit_call(plan: Plan, call: cst.Call) -> None:
    function = dotted_name(call.func).rpartition(".")[2]
    if function not in (*IMPORTERS, *PATCHERS, "__import__") or not call.args:
        return
    first: cst.CSTNode = call.args[0].value
    while isinstance(first, cst.BinaryOperation):
        first = first.left
        if isinstance(first, cst.SimpleString) and _begins_with_channels(first.raw_value):
            plan.note(call, _made_up(plan, call))
    if isinstance(first, cst.FormattedString) and first.parts:
        part = first.parts[0]
        if isinstance(part, cst.FormattedStringText) and _begins_with_channels(part.value):
            plan.note(call, _made_up(plan, call))


def _begins_with_channels(text: str) -> bool:
    return text.startswith(("channels.", "channels_redis."))


def _made_up(plan: Plan, call: cst.Call) -> str:
    return f'{plan.source.text(call.args[0].value)}: this name is made at run time; put "compat." in front of it'


def _called(plan: Plan, node: cst.CSTNode) -> str:
    """Return the name of the function whose first argument this is."""
    argument = plan.source.parent(node)
    call = plan.source.parent(argument) if argument is not None else None
    if isinstance(argument, cst.Arg) and isinstance(call, cst.Call) and call.args[0] is argument:
        return dotted_name(call.func).rpartition(".")[2]
    return ""


def _is_prose(plan: Plan, node: cst.CSTNode) -> bool:
    """Tell whether a string is a docstring, or another one that is a statement by itself."""
    return any(isinstance(parent, cst.Expr) and parent.value is node for parent in [plan.source.parent(node)])


def _is_backend(plan: Plan, node: cst.CSTNode) -> bool:
    """Tell whether this is a channel layer in a setting: `"BACKEND": "…"`."""
    match plan.source.parent(node):
        case cst.DictElement(key=cst.SimpleString() as key):
            return key.evaluated_value == "BACKEND"
    return False


def _is_key_of_modules(plan: Plan, node: cst.CSTNode) -> bool:
    """Tell whether this is in `sys.modules["…"]`."""
    for parent in plan.source.ancestors(node):
        if isinstance(parent, cst.Subscript):
            return dotted_name(parent.value) == "sys.modules"
    return False


def _is_application(plan: Plan, node: cst.CSTNode) -> bool:
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
