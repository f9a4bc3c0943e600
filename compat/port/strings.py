"""Dotted names in strings: settings, `mock.patch("channels.layers.get_channel_layer")`, `import_module("channels")`."""

import re

import libcst as cst

from . import applications, layers, uncovered
from .applications import is_application
from .names import is_missing, is_module, is_ported, old_name, place, split
from .plan import Kind, Plan
from .source import dotted_name

IMPORTERS = ("find_spec", "import_module", "import_string", "importorskip", "is_installed", "run_module")
"""Functions whose first argument names a module, or an application of Django's."""

PATCHERS = ("patch", "setattr")
"""Functions whose first argument may name an attribute of a module: `mock.patch("…")`, `monkeypatch.setattr("…")`."""

DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
BEGINNINGS = ("channels.", "channels_redis.")

SEND_JSON = ("send.json", "send_json")
"""Types of messages that reach a method of Channels' JSON consumers."""

OF_LAYERS = ("group_add", "group_discard", "group_send", "new_channel", "receive", "send")
"""Functions whose first argument names a group or a channel."""


def visit(plan: Plan, node: cst.CSTNode) -> None:
    """Plan what to do with a string, or with a call that imports by a string."""
    if isinstance(node, cst.SimpleString) and node not in plan.done:
        _visit_string(plan, node)
    elif isinstance(node, cst.ConcatenatedString):
        value = node.evaluated_value
        if isinstance(value, str) and not _is_prose(plan, node):
            if DOTTED.fullmatch(value) and _new(plan, node, value) is not None:
                plan.note(node, f"write {value!r} in one piece and run this again")
            else:
                _note_kept(plan, node, value)
    elif isinstance(node, cst.FormattedString):
        _visit_formatted(plan, node)
    elif isinstance(node, cst.Call):
        _visit_call(plan, node)


def _visit_string(plan: Plan, node: cst.SimpleString) -> None:
    value = node.evaluated_value
    if not isinstance(value, str) or _is_prose(plan, node):
        return
    if value in applications.DAPHNE and is_application(plan, node):
        applications.remove(plan, node)
        return
    if plan.native and value in SEND_JSON and _is_type(plan, node):
        plan.note(node, f"{plan.source.text(node)}: natively no layer message reaches send_json(); give it a handler")
        return
    if value.startswith((*BEGINNINGS, "compat.", "consumers.")):
        uncovered.note_patched(plan, node)
    new = _new(plan, node, value) if value == node.raw_value and DOTTED.fullmatch(value) else None
    if new is None:
        _note_kept(plan, node, value)
        return
    if new == value:
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
        if not found and not (old == "channels" and is_application(plan, node)):
            return None
    elif is_missing(old) and not names_module and called not in PATCHERS:
        return None  # the name of a group or of a logger
    new = place(old, plan.native)
    return new.dotted if new else None


def _note_kept(plan: Plan, node: cst.CSTNode, value: str) -> None:
    """Tell a person of a string that looks like a name of Channels, or the beginning of one, and is left as it is.

    A name that Channels does not have, such as that of a template, need not be looked at.
    """
    if not value.startswith(BEGINNINGS) or any(map(str.isspace, value)) or _is_settled(plan, node, value):
        return
    is_name = value in BEGINNINGS or split(value)[0] not in ("", "channels")
    new = '"compat." or "consumers."' if plan.native else '"compat."'
    plan.note(
        node,
        f"{plan.source.text(node)}: left as it is; where it stands for names of Channels, those begin with {new} now",
        Kind.LEFT if is_name and _called(plan, node) != "getLogger" else Kind.TODO,
    )


def _is_settled(plan: Plan, node: cst.CSTNode, value: str) -> bool:
    """Tell whether a string needs no look: it is told of otherwise, is no module's name, or its new form is there."""
    if _is_type(plan, node):
        return True
    match plan.source.parent(node):
        case cst.ConcatenatedString():
            return True  # told of as a whole
        case cst.Comparison(left=left, comparisons=[cst.ComparisonTarget(operator=cst.In() | cst.NotIn())]):
            if left is node and value.endswith(".") and not plan.native:
                return True  # it is in the new names too
    outermost = node
    while isinstance(parent := plan.source.parent(outermost), cst.BinaryOperation):
        outermost = parent
    if outermost is not node and _called(plan, outermost) in (*IMPORTERS, *PATCHERS, "__import__"):
        return True  # told of as a whole
    return _called(plan, node) in OF_LAYERS or f"compat.{value}" in plan.texts


def _is_type(plan: Plan, node: cst.CSTNode) -> bool:
    """Tell whether a string is a message's type."""
    match plan.source.parent(node):
        case cst.DictElement(key=cst.SimpleString() as key):
            return key.raw_value == "type"
    return False


def _visit_formatted(plan: Plan, node: cst.FormattedString) -> None:
    first = node.parts[0] if node.parts else None
    if isinstance(first, cst.FormattedStringText) and _called(plan, node) not in (*IMPORTERS, *PATCHERS, "__import__"):
        beginning = next((name for name in BEGINNINGS if first.value.startswith(name)), "")
        if beginning and not any(map(str.isspace, first.value)):
            _note_kept(plan, node, beginning)


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
    return text.startswith(BEGINNINGS)


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
