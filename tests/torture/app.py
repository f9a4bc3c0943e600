"""The application under test: a consumer whose clients tell how far they have got, and go on from there."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from redis.exceptions import RedisError
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

from consumers import AsyncWebsocketConsumer, channel_layers, lifespan
from consumers.layers._presence import PresenceRule
from consumers.layers.redis import RedisPubSubChannelLayer
from consumers.types import Message

from .senders import Confirmed
from .typed_app import TypedTortureConsumer

HISTORY = {
    "torture.large.*": {"size": 2000, "ttl": 600},
    "torture.small.*": {"size": 60, "ttl": 600},
    "torture.brief.*": {"size": 500, "ttl": 1},
}

KINDS = ("large", "small", "large", "brief")

WHO = "torture.who"
"""The group in which all clients are tracked."""

LEASE = 1.5
GRACE = 0.5
"""Seconds; see `PresenceOptions`."""

QUIET = "torture.large.quiet"
"""A group to which nobody sends of his own accord: what comes there comes when it is wanted."""

CAPACITY = 40
"""Messages that a mailbox holds."""

SLOWNESS = 0.01
"""Seconds that a slow consumer's handler takes for a message."""

TIMEOUT = 2.0
"""Seconds that an operation on Redis may take."""

AWAY = 1013
"""The close code for a client whose group cannot be joined."""


def groups_of(count: int) -> list[str]:
    """Return the names of some groups, of every kind in turn. The first is `QUIET`."""
    return [QUIET, *(f"torture.{KINDS[index % len(KINDS)]}.{index}" for index in range(1, count))]


class CountingLayer(RedisPubSubChannelLayer):
    """The layer, which counts how often a mailbox that had no room has room again."""

    refilled = 0
    on_refill: Callable[[], object] | None = None

    def resume(self, name: str) -> None:
        self.refilled += 1
        if self.on_refill is not None:
            self.on_refill()
        super().resume(name)


def make_layer(url: str) -> CountingLayer:
    """Return a layer on a Redis."""
    presence = PresenceRule(lease=LEASE, grace=GRACE)
    return CountingLayer([url], history=HISTORY, presence=presence, capacity=CAPACITY, timeout=TIMEOUT)


class TortureConsumer(AsyncWebsocketConsumer):
    """A member of groups. A client says `say GROUP NUMBER`, `leave GROUP` or `join GROUP`."""

    confirmed: Confirmed

    async def connect(self) -> None:
        parameters = self.scope["path_params"]
        self.number: int = parameters["connection"]
        self.is_slow = parameters["manner"] == "slow"
        self.latest: dict[str, str | None] = {}  # the place up to which the client has been told all
        await self.accept()
        if not await self._be_seen():
            return
        for group, since in json.loads(self.query_params["groups"]).items():
            if not await self._join(group, since):
                return

    async def receive(self, text_data: str) -> None:
        what, group, *rest = text_data.split(" ")
        match what:
            case "say":
                await self._say(group, int(rest[0]))
            case "leave":
                await self._layer.group_discard(group, self.channel_name)
                await self._tell("left", group)
            case "join" if group in self.latest:
                await self._join(group, self.latest[group])

    async def torture_said(self, event: Message) -> None:
        mark = event["history"]
        if mark["position"] is not None:
            self.latest[mark["group"]] = mark["position"]
        if self.is_slow:
            await asyncio.sleep(SLOWNESS)
        await self._tell(
            "said",
            mark["group"],
            mark["position"],
            [event["of"], event["number"]],
            event.get("by", 0),
            event["text"],
        )

    async def layer_gap(self, event: Message) -> None:
        if event["group"] is not None:  # else it is of groups without history
            await self._tell("gap", event["group"])

    async def presence_diff(self, event: Message) -> None:
        await self._tell("changed", event["version"], {**event["joins"], **event["updates"]}, event["leaves"])

    async def presence_state(self, event: Message) -> None:
        await self._tell("people", event["version"], event["members"])

    @property
    def _layer(self) -> CountingLayer:
        assert isinstance(self.channel_layer, CountingLayer)
        return self.channel_layer

    async def _be_seen(self) -> bool:
        """Return whether that was possible."""
        try:
            await self._layer.group_add(WHO, self.channel_name)
            key, meta = self.query_params["name"], {"connection": self.number}
            await self._layer.presence_track(WHO, self.channel_name, key=key, meta=meta)
            people = await self._layer.presence(WHO)
        except RedisError:
            await self.close(AWAY)
            return False
        await self._tell("people", people.version, people)
        return True

    async def _join(self, group: str, since: str | None) -> bool:
        """Return whether that was possible."""
        last = 5 if since is None else 0
        try:
            joined = await self._layer.group_add(group, self.channel_name, since=since, last=last)
        except RedisError:
            await self.close(AWAY)
            return False
        self.latest[group] = since
        if since is None or not joined.recovered:
            self.latest[group] = None if joined.missed else joined.position
        await self._tell("joined", group, since, *joined)
        return True

    async def _say(self, group: str, number: int) -> None:
        message = {"type": "torture.said", "of": f"client {self.number}", "number": number, "by": self.number}
        try:
            position = await self._layer.group_send(group, {**message, "text": ""}, exclude=self.channel_name)
        except RedisError:
            return
        self.confirmed(str(message["of"]), number, position)

    async def _tell(self, *what: Any) -> None:
        await self.send(text_data=json.dumps(what))


def make_app(layer: CountingLayer, confirmed: Confirmed) -> Starlette:
    """Return the application.

    Args:
        layer: its channel layer.
        confirmed: hears of the clients' messages.
    """
    TortureConsumer.confirmed = staticmethod(confirmed)
    TypedTortureConsumer.confirmed = staticmethod(confirmed)
    channel_layers.configure({"default": layer})
    routes = [
        WebSocketRoute("/torture/{connection:int}/{manner}", TortureConsumer.as_asgi()),
        WebSocketRoute("/typed/{manner}", TypedTortureConsumer.as_asgi()),
    ]
    return Starlette(routes=routes, lifespan=lifespan)
