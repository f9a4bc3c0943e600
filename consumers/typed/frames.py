"""Models on their way: as JSON to a client, and as a frame, which is JSON too, to the members of a group.

A frame travels as `{"type": "consumers.message", "frame": <bytes>, "tag": <its type>}`. JSON has no bytes. So what a
client sends, and an application passes on to a group as it came, is no frame, whatever is in it.
"""

import json
from collections.abc import Iterable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from pydantic import BaseModel, ValidationError

from ..layers import _adapt
from ..layers.registry import DEFAULT_ALIAS, layer_with
from ..layers.send import group_send_sync
from ..types import Message
from .models import Model, choices_of, require_output_tags, tags_of

M = TypeVar("M", bound=BaseModel)

FRAME = "consumers.message"
"""The type of a layer's message that is a frame."""

_known: WeakKeyDictionary[Model, str] = WeakKeyDictionary()


OURS = frozenset({"at", "to"})
"""The keys of messages that are the framework's: clients go by them."""


def as_json(message: BaseModel) -> bytes:
    """Return a model as JSON, with its fields called by their aliases.

    Raises:
        TypeError: a serializer of the model's own makes it something else than an object with a type; or it is one that
            keeps what it does not know, as a client has written it perhaps, with a key of the framework's in it.
    """
    extra = message.__pydantic_extra__
    if extra and not OURS.isdisjoint(extra):
        [key, *_] = sorted(OURS.intersection(extra))
        raise TypeError(f"{type(message).__name__} has {key!r} as an extra key, which is the framework's: leave it out")
    content = message.__pydantic_serializer__.to_json(message, by_alias=True)
    if not content.startswith(b'{"'):
        raise TypeError(
            f"{type(message).__name__} is {content[:80]!r} as JSON, and no object with a type: it is no message"
        )
    return content


def answer_text(message: BaseModel, id: str | int | None) -> str:
    """Return a model as JSON, as the answer to the message that has this id; raise what `as_json()` raises."""
    text = as_json(message).decode()
    if id is None:
        return text
    return f'{text[:-1]},"to":{id_text(id)}}}'


def id_text(id: str | int) -> str:
    """Return the id of a message as JSON."""
    return str(id) if type(id) is int else json.dumps(id)


def frame_of(message: BaseModel) -> Message:
    """Return the layer's message that brings a model to the members of a group.

    Raises:
        TypeError: it is no model, or has no type of its own.
    """
    if not isinstance(message, BaseModel):
        raise TypeError(f"group_send_message() sends a model, not {type(message).__name__}")
    return {"type": FRAME, "frame": as_json(message), "tag": _tag_of(message)}


def _tag_of(message: BaseModel) -> str:
    model = type(message)
    tag = _known.get(model)
    if tag is None:
        tags = tags_of(model)
        require_output_tags([model], "group_send_message()")
        if len(tags) > 1:
            tag = json.loads(as_json(message))["type"]
            assert isinstance(tag, str)
            return tag
        tag = _known[model] = tags[0]
    return tag


def message_of(event: Message, model: type[M]) -> M | None:
    """Return the model that an event brings: one of what the layer's `history()` has, say.

    Args:
        event: a layer's message.
        model: the model that `group_send_message()` was given.

    Returns:
        The model; None if the event brings something else, or a message of an older version that is not valid any more.

    Raises:
        TypeError: the model has no type of its own.
    """
    [choice] = choices_of(model, "message_of()")
    frame = event.get("frame")
    if event.get("type") != FRAME or event.get("tag") not in choice.tags or type(frame) is not bytes:
        return None
    try:
        return model.model_validate_json(frame)
    except ValidationError:
        return None


async def group_send_message(
    group: str,
    message: BaseModel,
    alias: str = DEFAULT_ALIAS,
    *,
    id: str | None = None,
    keep: bool = True,
    exclude: str | Iterable[str] = (),
) -> str | None:
    """Send a model to the members of a group, from anywhere: an HTTP endpoint, say. It is encoded once.

    A member's `@on_event` handler for it gets it. Where there is none, its client does, if the member's class has it in
    `sends`.

    Args:
        group: the group's name.
        message: the model.
        alias: the layer's ("default").
        id: names the message, 1 to 200 characters: one with the same `id` is not sent again for five minutes.
        keep: whether a group with history keeps the message (True).
        exclude: a channel that does not get it, or several (none).

    Returns:
        The message's position in the group's history; None if it is not kept.

    Raises:
        InvalidChannelLayerError: there is no such layer, or it lacks one of the options.
        TypeError: it is no model, or has no type of its own; the layer's serializer is one that has no bytes.
        Exception: as the layer's `group_send()`.
    """
    frame = frame_of(message)
    layer: Any = layer_with("group_send", alias)
    position: str | None = await layer.group_send(group, frame, **_adapt.options_for(layer, id, keep, exclude))
    return position


def group_send_message_sync(
    group: str,
    message: BaseModel,
    alias: str = DEFAULT_ALIAS,
    *,
    id: str | None = None,
    keep: bool = True,
    exclude: str | Iterable[str] = (),
) -> str | None:
    """Do as `group_send_message()`, without an event loop: in a script, a thread or a task queue.

    Args:
        group: the group's name.
        message: the model.
        alias: the layer's ("default").
        id: as of `group_send_message()`.
        keep: as of `group_send_message()`.
        exclude: as of `group_send_message()`.

    Raises:
        RuntimeError: an event loop runs in this thread.
    """
    return group_send_sync(group, frame_of(message), alias, id=id, keep=keep, exclude=exclude)
