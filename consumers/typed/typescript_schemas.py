"""TypeScript's types for JSON Schemas: the part of it that pydantic makes. What TypeScript cannot say is `unknown`."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from . import typescript_text as text
from .schemas import Schema, name_in

UNKNOWN = ("unknown",)
NEVER = ("never",)

Members = tuple[str, ...]
"""The members of a union. Each can stand in one, and before `[]`, as it is."""

_SCALARS = {"string": "string", "number": "number", "integer": "number", "boolean": "boolean", "null": "null"}

_NOTED = (
    *("minLength", "maxLength", "pattern"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    *("minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties", "contentMediaType"),
)
"""What TypeScript cannot say of a type that it can say the rest of. It is noted in a comment."""

_BEYOND = ("not", "if", "contains", "dependentSchemas", "dependentRequired", "unevaluatedProperties", "$dynamicRef")
"""What TypeScript cannot say, and nothing else is said beside."""

_COMPOUND = ("$ref", "const", "enum", "allOf", "anyOf", "oneOf")

_DECIMAL = r"^(?!^[-+.]*$)"
"""How pydantic's own pattern for the text of a Decimal begins."""

_LONGEST_DEFAULT = 80
"""Characters of a default that is noted."""


class Property(NamedTuple):
    """A property of an object.

    Attributes:
        notes: the lines of its comment.
        before: its name, and what stands before its type.
        members: the members of its type.
    """

    notes: list[str]
    before: str
    members: Members


class Writer:
    """Writes types.

    Args:
        definitions: the schemas that others refer to, by their names.
        names: what their types are called.
    """

    def __init__(self, definitions: Mapping[str, Schema], names: Mapping[str, str]) -> None:
        self._definitions = definitions
        self._names = names

    def definition(self, name: str) -> list[str]:
        """Return the lines that declare the type of a definition."""
        schema = self._definitions[name]
        called = self._names[name]
        lines = text.comment(_notes(schema))
        if schema.get("properties") and not any(word in schema for word in _COMPOUND):
            properties = [[*each.notes, *text.union(each.members, each.before)] for each in self._properties(schema)]
            body = text.indented(line for lines in properties for line in lines)
            return [*lines, f"export interface {called} {{", *body, "}"]
        return [*lines, *text.union(self._alias(name, {name}), f"export type {called} =")]

    def of(self, schema: Any) -> Members:
        """Return the members of a schema's type."""
        if not isinstance(schema, dict):
            return NEVER if schema is False else UNKNOWN
        if "$ref" in schema:
            return self._reference(schema["$ref"])
        if "const" in schema:
            return (text.literal(schema["const"]),)
        if "enum" in schema:
            return _distinct((text.literal(value),) for value in schema["enum"])
        parts = [self.of(each) for each in schema.get("allOf", ())]
        parts += [_distinct(map(self.of, schema[word])) for word in ("anyOf", "oneOf") if word in schema]
        if not parts or "type" in schema:
            parts.append(self._typed(schema))
        return _intersection(parts)

    def _reference(self, reference: str) -> Members:
        name = name_in(reference)
        if reference.startswith("#/$defs/") and name in self._names:
            return (self._names[name],)
        return _unknown(f"there is no schema {reference}")

    def _typed(self, schema: Schema) -> Members:
        """Return the type of a schema that says what it is by `type`, or by what it has."""
        kind = schema.get("type")
        if isinstance(kind, list):
            return _distinct(self._typed({**schema, "type": each}) for each in kind)
        if kind is None:
            if "properties" in schema or "additionalProperties" in schema:
                kind = "object"
            elif "items" in schema or "prefixItems" in schema:
                kind = "array"
            else:
                beyond = [word for word in _BEYOND if word in schema]
                return _unknown(f"TypeScript has nothing like {', '.join(beyond)}") if beyond else UNKNOWN
        if kind in _SCALARS:
            return (_SCALARS[kind],)
        write: Callable[[Schema], Members] | None = {"array": self._array, "object": self._object}.get(kind)
        return write(schema) if write is not None else _unknown(f"JSON has no type {kind!r}")

    def _array(self, schema: Schema) -> Members:
        first = schema.get("prefixItems", [])
        least, most = schema.get("minItems", 0), schema.get("maxItems")
        if not first and most != 0:
            return (f"{_atom(self.of(schema.get('items', True)))}[]",)
        items = [_atom(self.of(each)) + ("" if at < least else "?") for at, each in enumerate(first)]
        if schema.get("items", True) is not False and (most is None or most > len(first)):
            items.append(f"...{_atom(self.of(schema.get('items', True)))}[]")
        return (f"[{', '.join(items)}]",)

    def _object(self, schema: Schema) -> Members:
        if schema.get("properties"):
            members = [f"{each.before} {' | '.join(each.members)}" for each in self._properties(schema)]
            return (f"{{ {'; '.join(members)} }}",)
        values = self._values(schema)
        if values is None:
            return ("{ [key: string]: never }",)
        keys = self._keys(schema.get("propertyNames"))
        if keys:
            return (f"{{ [key in {' | '.join(keys)}]?: {' | '.join(values)} }}",)
        return (f"{{ [key: string]: {' | '.join(values)} }}",)

    def _values(self, schema: Schema) -> Members | None:
        """Return the type of what an object has under keys that it does not name; None if it has no such keys."""
        found = [self.of(each) for each in schema.get("patternProperties", {}).values()]
        others = schema.get("additionalProperties", not found)
        if others is not False:
            found.append(self.of(others))
        return _distinct(found) if found else None

    def _keys(self, schema: Any) -> Members:
        """Return the keys that an object may have, as literals; none if it may have any."""
        while isinstance(schema, dict) and "$ref" in schema:
            schema = self._definitions.get(name_in(schema["$ref"]))
        if not isinstance(schema, dict):
            return ()
        values = [schema["const"]] if "const" in schema else schema.get("enum", [])
        if not all(isinstance(value, str | int) and not isinstance(value, bool) for value in values):
            return ()
        return tuple(text.quoted(str(value)) for value in values)

    def _properties(self, schema: Schema) -> Iterator[Property]:
        for name, each in schema["properties"].items():
            is_there = name in schema.get("required", ())
            before = f"{text.key(name)}{'' if is_there else '?'}:"
            yield Property(text.comment(_notes(each, not is_there)), before, self.of(each))
        if schema.get("additionalProperties") or schema.get("patternProperties"):
            values = self._values(schema) or UNKNOWN
            if values != UNKNOWN:  # which the properties above are not, and in TypeScript they must be
                values = _unknown(f"{' | '.join(values)}, except for the keys above")
            yield Property([], "[key: string]:", values)

    def _alias(self, name: str, seen: set[str]) -> Members:
        """Return the type of a definition, which in TypeScript must not be a member of itself."""
        members: list[Members] = []
        for each in _choices(self._definitions[name]):
            other = self._referred(each)
            if other is None or not seen & {other, *self._unions(other, set())}:
                members.append(self.of(each))
            elif other not in seen:
                members.append(self._alias(other, {*seen, other}))
        return _distinct(members)

    def _unions(self, name: str, seen: set[str]) -> set[str]:
        """Add to some definitions those that one is a union of, or a union of unions, and return all of them."""
        for each in _choices(self._definitions[name]):
            other = self._referred(each)
            if other is not None and other not in seen:
                seen.add(other)
                self._unions(other, seen)
        return seen

    def _referred(self, schema: Any) -> str | None:
        """Return the definition that a schema is nothing but a reference to."""
        name = name_in(schema["$ref"]) if isinstance(schema, dict) and "$ref" in schema else None
        return name if name in self._definitions else None


