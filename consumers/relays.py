"""Handlers that only pass something on, declared instead of written.

    class Chat(AsyncWebsocketConsumer):
        groups = ["chat"]
        chat_message = relay("text")

A message is encoded once for all members of its group. See `_connection.shared` for how it goes past their handlers.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from ._aio.sharing import SharedMessage
from ._connection.consumer import Consumer
from ._connection.not_json import dumps
from ._connection.positions import AT, Place
from ._connection.shared import ContentRelay, Encode, frame_of, relays_by, replaces
from ._sync import awaitable, maybe_await, sync_method
from .consumer import AsyncConsumer, SyncConsumer
from .layers._history import HISTORY
from .types import Message
from .websocket import AsyncWebsocketConsumer, WebsocketConsumer

Handler = Callable[[Any, Message], Awaitable[None]]

NOT_SENT = frozenset({"type", HISTORY})
"""The keys of an event that are about the event."""


def relay(key: str) -> Handler:
    """Return the handler of a group's messages that sends clients what stands under a key.

    A str is sent as text, bytes as binary.

    Args:
        key: the key of the message.

    Raises:
        TypeError: the key is no str; or, when a message comes, what stands there is neither text nor bytes.
        KeyError: when a message comes that lacks the key.
    """
    return _declared(_Value(_checked(key, "relay")))


def relay_json(key: str | None = None) -> Handler:
    """Return the handler of a group's messages that sends clients, as JSON, what stands under a key.

    Args:
        key: the key of the message. None: all of the message but "type" and "history".

    A client that knows the group by a label, from a typed consumer's `join()`, gets an object with one key more: "at"
    says where it is.

    Raises:
        TypeError: the key is no str; or, when a message comes, there is something that JSON has not, or an "at" of the
            message's own for such a client.
        KeyError: when a message comes that lacks the key.
    """
    return _declared(_Json(None if key is None else _checked(key, "relay_json")))


class _Declared(ContentRelay):
    """A relay that has not been given its class yet, which decides whether the handler is async."""

    def __set_name__(self, owner: type, name: str) -> None:
        is_consumer = issubclass(owner, AsyncConsumer)
        if is_consumer and not issubclass(owner, AsyncWebsocketConsumer | WebsocketConsumer):
            raise TypeError(
                f"{owner.__name__}.{name} = {self} is for a WebSocket consumer: derive from AsyncWebsocketConsumer"
            )

        async def handler(consumer: Any, event: Message) -> None:
            await self.send(consumer, event)

        # A class that is no consumer may become a base of either kind.
        made: Any = handler if is_consumer and not issubclass(owner, SyncConsumer) else sync_method(handler)
        made.__name__, made.__qualname__, made.__module__ = name, f"{owner.__qualname__}.{name}", owner.__module__
        made.__doc__ = f"Send clients what {self} is of a group's message."
        relays_by(made, self)
        setattr(owner, name, made)

    async def send(self, consumer: Any, event: Message) -> None:
        """Send one consumer's client what it gets of an event."""
        content = self.content(event)
        if isinstance(content, str):
            await awaitable(consumer.send(text_data=content))
        else:
            await awaitable(consumer.send(bytes_data=content))


class _Value(_Declared):
    def __init__(self, key: str) -> None:
        self._key = key

    def __repr__(self) -> str:
        return f"relay({self._key!r})"

    def content(self, message: Message) -> str | bytes:
        value = message[self._key]
        if not isinstance(value, str | bytes):
            raise TypeError(f"{self} sends text or bytes, not {type(value).__name__}: write relay_json({self._key!r})")
        return value


class _Json(_Declared):
    def __init__(self, key: str | None) -> None:
        self._key = key

    def __repr__(self) -> str:
        return "relay_json()" if self._key is None else f"relay_json({self._key!r})"

    def fits(self, consumer: Consumer) -> bool:
        return not replaces(consumer, ("encode_json", "send_json"))

    def frame(self, shared: SharedMessage, consumer: Consumer, encode: Encode) -> bytes | None:
        place = consumer._place_after(shared.message)

        def content(message: Message) -> str:
            return self.content(message, place)

        return frame_of(shared, (self, place), encode, content)

    def content(self, message: Message, place: Place | None = None) -> str:
        return dumps(self._of(message, place), repr(self))

    async def send(self, consumer: Any, event: Message) -> None:
        place = consumer._place_after(event)
        if hasattr(consumer, "send_json"):
            await maybe_await(consumer.send_json, self._of(event, place))
        else:
            await awaitable(consumer.send(text_data=self.content(event, place)))

    def _of(self, message: Message, place: Place | None) -> Any:
        if self._key is not None:
            content = message[self._key]
        else:
            content = {key: value for key, value in message.items() if key not in NOT_SENT}
        if place is None or not isinstance(content, dict):
            return content
        if AT in content:
            raise TypeError(f"{self} adds {AT!r}, and the message has a key of that name: call it otherwise")
        return {**content, AT: place}


def _declared(relay: _Declared) -> Handler:
    handler: Any = relay  # until its class is made
    return handler  # type: ignore[no-any-return]


def _checked(key: object, what: str) -> str:
    if not isinstance(key, str):
        raise TypeError(f'{what}() takes the key of a message, not {key!r:.80}: write chat_message = {what}("text")')
    return key
