"""How a script is written: a class of handlers, and the steps that are played into it.

Handlers are generators. What they yield is awaited if the consumer is an async one and has been done already if it is a
sync one, so that one class serves as both:

    @script(connect(), text("a"), disconnect())
    class Echo(Handlers):
        def receive(self, text_data=None, bytes_data=None):
            yield self.send(text_data)
"""

import asyncio
import functools
import inspect
from dataclasses import dataclass, field

from asgiref.sync import async_to_sync
from channels.consumer import AsyncConsumer, SyncConsumer
from channels.exceptions import ChannelFull
from channels.generic.http import AsyncHttpConsumer
from channels.generic.websocket import (
    AsyncJsonWebsocketConsumer,
    AsyncWebsocketConsumer,
    JsonWebsocketConsumer,
    WebsocketConsumer,
)
from channels.layers import get_channel_layer

from .play import Play

BASES = {
    "websocket": {"async": AsyncWebsocketConsumer, "sync": WebsocketConsumer},
    "json": {"async": AsyncJsonWebsocketConsumer, "sync": JsonWebsocketConsumer},
    "plain": {"async": AsyncConsumer, "sync": SyncConsumer},
    "http": {"async": AsyncHttpConsumer},
}
SCOPES = {
    "websocket": {"type": "websocket", "path": "/ws/", "headers": [], "query_string": b"", "subprotocols": ["chat"]},
    "http": {"type": "http", "path": "/", "method": "GET", "headers": [], "query_string": b""},
    "plain": {"type": "test"},
}
SCOPES["json"] = SCOPES["websocket"]

TIMEOUT = 20
"""Seconds after which a script that does not come to its end fails."""

SCRIPTS = {}
"""Every script, by the name of its class."""


@dataclass(frozen=True)
class Script:
    """What is played.

    Args:
        handlers: the class with the handlers.
        steps: what happens.
        kind: which consumer it is.
        scope: changes to the scope of that kind.
        capacity: how many messages the layer's channels hold; None: there is no layer.
        send_fails_from: see `Play`.
    """

    handlers: type
    steps: tuple
    kind: str = "websocket"
    scope: dict = field(default_factory=dict)
    capacity: int | None = 100
    send_fails_from: int | None = None

    @property
    def channel_layers(self):
        if self.capacity is None:
            return {}
        backend = "channels.layers.InMemoryChannelLayer"
        return {"default": {"BACKEND": backend, "CONFIG": {"capacity": self.capacity}}}

    async def transcript(self, flavour):
        """Play it into an async or a sync consumer and return the transcript."""
        play = Play(self.send_fails_from)
        consumer = self._consumer(flavour, play)
        async with asyncio.timeout(TIMEOUT):
            await play.run(consumer.as_asgi(), {**SCOPES[self.kind], **self.scope}, self.steps)
        layer = get_channel_layer()
        groups = sorted(group for group, members in layer.groups.items() if members) if layer else []
        return [*play.lines, f"groups with members: {', '.join(groups) or 'none'}"]

    def _consumer(self, flavour, play):
        wrap = _coroutine if flavour == "async" else _function
        members = {"play": play, "__module__": __name__}
        for base in reversed(self.handlers.__mro__[:-1]):
            for name, value in vars(base).items():
                if not name.startswith("__"):
                    members[name] = wrap(value) if inspect.isgeneratorfunction(value) else value
        return type(self.handlers.__name__, (BASES[self.kind][flavour],), members)


def script(*steps, **options):
    """Make a script of a class of handlers."""

    def add(handlers):
        SCRIPTS[handlers.__name__] = Script(handlers, steps, **options)
        return handlers

    return add


class Handlers:
    """The handlers that most scripts have."""

    def connect(self):
        yield self.accept()

    def disconnect(self, code):
        yield


class AppError(Exception):
    """An error of the application's."""


# The steps


def event(kind, **fields):
    """The client, or its server, says something."""

    async def step(play):
        play.feed({"type": kind, **fields})

    return step


def connect():
    return event("websocket.connect")


def text(data):
    return event("websocket.receive", text=data)


def binary(data):
    return event("websocket.receive", bytes=data)


def disconnect(code=1001):
    return event("websocket.disconnect", code=code)


def group(**message):
    """Somebody sends a message to the group "room"."""

    async def step(play):
        await get_channel_layer().group_send("room", message)

    return step


def channel(**message):
    """Somebody sends a message to each channel of the group "room" by its name."""

    async def step(play):
        layer = get_channel_layer()
        for name in list(layer.groups["room"]):
            try:
                await layer.send(name, message)
            except ChannelFull:
                play.note("the sender gets ChannelFull")

    return step


def open_gate(name):
    async def step(play):
        play.open(name)

    return step


def cancel():
    async def step(play):
        play.cancel()

    return step


def at_once(*steps):
    """Take steps without letting the application run in between."""

    async def step(play):
        for one in steps:
            await one(play)

    return step


# The two flavours of a handler


def _coroutine(function):
    @functools.wraps(function)
    async def handler(self, *args, **kwargs):
        steps, result, error = _begin(self, function, args, kwargs), None, None
        while True:
            try:
                awaitable = steps.throw(error) if error else steps.send(result)
            except StopIteration:
                return
            result = error = None
            try:
                result = await awaitable if inspect.isawaitable(awaitable) else awaitable
            except Exception as exc:
                error = exc

    return handler


def _function(function):
    @functools.wraps(function)
    def handler(self, *args, **kwargs):
        steps, result, error = _begin(self, function, args, kwargs), None, None
        while True:
            try:
                awaitable = steps.throw(error) if error else steps.send(result)
            except StopIteration:
                return
            result = error = None
            try:
                result = _finish(awaitable) if inspect.isawaitable(awaitable) else awaitable
            except Exception as exc:
                error = exc

    return handler


def _begin(consumer, function, args, kwargs):
    words = [*map(repr, args), *(f"{name}={value!r}" for name, value in kwargs.items())]
    consumer.play.note(f"calls {function.__name__}({', '.join(words)})")
    return function(consumer, *args, **kwargs)


@async_to_sync
async def _finish(awaitable):
    return await awaitable
