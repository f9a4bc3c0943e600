"""Who configures the channel layers: natively no setting does."""

from collections.abc import Iterable

import libcst as cst

from ..moves import BY_HAND
from .plan import GETTER, Kind, Plan
from .report import Result
from .source import Source, dotted_name
from .uses import Uses

SETTING = f"CHANNEL_LAYERS: {BY_HAND[GETTER]}"

STAND_INS = {
    "configure": "natively channel_layers.configure({...}) has the layers; keep what sessions and users of compat read",
    "install": "natively remove it, unless an installed package imports `channels`",
}
"""What `compat` has in the place of Django's settings and of Channels' modules, and what becomes of it."""


def note(plan: Plan) -> None:
    """Tell a person where a file has native layers already; those that become native are told of with their edits."""
    for node in plan.source.nodes:
        match node:
            case cst.ImportFrom(names=[*aliases]) if dotted_name(node.module) == "consumers" and not node.relative:
                if any(dotted_name(alias.name) == "get_channel_layer" for alias in aliases):
                    plan.note_by_hand(node, GETTER)
            case cst.Attribute() if dotted_name(node) == "consumers.get_channel_layer":
                plan.note_by_hand(node, GETTER)
            case cst.DictElement(key=cst.SimpleString() as key, value=cst.SimpleString() as value):
                if key.evaluated_value == "BACKEND" and value.raw_value.startswith("consumers."):
                    plan.note(value, SETTING, Kind.LAYERS)


def note_stand_ins(plan: Plan, uses: Uses, from_imports: list[cst.ImportFrom], imports: list[cst.Import]) -> None:
    """Tell a person where a file calls what a native project may do without."""
    found: list[tuple[cst.CSTNode, str]] = []
    for statement in from_imports:
        if dotted_name(statement.module) == "compat" and not statement.relative:
            names = () if isinstance(statement.names, cst.ImportStar) else statement.names
            found += [(statement, dotted_name(alias.name)) for alias in names]
    for plain in imports:
        for alias in plain.names:
            if dotted_name(alias.name) == "compat":
                local = dotted_name(alias.asname.name) if alias.asname else "compat"
                found += [(use.node, use.parts[1]) for use, by in uses.of(local) if plain in by and len(use.parts) > 1]
    for node, name in found:
        if name in STAND_INS:
            plan.note(node, f"compat.{name}: {STAND_INS[name]}", Kind.TODO)


def are_configured_in(source: Source) -> bool:
    """Tell whether a file calls what takes the place of the setting."""
    called = [dotted_name(node.func) for node in source.nodes if isinstance(node, cst.Call)]
    return any(name == "compat.configure" or f".{name}".endswith(".channel_layers.configure") for name in called)


def settle(results: Iterable[Result]) -> None:
    """Leave the layers to a person, or drop what is told of them if some file of the project configures them."""
    results = list(results)
    configured = any(result.configures_layers for result in results)
    for result in results:
        result.findings = [
            finding._replace(kind=Kind.LEFT) if finding.kind is Kind.LAYERS else finding
            for finding in result.findings
            if not (configured and finding.kind is Kind.LAYERS)
        ]
