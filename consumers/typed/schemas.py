"""The JSON Schemas of messages, as pydantic makes them, with what holds for every message on the wire."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, cast

from pydantic import AliasChoices
from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from .contract import Contract
from .models import TAG, Model, output_name, wire_names

Schema = dict[str, Any]
Mode = Literal["validation", "serialization"]

IN: Mode = "validation"
"""The mode of what the client sends: a field with a default may be left out."""

OUT: Mode = "serialization"
"""The mode of what the client gets: every field is there."""

REFERENCE = "#/$defs/{model}"


class Generator(GenerateJsonSchema):
    """Makes schemas of what is really sent."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}

    def field_is_required(self, field: Any, total: bool) -> bool:
        """Say whether a field is always there. Messages go out with their defaults."""
        if self.mode == OUT and field["type"] != "typed-dict-field":
            return not field.get("serialization_exclude") and field.get("serialization_exclude_if") is None
        return super().field_is_required(field, total)

    def generate(self, schema: Any, mode: Mode = IN) -> Schema:
        """Return the schema of one type, without the numbers that JSON has not."""
        return cast(Schema, finite(super().generate(schema, mode)))

    def generate_definitions(self, inputs: Any) -> Any:
        """Return the schemas of several types, without the numbers that JSON has not."""
        references, definitions = super().generate_definitions(inputs)
        return references, finite(definitions)

    def decimal_schema(self, schema: Any) -> Schema:
        """Return the schema of a Decimal, which goes out as a text that is a number."""
        found = super().decimal_schema(schema)
        return {**found, "format": "decimal"} if found.get("type") == "string" and "pattern" not in found else found


@dataclass(frozen=True, slots=True)
class Schemas:
    """The schemas of messages.

    Attributes:
        definitions: all of them, and those that they refer to by "#/$defs/<name>", by their names.
        names: the name of a model's schema, for each mode that it is used in.
    """

    definitions: dict[str, Schema]
    names: dict[tuple[Model, Mode], str]

    def of(self, model: Model, mode: Mode) -> Schema:
        """Return the schema of a message."""
        return self.definitions[self.names[model, mode]]


def schemas_of(contracts: Iterable[Contract]) -> Schemas:
    """Return the schemas of what consumers take and send.

    A field that tells models apart is required in all of them, though it may have a default: a message without its
    type is invalid.

    Raises:
        TypeError: a model has a field for which there is no JSON Schema.
    """
    contracts = tuple(contracts)
    wanted: dict[tuple[Model, Mode], None] = {}
    for contract in contracts:
        wanted |= {(model, IN): None for handler in contract.handlers for model in handler.models}
        wanted |= {(model, OUT): None for choice in contract.sends for model in choice.models}
    try:
        references, document = models_json_schema(list(wanted), schema_generator=Generator, ref_template=REFERENCE)
    except PydanticInvalidForJsonSchema as error:
        raise TypeError(f"{_culprit(wanted)} has a field that JSON Schema cannot describe: {error}") from None
    definitions: dict[str, Schema] = document.get("$defs", {})
    names = {(model, mode): name_in(references[model, mode]["$ref"]) for model, mode in wanted}
    for (model, mode), name in names.items():
        if mode == IN:
            _name_type(definitions[name], model)
        _require(definitions[name], TAG)
    for model, key in _told_apart(contracts):
        for mode in (IN, OUT):
            for called in {key, *wire_names(model, key), output_name(model, key)} if (model, mode) in names else ():
                _require(definitions[names[model, mode]], called)
    for schema in list(_all_of(definitions)):
        discriminator = schema.get("discriminator")
        if isinstance(discriminator, dict) and "mapping" in discriminator:
            for reference in discriminator["mapping"].values():
                _require(definitions[name_in(reference)], discriminator["propertyName"])
    return Schemas(definitions, names)


def _name_type(schema: Schema, model: Model) -> None:
    """Have the type called so, where it may have other names, too: pydantic writes the first of them."""
    properties = schema.get("properties", {})
    key = next((key for key in model.model_fields if TAG in wire_names(model, key)), None)
    if key is None or TAG in properties:
        return
    alias = model.model_fields[key].validation_alias
    called = alias.choices[0] if isinstance(alias, AliasChoices) else alias
    schema["properties"] = {TAG if name == called else name: each for name, each in properties.items()}
    schema["required"] = [TAG if name == called else name for name in schema.get("required", ())]


def _told_apart(contracts: Iterable[Contract]) -> Iterator[tuple[Model, str]]:
    """Yield models that have their type in common with others, and the field by which they are told apart."""
    for contract in contracts:
        for choice in (*(each for handler in contract.handlers for each in handler.choices), *contract.sends):
            for metadata in getattr(choice.kind, "__metadata__", ()):
                key = getattr(metadata, "discriminator", None)
                yield from (
                    (model, key) for model in choice.models if isinstance(key, str) and key in model.model_fields
                )


def finite(value: Any) -> Any:
    """Return a value of JSON without what is infinite or no number: as a bound it is none, and no message has it."""
    if isinstance(value, dict):
        return {key: finite(each) for key, each in value.items() if _is_finite(each)}
    return [finite(each) for each in value if _is_finite(each)] if isinstance(value, list) else value


def _is_finite(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def name_in(reference: str) -> str:
    """Return the name that a reference to a definition has at its end."""
    return reference.rpartition("/")[2]


def _require(schema: Schema, key: str) -> None:
    """Have a schema require one of its properties."""
    if key in schema.get("properties", {}) and key not in schema.get("required", ()):
        schema["required"] = [name for name in schema["properties"] if name in {key, *schema.get("required", ())}]


def _all_of(value: Any) -> Iterable[Schema]:
    """Yield every object in a value of JSON."""
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from _all_of(each)
    elif isinstance(value, list):
        for each in value:
            yield from _all_of(each)


def _culprit(wanted: Iterable[tuple[Model, Mode]]) -> str:
    """Return the name of the model that has no schema."""
    for model, mode in wanted:
        try:
            model.model_json_schema(mode=mode)
        except PydanticInvalidForJsonSchema:
            return model.__name__
    return "a model"
