"""What code uses of Channels that is not here: told to a person, with what to do instead."""

import libcst as cst

from ..moves import INSTEAD
from .names import KNOWN_MODULES, old_name
from .plan import Kind, Plan
from .source import dotted_name
from .uses import BY_NAME

DAPHNE = "a module of Daphne: this library brings no server; uvicorn is its usual one"

OF_TESTS = "use wait() and stop()"
"""Instead of a communicator's `future`; other objects have an attribute of this name too."""

INTERNALS = {
    "_clean_expired": "the layers expire messages by themselves",
    "_make_backend": "use channel_layers.make_backend()",
    "_remove_from_groups": "use group_discard()",
    "_reset_backends": "use channel_layers.set() or override_settings()",
    "channel_receive": "a consumer here does not poll its channel: messages reach its handlers by themselves",
    "receive_buffer": "the Redis layer keeps what it has received to itself",
}
"""Attributes that Channels' objects have and those here have not, and what to do."""

OVERRIDDEN = {
    "_backup_channel_name": "nothing calls it here: a message that is taken from a queue has no backup",
    "_brpop_with_clean": "nothing calls it here: override receive()",
    "_clean_receive_backup": "nothing calls it here: a message that is taken from a queue has no backup",
    "_do_receiving": "nothing calls it here: override receive()",
    "_ensure_receiver": "nothing calls it here",
    "_ensure_redis": "nothing calls it here: pass a client's arguments in hosts",
    "_get_group_channel_name": "nothing calls it here: pass a prefix",
    "_get_layer": "nothing calls it here: one layer serves all loops",
    "_get_shard": "nothing calls it here",
    "_group_key": "its arguments and results may differ here: pass a prefix",
    "_is_in_memory_db": "nothing calls it here: a database in memory is refused",
    "_map_channel_keys_to_connection": "nothing calls it here: override group_send()",
    "_receive_message": "nothing calls it here: override receive()",
    "_setup_encryption": "nothing calls it here: override serialize() and deserialize()",
    "_subscribe_to_channel": "nothing calls it here: override new_channel() or group_add()",
}
"""Private methods that Channels' and channels_redis' classes call, and what an override of them becomes here."""

OVERRIDES = {**{name: advice for name, advice in INTERNALS.items() if name.startswith("_")}, **OVERRIDDEN}

REDIS_LAYERS = ("RedisChannelLayer", "RedisPubSubChannelLayer")
"""The classes whose subclasses cannot override the methods in INSTEAD."""

ONLY_COMPAT = {
    "input_queue": "use send_input()",
    "match_type_and_length": "call require_valid_channel_name() or require_valid_group_name()",
    "output_queue": "use receive_output() and receive_nothing()",
    "valid_channel_name": "call require_valid_channel_name()",
    "valid_channel_names": "call require_valid_channel_name() for each name",
    "valid_group_name": "call require_valid_group_name()",
}
"""Attributes that the classes in `compat` have and those in `consumers` have not."""


def note(plan: Plan, from_imports: list[cst.ImportFrom], plain_imports: list[cst.Import]) -> None:
    """Tell a person of what a file uses that is not covered."""
    imported: dict[cst.CSTNode, list[str]] = {}
    for node in from_imports:
        imported[node] = [] if node.relative else [dotted_name(node.module)]
    for statement in plain_imports:
        imported[statement] = [dotted_name(alias.name) for alias in statement.names]
    for found, names in imported.items():
        if any(f"{name}.".startswith("daphne.") for name in names):
            plan.note(found, DAPHNE, Kind.UNCOVERED)
    if any(_is_known(name) for names in imported.values() for name in names):
        for other in plan.source.nodes:
            _note_internal(plan, other)
        _note_overrides(plan, _bindings(from_imports, plain_imports))


def _is_known(module: str) -> bool:
    return old_name(module) in KNOWN_MODULES or module.partition(".")[0] == "consumers"


def note_patched(plan: Plan, node: cst.SimpleString) -> None:
    """Tell a person of a private name of Channels at the end of a string: `mock.patch("….InMemoryChannelLayer._x")`."""
    advice = OVERRIDES.get(node.raw_value.rpartition(".")[2])
    if advice:
        plan.note(node, f"{plan.source.text(node)}: {advice}", Kind.UNCOVERED)


def _bindings(from_imports: list[cst.ImportFrom], plain_imports: list[cst.Import]) -> dict[str, str]:
    """Return the names that a file's imports bind to something of Channels, ported or not, with its names there."""
    found = {}
    for node in from_imports:
        if not node.relative and _is_known(dotted_name(node.module)) and not isinstance(node.names, cst.ImportStar):
            for alias in node.names:
                found[dotted_name(alias.asname.name if alias.asname else alias.name)] = dotted_name(alias.name)
    for statement in plain_imports:
        for alias in statement.names:
            if _is_known(dotted_name(alias.name)):
                local = dotted_name(alias.asname.name if alias.asname else alias.name).partition(".")[0]
                found[local] = dotted_name(alias.name)
    return found


def _note_overrides(plan: Plan, bound: dict[str, str]) -> None:
    """Tell a person of the methods that the file's subclasses of Channels' classes override, and nothing calls here."""
    for node in plan.source.nodes:
        if not isinstance(node, cst.ClassDef):
            continue
        bases = [dotted_name(base.value).partition(".") for base in node.bases]
        # What each derives from: a name's own, behind an alias or a module.
        kinds = [rest.rpartition(".")[2] or bound[name] for name, _, rest in bases if name in bound]
        if not kinds:
            continue
        is_redis = any(kind in REDIS_LAYERS for kind in kinds)
        bound[node.name.value] = next(filter(REDIS_LAYERS.__contains__, kinds), kinds[0])  # its subclasses' kind too
        for statement in node.body.body:
            for name in _defined(statement):
                text = f"{node.name.value}.{name}() overrides a"
                if name in OVERRIDES and isinstance(statement, cst.FunctionDef):
                    plan.note(statement, f"{text} private method: {OVERRIDES[name]}", Kind.UNCOVERED)
                elif name in INSTEAD and is_redis:
                    plan.note(statement, f"{text} method that nothing calls here: {INSTEAD[name]}")


def _defined(statement: cst.CSTNode) -> list[str]:
    """Return the names that a statement in a class body gives to methods."""
    match statement:
        case cst.FunctionDef(name=cst.Name(value=name)):
            return [name]
        case cst.SimpleStatementLine(body=[cst.Assign(targets=targets)]):
            return [target.target.value for target in targets if isinstance(target.target, cst.Name)]
    return []


def _note_internal(plan: Plan, node: cst.CSTNode) -> None:
    known = {**INTERNALS, **(ONLY_COMPAT if plan.native else {})}
    match node:
        case cst.Attribute(attr=cst.Name(value="future")):
            advice = OF_TESTS if plan.native and "communicator" in dotted_name(node.value).lower() else None
        case cst.Attribute(attr=cst.Name(value=name)) | cst.AssignTarget(target=cst.Name(value=name)):
            advice = known.get(name)
        case cst.Call(args=[_, cst.Arg(value=cst.SimpleString() as name), *_]):
            is_by_name = dotted_name(node.func).rpartition(".")[2] in BY_NAME
            node, advice = name, OVERRIDES.get(name.raw_value) if is_by_name else None
        case _:
            return
    if advice:
        plan.note(node, f"{plan.source.text(node)}: {advice}", Kind.UNCOVERED)
