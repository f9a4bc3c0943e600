"""Schemas for AsyncAPI: what pydantic writes in JSON Schema 2020-12 is written in draft 07, with AsyncAPI's additions.

Source: AsyncAPI 3.0.0, "Schema Object".
"""

from collections.abc import Callable, Mapping
from typing import Any

from .schemas import Schema, name_in

COMPONENT = "#/components/schemas/"
"""What references to schemas begin with."""

_ONE = ("not", "if", "then", "else", "contains", "additionalItems", "additionalProperties", "propertyNames", "items")
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_MAPS = ("properties", "patternProperties")


def converted(schema: Any, rename: Mapping[str, str]) -> Any:
    """Return a schema as AsyncAPI has it.

    Args:
        schema: the schema; it stays as it is.
        rename: what definitions are called in the document, by their names in the schema; the others keep theirs.
    """
    if not isinstance(schema, dict):
        return schema
    found = dict(schema)
    for key in _ONE:
        if isinstance(found.get(key), dict):
            found[key] = converted(found[key], rename)
    for key in _LISTS:
        if key in found:
            found[key] = [converted(each, rename) for each in found[key]]
    for key in _MAPS:
        if key in found:
            found[key] = {name: converted(each, rename) for name, each in found[key].items()}
    for rule in _RULES:
        rule(found)
    return _with_reference(found, rename)


def _tuples(schema: Schema) -> None:
    """Write the items of a tuple as a list, and what follows them as the additional ones."""
    if "prefixItems" in schema:
        rest = schema.pop("items", None)
        schema["items"] = schema.pop("prefixItems")
        if rest is not None:
            schema["additionalItems"] = rest


def _discriminator(schema: Schema) -> None:
    """Write a discriminator as the name of a property, which AsyncAPI wants to be there and to be required."""
    discriminator = schema.get("discriminator")
    if not isinstance(discriminator, dict):
        return
    name = schema["discriminator"] = discriminator["propertyName"]
    schema.setdefault("type", "object")
    schema["properties"] = {name: {}, **schema.get("properties", {})}
    schema["required"] = list(dict.fromkeys((name, *schema.get("required", ()))))


def _content(schema: Schema) -> None:
    """Leave out the schema of JSON in a text, which draft 07 has no word for."""
    schema.pop("contentSchema", None)


_RULES: tuple[Callable[[Schema], None], ...] = (_tuples, _discriminator, _content)


def _with_reference(schema: Schema, rename: Mapping[str, str]) -> Schema:
    """Put a reference, beside which draft 07 ignores everything, into an `allOf`."""
    if "$ref" not in schema:
        return schema
    name = name_in(schema.pop("$ref"))
    reference = {"$ref": COMPONENT + rename.get(name, name)}
    return {"allOf": [reference, *schema.pop("allOf", ())], **schema} if schema else reference
