"""Messages as JSON, as dicts, and as pydantic models where an application has some. pydantic is not imported here."""

import json
from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from .errors import ClientError

TYPE = "type"
ENVELOPE = ("at", "to")
"""Keys of a message that are the protocol's."""


def text_of(message: Any, **more: str) -> str:
    """Return a message as JSON: a dict, or a pydantic model.

    Args:
        message: the message.
        more: what else is to be in it.

    Raises:
        TypeError: it is something else, or there is no JSON for it.
        ValueError: it has no type, or a number that JSON does not have.
    """
    if hasattr(message, "model_dump"):
        message = message.model_dump(mode="json", by_alias=True)
    if not isinstance(message, Mapping):
        raise TypeError(f"a message is a dict or a pydantic model, not {message!r:.80}")
    if not isinstance(message.get(TYPE), str):
        raise ValueError(f'{message!r:.80} has no type, by which the server knows it: give it {{"type": "…"}}')
    return json.dumps({**message, **more}, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def parsed(text: str) -> dict[str, Any] | None:
    """Return an object in JSON, whose type is text if it has one; None for all else."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) and isinstance(message.get(TYPE, ""), str) else None


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
        return self._read is None or message.get(TYPE) in self._tags

    def read(self, message: dict[str, Any]) -> Any:
        """Return a message as a model.

        Raises:
            pydantic.ValidationError: it is no such model.
        """
        if self._read is None:
            return message
        return self._read(json.dumps({key: value for key, value in message.items() if key not in ENVELOPE}))

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
        return self.read(message)


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
