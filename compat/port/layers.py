"""Who configures the channel layers: natively no setting does."""

from collections.abc import Iterable

import libcst as cst

from ..moves import BY_HAND
from .plan import GETTER, Kind, Plan
from .report import Result
from .source import Source, dotted_name

SETTING = f"CHANNEL_LAYERS: {BY_HAND[GETTER]}"

OF_COMPAT = {
    "configure": "natively nothing reads settings; write channel_layers.configure({...}) in its place",
    "install": "natively nothing imports `channels`; remove it",
}
"""What stands in for Django's settings and for Channels' modules, and is to go once nothing needs either."""


def note(plan: Plan) -> None:
    """Tell a person where a file has native layers already; those that become native are told of with their edits."""
    for node in plan.source.nodes:
        match node:
            case cst.ImportFrom(names=[*aliases]) if dotted_name(node.module) == "consumers" and not node.relative:
                if any(dotted_name(alias.name) == "get_channel_layer" for alias in aliases):
                    plan.note_by_hand(node, GETTER)
            case cst.Attribute() if dotted_name(node) == "consumers.get_channel_layer":
                plan.note_by_hand(node, GETTER)
            case cst.Attribute() if (name := dotted_name(node).removeprefix("compat.")) in OF_COMPAT:
                plan.note(node, f"compat.{name}: {OF_COMPAT[name]}", Kind.TODO)
            case cst.ImportFrom(names=[*aliases]) if dotted_name(node.module) == "compat" and not node.relative:
                for name in OF_COMPAT.keys() & {dotted_name(alias.name) for alias in aliases}:
                    plan.note(node, f"compat.{name}: {OF_COMPAT[name]}", Kind.TODO)
            case cst.DictElement(key=cst.SimpleString() as key, value=cst.SimpleString() as value):
                if key.evaluated_value == "BACKEND" and value.raw_value.startswith("consumers."):
                    plan.note(value, SETTING, Kind.LAYERS)


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
