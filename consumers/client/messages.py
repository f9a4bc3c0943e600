"""Messages as JSON, as dicts, and as pydantic models where an application has some. pydantic is not imported here."""

import json
from collections.abc import Collection, Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from .errors import ClientError

TYPE = "type"
AT, TO = "at", "to"
"""Keys of a message that are the protocol's, where they mean what it says."""


def encoded(message: Any, **more: str) -> bytes:
    """Return a message as JSON: a dict, or a pydantic model.

    Args:
        message: the message.
        more: what else is to be in it.

    Raises:
        TypeError: it is something else, or there is no JSON for it.
        ValueError: it has no type, or a number that JSON does not have, or a character that UTF-8 does not have.
    """
    if hasattr(message, "model_dump"):
        message = message.model_dump(mode="json", by_alias=True)
    if not isinstance(message, Mapping):
        raise TypeError(f"a message is a dict or a pydantic model, not {message!r:.80}")
    if not isinstance(message.get(TYPE), str):
        raise ValueError(f'{message!r:.80} has no type, by which the server knows it: give it {{"type": "…"}}')
    return json.dumps({**message, **more}, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def parsed(text: str) -> dict[str, Any] | None:
    """Return an object in JSON; None for all else."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None


def type_of(message: Mapping[str, Any]) -> str | None:
    """Return a message's type; None for what is no text."""
    found = message.get(TYPE)
    return found if isinstance(found, str) else None


def place_of(message: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the label and the position that a message says its client is at; None if it does not."""
    match message.get(AT):
        case [str(label), str(position)]:
            return label, position
    return None


class Models:
    """The models of what a client gets.

    Args:
        messages: a model, or a union of models; None: what it gets is dicts.

    Raises:
        TypeError: it is something else, or a model has no type.
    """

    def __init__(self, messages: Any) -> None:
        self._read: Any = None
        if messages is None:
            return
        from pydantic import TypeAdapter

        self._tags = frozenset(_tags_of(messages))
        self._read = TypeAdapter(messages).validate_json

    def has(self, message: Mapping[str, Any]) -> bool:
        """Tell whether there is a model for a message's type."""
        return self._read is None or type_of(message) in self._tags

    def read(self, message: dict[str, Any], without: Collection[str] = ()) -> Any:
        """Return a message as a model.

        Args:
            message: the message.
            without: keys that are not the model's business.

        Raises:
            pydantic.ValidationError: it is no such model.
        """
        if self._read is None:
            return message
        return self._read(json.dumps({key: value for key, value in message.items() if key not in without}))

    def answer(self, message: dict[str, Any]) -> Any:
        """Return the answer to a request; None for a mere `ack`.

        Raises:
            ClientError: there is no model for it.
            pydantic.ValidationError: it is no such model.
        """
        if message.get(TYPE) == "ack":
            return None
        if not self.has(message):
            raise ClientError(f"the answer has type {message.get(TYPE)!r:.80}, which none of `messages` has")
        return self.read(message, without=(TO,))


def _tags_of(annotation: Any) -> list[str]:
    while hasattr(annotation, "__value__"):  # `type Message = ...`
        annotation = annotation.__value__
    origin = get_origin(annotation)
    if origin is Annotated:
        return _tags_of(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return [tag for each in get_args(annotation) for tag in _tags_of(each)]
    for name, field in getattr(annotation, "model_fields", {}).items():
        if TYPE in (name, field.alias, field.validation_alias) and get_origin(field.annotation) is Literal:
            return [str(getattr(value, "value", value)) for value in get_args(field.annotation)]
    raise TypeError(
        f'messages: {annotation!r:.80} is no message: write a pydantic model with type: Literal["said"] = "said", or a '
        "union of such"
    )
