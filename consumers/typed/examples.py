"""Examples of messages, made from their schemas: what the application gives as an example comes first."""

import json
import re
from collections.abc import Mapping
from typing import Any

from .schemas import Schema, name_in

MOST_KEPT = 8
"""How deep schemas may lie in each other for values that may be left out to be there."""

_BY_FORMAT = {
    "binary": "text",
    "byte": "dGV4dA==",
    "base64url": "dGV4dA==",
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "decimal": "1.5",
    "duration": "PT1H",
    "email": "ann@example.com",
    "hostname": "example.com",
    "idn-email": "ann@example.com",
    "ipv4": "192.0.2.1",
    "ipv4interface": "192.0.2.1/24",
    "ipv4network": "192.0.2.0/24",
    "ipv6": "2001:db8::1",
    "ipv6interface": "2001:db8::1/64",
    "ipv6network": "2001:db8::/64",
    "ipvanyaddress": "192.0.2.1",
    "ipvanyinterface": "192.0.2.1/24",
    "ipvanynetwork": "192.0.2.0/24",
    "json-string": "{}",
    "multi-host-uri": "https://example.com/",
    "name-email": "Ann <ann@example.com>",
    "password": "secret",
    "path": "folder/file.txt",
    "file-path": "folder/file.txt",
    "directory-path": "folder",
    "time": "12:00:00Z",
    "uri": "https://example.com/",
    "uri-reference": "/path",
    "uuid": "3fa85f64-5717-4562-b3fc-2c963f66afa6",
    "uuid1": "86a69f2e-ccf6-11f0-8de9-0242ac120002",
    "uuid3": "6fa459ea-ee8a-3ca4-894e-db77e160355e",
    "uuid4": "3fa85f64-5717-4562-b3fc-2c963f66afa6",
    "uuid5": "886313e1-3b8a-5372-9b90-0c9aee199e5d",
    "uuid6": "1f0ccf68-6a69-6f2e-8de9-0242ac120002",
    "uuid7": "0197f9a1-7c4e-7cc3-98c4-dc0c0c07398f",
    "uuid8": "320c3d4d-cc00-875b-8ec9-32d5f69181c0",
}
# What a pattern is tried on: no example is made from a regular expression.
_TEXTS = re.findall(
    r"\S+",
    """
    text a 1 1.5 A Ab1 a1 A1 abc ABC 123 1234 12345 +4930123456 #00ff00
    a-b a_b a.b A-1 ABC-123 12:00 2026-01-31 v1.0.0 @ann /path aaaa 0000
    """,
)


class NoExample(Exception):
    """No example can be made, of what contains itself, say."""


def given_example(schema: Schema) -> Any:
    """Return the example that a schema has of its own.

    Raises:
        NoExample: it has none.
    """
    examples = schema.get("examples")
    if isinstance(examples, list) and examples:
        return examples[0]
    if "example" in schema:  # OpenAPI's older word
        return schema["example"]
    raise NoExample


def made_example(
    schema: Schema, definitions: Mapping[str, Schema], with_optional: bool = True, key: str = "key"
) -> Any:
    """Return an example of what a schema describes.

    Args:
        schema: a schema of pydantic's.
        definitions: what it refers to.
        with_optional: whether the example has what may be left out.
        key: a key for dicts whose schema does not say what keys are, as that of numbers does not.

    Raises:
        NoExample: none can be made.
    """
    return _Maker(definitions, with_optional, key).of(schema, ())