def _choices(schema: Schema) -> list[Any]:
    """Return what a schema is a union of: itself, if nothing else."""
    choices: list[Any] = schema.get("anyOf") or schema.get("oneOf") or []
    return choices if choices and not schema.keys() & {"type", "allOf"} else [schema]


def _distinct(unions: Iterable[Members]) -> Members:
    return tuple(dict.fromkeys(member for members in unions for member in members)) or NEVER


def _intersection(parts: list[Members]) -> Members:
    known = [part for part in dict.fromkeys(parts) if part != UNKNOWN]
    if len(known) < 2:
        return known[0] if known else UNKNOWN
    return (f"({' & '.join(map(_atom, known))})",)


def _atom(members: Members) -> str:
    return members[0] if len(members) == 1 else f"({' | '.join(members)})"


def _unknown(why: str) -> Members:
    return (f"unknown /* {text.harmless(why)} */",)


def _notes(schema: Any, with_default: bool = False) -> Iterable[str]:
    """Yield what a comment says of a type."""
    if not isinstance(schema, dict):
        return
    if isinstance(schema.get("description"), str):
        yield schema["description"]
    if schema.get("deprecated"):
        yield "@deprecated"
    default = (
        json.dumps(schema["default"], ensure_ascii=False) if with_default and schema.get("default") is not None else ""
    )
    if default and len(default) <= _LONGEST_DEFAULT:
        yield f"@default {text.harmless(default)}"
    yield from dict.fromkeys(f"@format {found}" for found in map(_format, _inline(schema)) if found)
    choices = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    only = choices[0] if len(choices) == 1 and isinstance(choices[0], dict) else schema
    for word in _NOTED:
        if word in only and not (word == "pattern" and _format(only)) and not _is_tuple(only, word):
            value = only[word]
            yield f"@{word} {value if isinstance(value, str) else json.dumps(value)}"


def _is_tuple(schema: Schema, word: str) -> bool:
    """Say whether the type of a tuple has how many items it has."""
    return word in ("minItems", "maxItems") and ("prefixItems" in schema or schema.get("maxItems") == 0)


def _format(schema: Schema) -> str:
    """Return how a text is written."""
    if str(schema.get("pattern", "")).startswith(_DECIMAL):
        return "decimal"
    return str(schema.get("format", ""))


def _inline(schema: Any) -> Iterable[Schema]:
    """Yield a schema and those that it is made of, but no definitions."""
    if not isinstance(schema, dict):
        return
    yield schema
    for word in ("anyOf", "oneOf", "allOf", "prefixItems"):
        for each in schema.get(word, ()):
            yield from _inline(each)
    for word in ("items", "additionalProperties"):
        yield from _inline(schema.get(word))
