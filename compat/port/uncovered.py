"""What code uses of Channels that is not here: told to a person, with what to do instead."""

import libcst as cst

from .names import KNOWN_MODULES, old_name
from .plan import Kind, Plan
from .source import dotted_name

DAPHNE = "a module of Daphne: this library brings no server; uvicorn is its usual one"

OF_TESTS = "use wait() and stop()"
"""Instead of a communicator's `future`; other objects have an attribute of this name too."""

INTERNALS = {
    "ProtocolServerProcess": "the live server runs uvicorn in a thread of the test",
    "_clean_expired": "the layers expire messages by themselves",
    "_make_backend": "use channel_layers.make_backend()",
    "_remove_from_groups": "use group_discard()",
    "_reset_backends": "use channel_layers.set() or override_settings()",
    "_server_process": "the live server runs uvicorn in a thread of the test",
    "channel_receive": "a consumer here does not poll its channel: messages reach its handlers by themselves",
    "receive_buffer": "the Redis layer keeps what it has received to itself",
}
"""Attributes that Channels' objects have and those here have not, and what to do."""

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


def _is_known(module: str) -> bool:
    return old_name(module) in KNOWN_MODULES or module.partition(".")[0] == "consumers"


def _note_internal(plan: Plan, node: cst.CSTNode) -> None:
    known = {**INTERNALS, **(ONLY_COMPAT if plan.native else {})}
    match node:
        case cst.Attribute(attr=cst.Name(value="future")):
            advice = OF_TESTS if plan.native and "communicator" in dotted_name(node.value).lower() else None
        case cst.Attribute(attr=cst.Name(value=name)) | cst.AssignTarget(target=cst.Name(value=name)):
            advice = known.get(name)
        case _:
            return
    if advice:
        plan.note(node, f"{plan.source.text(node)}: {advice}", Kind.UNCOVERED)