class _Maker:
    def __init__(self, definitions: Mapping[str, Schema], with_optional: bool, key: str) -> None:
        self._definitions = definitions
        self._with_optional = with_optional
        self._key = key

    def of(self, schema: Any, inside: tuple[str, ...], depth: int = 0) -> Any:
        """Return an example; `inside` are the definitions that this stands in, and none of them may come again."""
        if not isinstance(schema, dict):
            return "anything"
        try:
            return given_example(schema)
        except NoExample:
            pass
        for key in ("const", "default"):
            if key in schema:
                return schema[key]
        if schema.get("enum"):
            return schema["enum"][0]
        if "$ref" in schema:
            name = name_in(schema["$ref"])
            if name in inside:
                raise NoExample
            return self.of(self._definitions[name], (*inside, name), depth)
        for key in ("oneOf", "anyOf", "allOf"):
            if schema.get(key):
                return self._choice(schema[key], inside, depth)
        return self._plain(schema, inside, depth)

    def _choice(self, schemas: list[Any], inside: tuple[str, ...], depth: int) -> Any:
        for schema in sorted(schemas, key=lambda each: each == {"type": "null"}):
            try:
                return self.of(schema, inside, depth)
            except NoExample:
                continue
        raise NoExample

    def _plain(self, schema: Schema, inside: tuple[str, ...], depth: int) -> Any:
        match schema.get("type"):
            case "object":
                return self._object(schema, inside, depth)
            case "array":
                return self._array(schema, inside, depth)
            case "string":
                return self._text(schema, inside)
            case "integer" | "number" as kind:
                return number_in(schema, kind == "integer")
            case "boolean":
                return True
            case "null":
                return None
            case _:
                return "anything"

    def _object(self, schema: Schema, inside: tuple[str, ...], depth: int) -> dict[str, Any]:
        required = schema.get("required", ())
        found = {}
        for name, each in schema.get("properties", {}).items():
            if name not in required and not (self._with_optional and depth < MOST_KEPT):
                continue
            try:
                found[name] = self.of(each, inside, depth + 1)
            except NoExample:
                if name in required:
                    raise
        missing = max(schema.get("minProperties", 0), 0 if found else 1) - len(found)
        values = schema.get("additionalProperties")
        if isinstance(values, dict) and (self._with_optional or schema.get("minProperties")):
            try:
                keys = self._keys(schema, inside)
                found |= {key: self.of(values, inside, depth + 1) for key in keys[:missing]}
            except NoExample:
                if schema.get("minProperties"):
                    raise
        return found

    def _keys(self, schema: Schema, inside: tuple[str, ...]) -> list[str]:
        """Return keys for a dict."""
        names = schema.get("propertyNames", {})
        while "$ref" in names:
            names = self._definitions[name_in(names["$ref"])]
        patterns = list(schema.get("patternProperties", ()))
        if names.get("enum"):
            return [str(name) for name in names["enum"]]
        if names or patterns:
            return [str(self.of({"type": "string", **names, **({"pattern": patterns[0]} if patterns else {})}, inside))]
        return [self._key, "1", "2"] if self._key != "1" else ["1", "2", "3"]

    def _array(self, schema: Schema, inside: tuple[str, ...], depth: int) -> list[Any]:
        least, most = schema.get("minItems", 0), schema.get("maxItems")
        found = [self.of(each, inside, depth + 1) for each in schema.get("prefixItems", ())]
        count = max(least, 1 if self._with_optional and not found else 0)
        count = count if most is None else min(count, most)
        try:
            while len(found) < count:
                item = self.of(schema.get("items"), inside, depth + 1)
                found.append(item if not schema.get("uniqueItems") else _another(item, found, schema["items"]))
        except NoExample:
            if len(found) < least:
                raise
        return found

    def _text(self, schema: Schema, inside: tuple[str, ...]) -> str:
        if "contentSchema" in schema:
            return json.dumps(self.of(schema["contentSchema"], inside))
        return text_in(schema)


def text_in(schema: Schema) -> str:
    """Return a text that a schema describes.

    Raises:
        NoExample: none of those that are tried matches its pattern.
    """
    pattern, least, most = schema.get("pattern"), schema.get("minLength", 0), schema.get("maxLength")
    known: str | None = _BY_FORMAT.get(schema.get("format", ""))
    if known is not None and pattern is None:
        return known
    for text in _TEXTS:
        if len(text) < least:
            text += (text[-1:] or "x") * (least - len(text))
        cut: str = text[:most]
        try:
            if pattern is None or re.search(pattern, cut):
                return cut
        except re.error:  # Rust's and JavaScript's differ from Python's
            raise NoExample from None
    raise NoExample


def number_in(schema: Schema, is_whole: bool) -> int | float:
    """Return a number between a schema's bounds."""
    step = schema.get("multipleOf")
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    unit = step or (1 if is_whole or low is None else 0.5)
    floor = max((each for each in (low, None if above is None else above + unit) if each is not None), default=None)
    roof = min((each for each in (high, None if below is None else below - unit) if each is not None), default=None)
    value: int | float = 1 if is_whole else 1.5
    if step is not None:
        value = step
    if floor is not None and value < floor:
        value = floor if step is None else step * -(-floor // step)
    if roof is not None and value > roof:
        value = roof if step is None else step * (roof // step)
    if above is not None and value <= above:  # the bounds are less than one apart
        value = (above + (high if high is not None else below)) / 2
    return int(value) if is_whole else value


def _another(item: Any, found: list[Any], schema: Any) -> Any:
    """Return an item that is not among those found, for a set."""
    while item in found:
        choices = schema.get("enum", ()) if isinstance(schema, dict) else ()
        rest = [each for each in choices if each not in found]
        if rest:
            return rest[0]
        if isinstance(item, bool) or not isinstance(item, int | float | str):
            raise NoExample
        item = f"{item}x" if isinstance(item, str) else item + 1
    return item
