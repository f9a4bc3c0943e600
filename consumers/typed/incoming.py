"""Reads messages: from JSON to a model in one go, and to a short error if that cannot be."""

import json
import re
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, GetCoreSchemaHandler, TypeAdapter, ValidationError
from pydantic_core import CoreSchema, SchemaValidator, core_schema, from_json

from .models import TAG, Choice
from .problems import NOT_JSON, WITHOUT_DETAIL, Problem, problem_of, problem_of_envelope

MAX_ID_LENGTH = 64
"""Characters of a message's `id`."""

MAX_ID = 2**63 - 1
"""The largest number that is an `id`; an answer repeats it."""

MOST_IN_DETAIL = 16 * 1024
"""Characters of a message whose faults are told in detail.

For each fault, pydantic makes a copy of what is wrong. That is the whole message for each field that is missing.
"""

MessageId = str | int

_ID = core_schema.union_schema(
    [
        core_schema.str_schema(strict=True, max_length=MAX_ID_LENGTH),
        core_schema.int_schema(strict=True, ge=-MAX_ID, le=MAX_ID),
    ]
)

# One match for each text and bracket: clients choose how many members an object has.
_TOKENS = re.compile(r'("[^"\\]*+(?:\\.[^"\\]*+)*+")([ \t\n\r]*:)?|([{\[])|[}\]]')
_decoded = json.JSONDecoder(strict=False).decode
NAME, OPENING = 2, 3
"""Which group of a match is the last: none of a closing bracket has one."""

_BLANKS_AND_COMMA = " \t\n\r,"


class _Tagged:
    """Has pydantic make a union that is told apart by the key "type" of JSON, whatever the field is called.

    Args:
        choices: its members.
        in_detail: whether all that is wrong with a message is told, rather than that something is.
    """

    def __init__(self, choices: Iterable[Choice], in_detail: bool) -> None:
        self._choices = {tag: choice.kind for choice in choices for tag in choice.tags}
        self._in_detail = in_detail

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schemas: dict[Any, CoreSchema] = {tag: handler.generate_schema(kind) for tag, kind in self._choices.items()}
        if not self._in_detail:
            for tag, schema in schemas.items():
                schemas[tag] = core_schema.custom_error_schema(schema, WITHOUT_DETAIL, custom_error_message="invalid")
        if not schemas:  # pydantic wants at least one; no object is None
            schemas[""] = core_schema.none_schema()
        return core_schema.tagged_union_schema(schemas, discriminator=TAG)


def _validator(choices: list[Choice], in_detail: bool) -> Any:
    return TypeAdapter[Any](Annotated[Any, _Tagged(choices, in_detail)]).validator


class Reader:
    """A union of messages, read by `read(text)`.

    Args:
        choices: its members.

    Attributes:
        read: returns the model of a JSON text, or raises pydantic's ValidationError.
    """

    def __init__(self, choices: list[Choice]) -> None:
        self.choices = choices
        self.read = _validator(choices, in_detail=True).validate_json


Reading = tuple[BaseModel | None, MessageId | None, Problem | None]
"""The model of a text, its id if it has one, and, in the place of a model, what is wrong."""


class Incoming(Reader):
    """Reads the client's messages.

    Args:
        choices: the members of their union.
        id_key: the key of the envelope that a message's id stands under.
    """

    def __init__(self, choices: list[Choice], id_key: str) -> None:
        super().__init__(choices)
        self._read_large = _validator(choices, in_detail=False).validate_json
        self._id_key = id_key
        self._key = f'"{id_key}"'
        envelope = core_schema.typed_dict_schema({id_key: core_schema.typed_dict_field(_ID, required=False)})
        self._envelope = SchemaValidator(envelope).validate_json
        # Where other keys are ignored, so is this one.
        models = [model for choice in choices for model in choice.models]
        self._has_to_go = any(model.model_config.get("extra", "ignore") != "ignore" for model in models)

    def read_from_client(self, text: str) -> Reading:
        """Return the model of a message of the client's, or what is wrong with it."""
        id = None
        if "NaN" in text or "Infinity" in text:  # which pydantic takes
            try:
                from_json(text.encode(), allow_inf_nan=False)
            except ValueError:
                return None, None, Problem(NOT_JSON)
        if self._key in text or "\\u" in text:  # by which a key may be written, too
            try:
                id = self._envelope(text).get(self._id_key)
            except ValidationError as error:
                return None, None, problem_of_envelope(error, self._id_key)
            if id is not None and self._has_to_go:
                text = without_key(text, self._id_key)
        read = self.read if len(text) <= MOST_IN_DETAIL else self._read_large
        try:
            return read(text), id, None
        except ValidationError as error:
            return None, id, problem_of(error)

    def id_of(self, text: str) -> MessageId | None:
        """Return the id of a message that was read before."""
        try:
            id: MessageId | None = self._envelope(text).get(self._id_key)
        except ValidationError:
            return None
        return id


def without_key(text: str, key: str) -> str:
    """Return the text of a JSON object without one of its keys; all else stays as it is written."""
    written = f'"{key}"'
    members: list[str] = []
    depth, begin = 0, None
    for token in _TOKENS.finditer(text):
        kind = token.lastindex
        if kind == OPENING:
            depth += 1
        elif kind is None:
            depth -= 1
        elif kind == NAME and depth == 1:
            if begin is not None:
                members.append(text[begin : token.start()])
            name = token[1]
            is_it = name == written or ("\\" in name and _decoded(name) == key)
            begin = None if is_it else token.start()
    if begin is not None:
        members.append(text[begin : text.rindex("}")])
    return f"{{{''.join(members).rstrip(_BLANKS_AND_COMMA)}}}"
